//! The checks before a connection: addresses as text, and the names in them. A name is resolved once, all its addresses are checked,
//! and these addresses are returned for the connection.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use async_trait::async_trait;
use url::{Host, Url};

use super::error::{Denied, FetchError};
use super::policy::AddressPolicy;
use super::untrusted::one_line;
use crate::limits::{RESOLVED_ADDRESSES_MAX, URL_BYTES_MAX};

/// Resolves host names.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The addresses of a host name.
    ///
    /// # Errors
    /// When the name does not exist or the resolver does not answer.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let found = tokio::net::lookup_host((host, 0)).await?;
        Ok(found.map(|address| address.ip()).collect())
    }
}

/// Decides for one client, proxy or browser what may be connected to. Cheap to clone.
#[derive(Clone)]
pub struct Guard {
    policy: Arc<AddressPolicy>,
    resolver: Arc<dyn Resolver>,
}

impl Guard {
    /// A guard with the resolver of the system.
    #[must_use]
    pub fn new(policy: AddressPolicy) -> Self {
        Self { policy: Arc::new(policy), resolver: Arc::new(SystemResolver) }
    }

    /// Replaces the resolver.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Arc<dyn Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// As [`AddressPolicy::with_own_servers`].
    pub(crate) fn with_own_servers(&self) -> Self {
        let policy = AddressPolicy::clone(&self.policy).with_own_servers();
        Self { policy: Arc::new(policy), resolver: Arc::clone(&self.resolver) }
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &AddressPolicy {
        &self.policy
    }

    /// Resolves a host once and checks all its addresses. IMPORTANT: connect to these, and do not resolve the host again.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// use orkestra_tools::web::{AddressPolicy, Guard};
    ///
    /// let guard = Guard::new(AddressPolicy::global());
    /// assert!(guard.resolve("0x7f.1", 443).await.is_err(), "127.0.0.1, as a browser reads it");
    /// # });
    /// ```
    ///
    /// # Errors
    /// [`FetchError::Invalid`] for what is not a host, [`FetchError::Unresolved`], and [`FetchError::Denied`] if *any* address
    /// is denied: a mixed answer is what an attack looks like.
    pub async fn resolve(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, FetchError> {
        let with_brackets = if host.contains(':') && !host.starts_with('[') { &format!("[{host}]") } else { host };
        let parsed = Host::parse(with_brackets).map_err(|error| invalid(host, &format!("the host: {error}")))?;
        self.check_host(&parsed, port)?;
        let addresses = match parsed {
            Host::Ipv4(address) => vec![IpAddr::from(address)],
            Host::Ipv6(address) => vec![IpAddr::from(address)],
            Host::Domain(name) => self.resolve_name(&name, Some(port)).await?,
        };
        Ok(addresses.into_iter().map(|address| SocketAddr::new(address, port)).collect())
    }

    /// As [`Self::resolve`], for a domain name whose port has been checked.
    pub(crate) async fn resolve_name(&self, name: &str, port: Option<u16>) -> Result<Vec<IpAddr>, FetchError> {
        let unresolved = |reason: String| FetchError::Unresolved { host: name.to_owned(), reason };
        let mut addresses = self.resolver.resolve(name).await.map_err(|error| unresolved(error.to_string()))?;
        addresses.truncate(RESOLVED_ADDRESSES_MAX);
        if addresses.is_empty() {
            return Err(unresolved("it has no address".to_owned()));
        }
        for address in &addresses {
            self.policy.check_at(name, port, *address)?;
        }
        Ok(addresses)
    }

    /// Parses an address as a browser does and checks all that can be known without resolving its host. The fragment is
    /// removed.
    ///
    /// # Errors
    /// [`FetchError::Invalid`] and [`FetchError::Denied`].
    pub(crate) fn parse(&self, text: &str) -> Result<Url, FetchError> {
        let text = text.trim();
        if text.len() > URL_BYTES_MAX {
            return Err(invalid(text, &format!("it is longer than {URL_BYTES_MAX} bytes; use a shorter address")));
        }
        let url = Url::parse(text).map_err(|error| {
            invalid(text, &format!("{error}; use a complete address such as https://example.com/page"))
        })?;
        self.check_url(url)
    }

    pub(crate) fn check_url(&self, mut url: Url) -> Result<Url, FetchError> {
        let refuse = |reason: &str| Err(invalid(url.as_str(), reason));
        if url.as_str().len() > URL_BYTES_MAX {
            return refuse("the address is too long; use a shorter one");
        }
        if !matches!(url.scheme(), "http" | "https") {
            return refuse("only http and https addresses are fetched");
        }
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("it has a user name or password in it; remove them");
        }
        let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
            return refuse("it has no host; use a complete address such as https://example.com/page");
        };
        if port == 0 {
            return refuse("port 0 does not exist; use another port");
        }
        self.check_host(&host, port)?;
        url.set_fragment(None);
        Ok(url)
    }

