//! Requests of the proxy to registries: GET and HEAD with headers of our own, to checked addresses, redirects checked again.
//!
//! Nothing that a program in the sandbox sends is passed on, except the path that a mirror has made of its request.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION};
use reqwest::{Client, ClientBuilder, Method, Response, Url};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::address::{self, Trust};
use super::registry::{Credentials, Registry};
use super::{EgressError, EgressOptions};
use crate::limits::{EGRESS_CONNECT_TIMEOUT, EGRESS_REDIRECTS_MAX, EGRESS_SILENCE_MAX};

/// Looks up names. Tests answer themselves.
#[derive(Debug, Clone, Default)]
pub(super) enum Names {
    #[default]
    System,
    #[cfg(test)]
    Fixed(HashMap<String, Vec<std::net::IpAddr>>),
    /// Every name has this address, which is not checked.
    #[cfg(test)]
    Unchecked(SocketAddr),
}

impl Names {
    /// The addresses of a host that its trust allows.
    ///
    /// The error says, for the agent, what is wrong with the host.
    pub(super) async fn resolve(&self, host: &str, port: u16, trust: Trust) -> Result<Vec<SocketAddr>, String> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found: Vec<SocketAddr> = match self {
            Self::System => match tokio::net::lookup_host((bare, port)).await {
                Ok(found) => found.collect(),
                Err(error) => return Err(format!("its name cannot be resolved ({error})")),
            },
            #[cfg(test)]
            Self::Unchecked(address) => return Ok(vec![*address]),
            #[cfg(test)]
            Self::Fixed(names) => {
                let literal = bare.parse().ok().map(|address| vec![address]);
                let addresses = literal.or_else(|| names.get(bare).cloned()).unwrap_or_default();
                addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect()
            }
        };
        if found.is_empty() {
            return Err("its name has no address".to_owned());
        }
        // A mixed answer is what an attack looks like.
        for address in &found {
            address::check(address.ip(), trust).map_err(|reason| format!("it resolves to {reason}"))?;
        }
        Ok(found)
    }
}

/// How far each host is trusted that the operator named; all others are [`Trust::Person`].
#[derive(Debug, Default)]
pub(super) struct Trusts {
    hosts: HashMap<String, Trust>,
}

impl Trusts {
    pub(super) fn add(&mut self, host: &str, trust: Trust) {
        let known = self.hosts.entry(host.to_owned()).or_insert(trust);
        *known = trust.max(*known);
    }

    fn of(&self, host: &str) -> Trust {
        self.hosts.get(host).copied().unwrap_or(Trust::Person)
    }
}

