//! What the environment says about the web: search engines and the browser.

use std::sync::Arc;

use orkestra_agents::OrkestraBuilder;
use orkestra_tools::web::{AddressPolicy, Brave, Fetch, GuardedClient, SearchEngine, Searxng, Tavily};

use crate::exit::Failure;

/// The address of a SearXNG of the user's own.
const SEARXNG: &str = "SEARXNG_URL";
/// The keys of search engines.
pub(crate) const SEARCH_KEYS: [&str; 2] = ["BRAVE_API_KEY", "TAVILY_API_KEY"];
/// `1` turns on the browser.
const BROWSER: &str = "PLAYWRIGHT_ENABLED";

/// Adds the search engines and the browser that the environment names.
///
/// # Errors
/// When a variable has a value that cannot be used.
pub(crate) fn with_environment(builder: OrkestraBuilder) -> Result<OrkestraBuilder, Failure> {
    let variable =
        |name: &str| std::env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
    let builder = engines(variable)?.into_iter().fold(builder, OrkestraBuilder::search_engine);
    match variable(BROWSER).as_deref() {
        None | Some("0" | "false") => Ok(builder),
        Some("1" | "true") => Ok(with_browser(builder)),
        Some(other) => {
            Err(Failure::usage(format!("invalid {BROWSER} {other:?}: use 1 to open pages in Chromium, or 0")))
        }
    }
}

fn engines(variable: impl Fn(&str) -> Option<String>) -> Result<Vec<Arc<dyn SearchEngine>>, Failure> {
    let client = |policy| {
        let client = GuardedClient::new(policy).map_err(|error| Failure::failed(error.to_string()))?;
        Ok::<Arc<dyn Fetch>, Failure>(Arc::new(client))
    };
    let mut engines: Vec<Arc<dyn SearchEngine>> = Vec::new();
    if let Some(address) = variable(SEARXNG) {
        let (host, loopback_port) = server(&address).ok_or_else(|| {
            Failure::usage(format!("invalid {SEARXNG} {address:?}: use an address such as http://127.0.0.1:8080"))
        })?;
        let policy = AddressPolicy::global().with_private_host(&host);
        let policy = loopback_port.into_iter().fold(policy, AddressPolicy::with_loopback_port);
        engines.push(Arc::new(Searxng::new(client(policy)?, address)));
    }
    if let Some(key) = variable(SEARCH_KEYS[0]) {
        engines.push(Arc::new(Brave::new(client(AddressPolicy::global())?, key)));
    }
    if let Some(key) = variable(SEARCH_KEYS[1]) {
        engines.push(Arc::new(Tavily::new(client(AddressPolicy::global())?, key)));
    }
    Ok(engines)
}

/// The host of an address, and its port when the host is this machine.
fn server(address: &str) -> Option<(String, Option<u16>)> {
    let (scheme, rest) = address.split_once("://")?;
    let port_default = match scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next().filter(|authority| !authority.contains('@'))?;
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (authority, port_default),
    };
    let is_loopback = host == "localhost" || host == "[::1]" || host.starts_with("127.");
    (!host.is_empty()).then(|| (host.to_owned(), is_loopback.then_some(port)))
}

#[cfg(all(unix, feature = "chromium"))]
fn with_browser(builder: OrkestraBuilder) -> OrkestraBuilder {
    builder.chromium(orkestra_tools::web::ChromiumOptions::default())
}

#[cfg(not(all(unix, feature = "chromium")))]
fn with_browser(builder: OrkestraBuilder) -> OrkestraBuilder {
    eprintln!(
        "note: {BROWSER} is set, but this aios was built without Chromium: pages are fetched over plain HTTP, and no JavaScript runs; \
         build aios with the feature `chromium`"
    );
    builder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_addresses_are_found() {
        for (address, expected) in [
            ("http://127.0.0.1:8080", Some(("127.0.0.1", Some(8080)))),
            ("http://localhost/search", Some(("localhost", Some(80)))),
            ("http://[::1]:8888/", Some(("[::1]", Some(8888)))),
            ("https://search.internal", Some(("search.internal", None))),
            ("https://[fd12::1]", Some(("[fd12::1]", None))),
            ("ftp://x", None),
            ("search.internal", None),
            ("http://user:password@x", None),
            ("http://x:port", None),
            ("http://", None),
        ] {
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(server(address), expected, "{address}");
        }
    }

    #[test]
    fn engines_come_in_a_fixed_order() {
        let names = |set: &[(&str, &str)]| {
            let set: Vec<(String, String)> =
                set.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
            let variable =
                move |name: &str| set.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
            engines(variable).map(|engines| engines.iter().map(|engine| engine.name().to_owned()).collect::<Vec<_>>())
        };
        assert!(names(&[]).expect("none").is_empty());
        let all = [("TAVILY_API_KEY", "t"), ("BRAVE_API_KEY", "b"), ("SEARXNG_URL", "http://127.0.0.1:1")];
        assert_eq!(names(&all).expect("three").len(), 3);
        assert_eq!(names(&all).expect("three")[0], "SearXNG");
        assert!(names(&[("SEARXNG_URL", "nowhere")]).expect_err("it is no address").message.contains("SEARXNG_URL"));
    }
}