    fn check_host<S: AsRef<str>>(&self, host: &Host<S>, port: u16) -> Result<(), Denied> {
        match host {
            Host::Domain(name) => self.policy.check_name(name.as_ref(), port),
            Host::Ipv4(address) => self.policy.check(&address.to_string(), port, IpAddr::from(*address)),
            Host::Ipv6(address) => self.policy.check(&address.to_string(), port, IpAddr::from(*address)),
        }
    }
}

impl fmt::Debug for Guard {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Guard").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// Longest address in an error, bytes.
const SHOWN_BYTES_MAX: usize = 120;

/// The address without its query and credentials, shortened, in visible characters.
pub(crate) fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    let url = match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}{}", &url[..scheme + 3], &url[at + 1..]),
        _ => url.to_owned(),
    };
    format!("`{}`", one_line(&url, SHOWN_BYTES_MAX))
}

fn invalid(url: &str, reason: &str) -> FetchError {
    FetchError::Invalid { url: shown(url), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::super::error::FetchError;
    use super::{AddressPolicy, Guard, shown};

    #[test]
    fn every_form_of_a_denied_host_is_denied_before_anything_is_resolved() {
        let guard = Guard::new(AddressPolicy::global());
        let denied = [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0x7f.0.0.1/",
            "http://0177.0.0.1/",
            "http://017700000001/",
            "http://127.0.0.1./",
            "http://127%2e0%2e0%2e1/",
            "http://%31%32%37.0.0.1/",
            "http://①②⑦.⓪.⓪.①/",
            "http://127。0。0。1/",
            "http:127.0.0.1/",
            "http:\\\\127.0.0.1\\",
            "http://\t127.0.0.1/",
            "http://127.0\n.0.1/",
            "http://0/",
            "http://0.0.0.0:80/",
            "http://[::]/",
            "http://[::1]/",
            "http://[0:0:0:0:0:0:0:1]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::ffff:7f00:1]/",
            "http://[64:ff9b::127.0.0.1]/",
            "http://[2002:7f00:1::]/",
            "http://[::127.0.0.1]/",
            "http://[fe80::1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0xa9fea9fe/",
            "http://2852039166/",
            "http://10.0.0.1/",
            "http://192.168.1.1:8080/",
            "http://100.64.0.1/",
            "http://localhost/",
            "http://LOCALHOST:80/",
            "http://localhost./",
            "http://a.localhost/",
            "http://ⓛocalhost/",
            "https://224.0.0.1/",
        ];
        for url in denied {
            let error = guard.parse(url).expect_err(url);
            assert!(matches!(error, FetchError::Denied(_)), "{url}: {error}");
        }
    }

    #[test]
    fn what_is_not_a_web_address_is_invalid() {
        let guard = Guard::new(AddressPolicy::global());
        let table = [
            ("", "complete address"),
            ("example.com", "complete address"),
            ("/etc/passwd", "complete address"),
            ("file:///etc/passwd", "only http and https"),
            ("ftp://example.com/", "only http and https"),
            ("gopher://example.com/", "only http and https"),
            ("data:text/html,x", "only http and https"),
            ("javascript:alert(1)", "only http and https"),
            ("view-source:http://example.com", "only http and https"),
            ("http://", "complete address"),
            ("http://user:secret@example.com/", "user name or password"),
            ("http://user@example.com/", "user name or password"),
            ("http://example.com:0/", "port 0"),
            ("http://example.com:65536/", "port"),
            ("http://1.2.3.4.5/", "IPv4"),
            ("http://1.2.3.256/", "IPv4"),
            ("http://[fe80::1%25eth0]/", "IPv6"),
            ("http://exa mple.com/", "domain"),
            ("http://a%00b.example/", "domain"),
        ];
        for (url, expected) in table {
            let error = guard.parse(url).expect_err(url);
            assert!(matches!(error, FetchError::Invalid { .. }), "{url}: {error}");
            let text = error.to_string();
            assert!(text.contains(expected) && !text.contains("secret"), "{url}: {text}");
        }
        let long = format!("http://example.com/{}", "x".repeat(10_000));
        assert!(guard.parse(&long).expect_err("long").to_string().len() < 300);
    }

    #[test]
    fn public_addresses_pass_in_one_spelling() {
        let guard = Guard::new(AddressPolicy::global());
        let table = [
            (" https://example.com ", "https://example.com/"),
            ("HTTP://EXAMPLE.com:80/a?b#c", "http://example.com/a?b"),
            ("http://134744072/", "http://8.8.8.8/"),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
            ("http://[2606:4700::1111]:8080/", "http://[2606:4700::1111]:8080/"),
        ];
        for (url, expected) in table {
            assert_eq!(guard.parse(url).expect(url).as_str(), expected);
        }
    }

    #[test]
    fn what_is_shown_of_an_address_has_no_secrets() {
        assert_eq!(shown("https://u:p@h.example/a?key=1#x"), "`https://h.example/a`");
        assert_eq!(shown("http://h.example/\u{1b}[31m"), "`http://h.example/`");
        assert_eq!(shown("https://u:p/@h.example"), "`https://h.example`");
        assert!(shown(&"x".repeat(500)).len() < 140);
    }
}