struct Guard {
    trusts: Arc<Trusts>,
    names: Names,
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let (trust, names) = (self.trusts.of(name.as_str()), self.names.clone());
        Box::pin(async move {
            let found = names.resolve(name.as_str(), 0, trust).await?;
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

/// What the cache knows already, so that the registry need not send it again.
#[derive(Debug, Default)]
pub(super) struct Known {
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
}

/// What every client of a proxy has: the operator's certificates and proxy, nothing of the environment, no redirect that it follows by
/// itself (it would take credentials elsewhere).
///
/// # Errors
/// [`EgressError::Options`] when a certificate or the address of the proxy is invalid.
pub(super) fn builder(
    certificates: &[Vec<u8>],
    proxy: Option<&str>,
    silence_max: Duration,
) -> Result<ClientBuilder, EgressError> {
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(EGRESS_CONNECT_TIMEOUT)
        .read_timeout(silence_max)
        .referer(false)
        // IMPORTANT: what is kept is what was sent, of a known length. Another crate may have switched these on.
        .no_gzip()
        .no_brotli()
        .no_zstd()
        .no_deflate()
        .no_proxy()
        .user_agent(concat!("orkestra-egress/", env!("CARGO_PKG_VERSION")));
    for pem in certificates {
        let read = reqwest::Certificate::from_pem_bundle(pem);
        builder =
            builder.tls_certs_merge(read.map_err(|error| invalid("a file of certificates cannot be read", &error))?);
    }
    if let Some(proxy) = proxy {
        let what = "the address of the operator's proxy is invalid; give one such as http://proxy.example.com:3128";
        Url::parse(proxy).map_err(|error| invalid(what, &error))?;
        builder = builder.proxy(reqwest::Proxy::all(proxy).map_err(|error| invalid(what, &error))?);
    }
    Ok(builder)
}

pub(super) fn invalid(what: &str, error: &dyn std::fmt::Display) -> EgressError {
    EgressError::Options(format!("{what}: {error}"))
}

/// The client of one proxy.
pub(super) struct Upstream {
    client: Client,
    trusts: Arc<Trusts>,
    names: Names,
    is_proxied: bool,
}

impl Upstream {
    pub(super) fn new(options: &EgressOptions, names: Names) -> Result<Self, EgressError> {
        let mut trusts = Trusts::default();
        for (host, trust) in options.registries.iter().flat_map(Registry::trusted) {
            trusts.add(&host, trust);
        }
        let builder = builder(&options.certificates, options.proxy.as_deref(), EGRESS_SILENCE_MAX)?;
        if let Some(proxy) = options.proxy.as_deref().and_then(|proxy| Url::parse(proxy).ok()) {
            // The proxy of an operator may be anywhere, on this machine too.
            trusts.add(proxy.host_str().unwrap_or_default(), Trust::OperatorLoopback);
        }
        let trusts = Arc::new(trusts);
        let guard = Guard { trusts: Arc::clone(&trusts), names: names.clone() };
        let client = builder.dns_resolver(Arc::new(guard)).build();
        let client = client.map_err(|error| invalid("cannot set up the client of registries", &error))?;
        Ok(Self { client, trusts, names, is_proxied: options.proxy.is_some() })
    }

    /// Asks for an address and follows redirects; returns the answer of any status, and where it came from.
    ///
    /// The error says what is wrong, for an agent.
    pub(super) async fn ask(
        &self,
        method: &Method,
        url: &Url,
        accept: &'static str,
        known: &Known,
        registry: &Registry,
    ) -> Result<(Response, Url), String> {
        let mut url = url.clone();
        for _ in 0..=EGRESS_REDIRECTS_MAX {
            self.check(&url, registry).await?;
            let mut headers = conditions(known);
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            if let Some(credentials) = registry.credentials.as_ref().filter(|_| registry.is_own(&url)) {
                headers.insert(AUTHORIZATION, authorization(credentials)?);
            }
            let asked = self.client.request(method.clone(), url.clone()).headers(headers).send().await;
            let answer = asked.map_err(|error| format!("{} does not answer: {}", host(&url), chain(&error)))?;
            if !matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
                return Ok((answer, url));
            }
            let location = answer.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            let next = location.and_then(|location| url.join(location).ok());
            url = next.ok_or_else(|| format!("{} redirects to an invalid address", host(&url)))?;
        }
        Err(format!("{} redirects more than {EGRESS_REDIRECTS_MAX} times", registry.host()))
    }

    /// The client resolves names through [`Guard`], but connects to an address in a URL without asking it.
    async fn check(&self, url: &Url, registry: &Registry) -> Result<(), String> {
        let host = host(url);
        let is_listed = registry.is_own(url) || registry.files.iter().any(|files| files.origin() == url.origin());
        if !(is_listed || url.scheme() == "https") {
            return Err(format!("{host} was named by the registry without https, which is not followed"));
        }
        // Another port of a trusted host is another service, except that of https, to which plain addresses redirect.
        let is_listed = is_listed || (url.scheme() == "https" && url.port().is_none());
        let trust = if is_listed { self.trusts.of(&host) } else { Trust::Person };
        let is_listed = is_listed && trust > Trust::Person;
        if is_listed && self.is_proxied {
            return Ok(());
        }
        if is_listed && !is_address(url) {
            return Ok(());
        }
        let port = url.port_or_known_default().unwrap_or(443);
        self.names.resolve(&host, port, trust).await.map(|_| ()).map_err(|reason| format!("{host}: {reason}"))
    }
}

fn is_address(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse::<std::net::IpAddr>().is_ok()
}

fn host(url: &Url) -> String {
    url.host_str().unwrap_or_default().to_owned()
}

fn conditions(known: &Known) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [(IF_NONE_MATCH, &known.etag), (IF_MODIFIED_SINCE, &known.last_modified)] {
        if let Some(value) = value.as_deref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    }
    headers
}

fn authorization(credentials: &Credentials) -> Result<HeaderValue, String> {
    let text = match credentials {
        Credentials::Basic { user, password } => {
            format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
        }
        Credentials::Bearer(token) => format!("Bearer {token}"),
        Credentials::Raw(value) => value.clone(),
    };
    let mut value = HeaderValue::from_str(&text)
        .map_err(|_| "the operator's credentials for this registry hold characters that a header cannot".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

/// The error with its causes, without addresses: they may hold what a registry has signed.
fn chain(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause = std::error::Error::source(error);
    while let Some(current) = cause {
        let said = current.to_string();
        if !text.contains(&said) {
            text = if text.is_empty() { said } else { format!("{text}: {said}") };
        }
        cause = current.source();
    }
    if text.is_empty() { "the connection failed".to_owned() } else { text }
}
