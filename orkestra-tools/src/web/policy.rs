//! Which addresses may be connected to: a value that its holder passes on, with nothing global.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

use url::Host;

use super::address::AddressKind;
use super::error::{Denial, Denied};
use crate::egress::AllowedHost;

/// Which addresses may be connected to. By default: global ones, and never those of the own machine.
///
/// ```
/// use orkestra_tools::web::AddressPolicy;
///
/// let policy = AddressPolicy::global().with_private_host("search.internal");
/// assert!(policy.check("search.internal", 443, "10.1.2.3".parse().unwrap()).is_ok());
/// assert!(policy.check("other.internal", 443, "10.1.2.3".parse().unwrap()).is_err());
/// assert!(policy.check("search.internal", 443, "127.0.0.1".parse().unwrap()).is_err());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddressPolicy {
    private_hosts: BTreeSet<String>,
    loopback_ports: BTreeSet<u16>,
    /// The only hosts, if they are limited.
    hosts: Option<Vec<AllowedHost>>,
    /// Whether loopback addresses are decided elsewhere, by who listens there.
    has_own_servers: bool,
}

impl AddressPolicy {
    /// Global addresses only.
    #[must_use]
    pub fn global() -> Self {
        Self::default()
    }

    /// Lets this host (a name or an address, without port) have a private address too. For hosts of the operator's own
    /// configuration, never for one that a tenant, a repository or a model names. Loopback, link-local and metadata addresses
    /// and those of the own machine stay denied.
    #[must_use]
    pub fn with_private_host(mut self, host: &str) -> Self {
        self.private_hosts.insert(normal(host));
        self
    }

    /// Opens this port of `localhost` and the loopback addresses, and no other: for a service that
    /// the operator runs beside this process, and servers of tests. A browser reaches the agent's own servers without this. Another
    /// name that resolves to a loopback address stays denied.
    #[must_use]
    pub fn with_loopback_port(mut self, port: u16) -> Self {
        self.loopback_ports.insert(port);
        self
    }

    /// Denies every host but these (and an open port of loopback), IP addresses too: for a run whose commands reach no others.
    #[must_use]
    pub fn with_hosts_only(mut self, hosts: impl IntoIterator<Item = AllowedHost>) -> Self {
        self.hosts = Some(hosts.into_iter().collect());
        self
    }

    /// Whether a connection to this address is allowed, when it was resolved from this host. IMPORTANT: connect to this
    /// address, and do not resolve the host again.
    ///
    /// # Errors
    /// [`Denied`], which says why and what to do.
    pub fn check(&self, host: &str, port: u16, address: IpAddr) -> Result<(), Denied> {
        self.check_at(host, Some(port), address)
    }

    /// As [`Self::check`]; without a port, where the port was checked by [`Self::check_name`].
    pub(crate) fn check_at(&self, host: &str, port: Option<u16>, address: IpAddr) -> Result<(), Denied> {
        let host = normal(host);
        let kind = AddressKind::of(address);
        let denied = |reason| Err(Denied { host: host.clone(), address: Some(address), reason });
        match kind {
            AddressKind::Loopback if is_localhost(&host) && self.opens(port) => Ok(()),
            _ if port.is_some_and(|port| !self.lists(&host, port)) => denied(Denial::NotListed),
            AddressKind::Private if !self.private_hosts.contains(&host) => denied(Denial::Kind(kind)),
            AddressKind::Global | AddressKind::Private if is_of_this_machine(address) => denied(Denial::ThisMachine),
            AddressKind::Global | AddressKind::Private => Ok(()),
            _ => denied(Denial::Kind(kind)),
        }
    }

    /// Refuses `localhost` by name, before anything is resolved, and its closed ports.
    pub(crate) fn check_name(&self, host: &str, port: u16) -> Result<(), Denied> {
        let host = normal(host);
        if is_localhost(&host) && !self.opens(Some(port)) {
            return Err(Denied { host, address: None, reason: Denial::Kind(AddressKind::Loopback) });
        }
        if !is_localhost(&host) && !self.lists(&host, port) {
            return Err(Denied { host, address: None, reason: Denial::NotListed });
        }
        Ok(())
    }

    fn lists(&self, host: &str, port: u16) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.iter().any(|allowed| allowed.matches(host, port)))
    }

    /// Lets all ports of the loopback address pass, for addresses that [`super::reach::Reach`] connects to.
    #[must_use]
    pub(crate) fn with_own_servers(mut self) -> Self {
        self.has_own_servers = true;
        self
    }

    /// Whether the operator opened this port.
    pub(crate) fn opens_loopback(&self, port: u16) -> bool {
        self.loopback_ports.contains(&port)
    }

    fn opens(&self, port: Option<u16>) -> bool {
        if self.has_own_servers {
            return true;
        }
        port.map_or(!self.loopback_ports.is_empty(), |port| self.loopback_ports.contains(&port))
    }
}

/// Whether a host is this machine's loopback by its name or as an address, in any spelling.
pub(crate) fn is_loopback_host(host: &str) -> bool {
    is_localhost(&normal(host))
}

/// One spelling for each host, as browsers write it, without brackets and without a dot at the end.
fn normal(host: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host.strip_suffix('.').unwrap_or(host);
    match (host.parse::<Ipv6Addr>(), Host::parse(host)) {
        (Ok(address), _) => address.to_string(),
        (_, Ok(host)) => host.to_string(),
        _ => host.to_ascii_lowercase(),
    }
}

/// `localhost`, a name below it, or a loopback address as text. Expects a normal host.
fn is_localhost(host: &str) -> bool {
    let is_loopback = |address| AddressKind::of(address) == AddressKind::Loopback;
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_loopback)
}

/// Whether the address is one of this machine's own. Asks the routing table; nothing is sent: a connection to an own address
/// comes from that address.
pub(crate) fn is_of_this_machine(address: IpAddr) -> bool {
    let any: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        // Any port: no datagram follows.
        socket.connect((address, 9))?;
        socket.local_addr()
    });
    source.is_ok_and(|source| source.ip() == address)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, UdpSocket};

    use super::{AddressPolicy, is_of_this_machine};
    use crate::egress::AllowedHost;

    #[test]
    fn each_kind_of_address_is_allowed_or_denied_by_its_door_alone() {
        let operator = AddressPolicy::global().with_private_host("Search.Internal.").with_private_host("10.0.0.7");
        let operator = operator.with_private_host("Bücher.internal").with_private_host("[FD12:0::1]");
        let dev = AddressPolicy::global().with_loopback_port(8000);
        let global = AddressPolicy::global();
        let table = [
            (&global, "a.example", 80, "93.184.216.34", true),
            (&global, "a.example", 80, "10.0.0.7", false),
            (&global, "10.0.0.7", 80, "10.0.0.7", false),
            (&global, "localhost", 80, "127.0.0.1", false),
            (&operator, "search.internal", 80, "10.0.0.7", true),
            (&operator, "SEARCH.internal.", 80, "fd12::1", true),
            (&operator, "10.0.0.7", 80, "10.0.0.7", true),
            (&operator, "10.0.0.8", 80, "10.0.0.8", false),
            (&operator, "xn--bcher-kva.internal", 80, "10.0.0.7", true),
            (&operator, "fd12::1", 80, "fd12::1", true),
            (&operator, "sub.search.internal", 80, "10.0.0.7", false),
            (&operator, "search.internal", 80, "127.0.0.1", false),
            (&operator, "search.internal", 80, "169.254.169.254", false),
            (&operator, "search.internal", 80, "169.254.1.1", false),
            (&operator, "search.internal", 80, "fe80::1", false),
            (&operator, "search.internal", 80, "fd00:ec2::254", false),
            (&operator, "search.internal", 80, "100.100.100.200", false),
            (&operator, "search.internal", 80, "0.0.0.0", false),
            (&operator, "search.internal", 80, "::ffff:127.0.0.1", false),
            (&dev, "localhost", 8000, "127.0.0.1", true),
            (&dev, "localhost", 8000, "::1", true),
            (&dev, "127.0.0.1", 8000, "127.0.0.1", true),
            (&dev, "[::1]", 8000, "::1", true),
            (&dev, "app.localhost", 8000, "127.0.0.1", true),
            (&dev, "localhost", 8001, "127.0.0.1", false),
            (&dev, "rebind.example", 8000, "127.0.0.1", false),
            (&dev, "localhost.example", 8000, "127.0.0.1", false),
            (&dev, "localhost", 8000, "10.0.0.1", false),
            (&dev, "localhost", 8000, "0.0.0.0", false),
        ];
        for (policy, host, port, address, expected) in table {
            let address: IpAddr = address.parse().expect("an address");
            let result = policy.check(host, port, address);
            assert_eq!(result.is_ok(), expected, "{policy:?} {host} {port} {address}: {result:?}");
        }
    }

    #[test]
    fn hosts_that_are_not_on_the_list_are_denied_by_name_and_by_address() {
        let host = |text| AllowedHost::new(text).expect("a host");
        let policy = AddressPolicy::global().with_hosts_only([host("a.example"), host("*.b.example:8443")]);
        let policy = policy.with_loopback_port(8000);
        for (name, port, address, expected) in [
            ("A.example.", 443, "93.184.216.34", true),
            ("x.b.example", 8443, "93.184.216.34", true),
            ("localhost", 8000, "127.0.0.1", true),
            ("a.example", 80, "93.184.216.34", false),
            ("b.example", 8443, "93.184.216.34", false),
            ("other.example", 443, "93.184.216.34", false),
            ("93.184.216.34", 443, "93.184.216.34", false),
            ("a.example", 443, "10.0.0.7", false),
            ("a.example", 443, "127.0.0.1", false),
        ] {
            let address: IpAddr = address.parse().expect("an address");
            let is_allowed = policy.check_name(name, port).is_ok() && policy.check(name, port, address).is_ok();
            assert_eq!(is_allowed, expected, "{name}:{port} {address}");
        }
        let denied = policy.check_name("other.example", 443).expect_err("it is not listed").to_string();
        assert!(denied.contains("other.example") && denied.contains("ask a person to allow it"), "{denied}");
        assert!(AddressPolicy::global().with_hosts_only([]).check_name("a.example", 443).is_err());
    }

    #[test]
    fn an_address_of_this_machine_is_denied_even_to_hosts_of_the_operator() {
        // The address that this machine would use towards the internet, if it has a route; else loopback has to do.
        let socket = UdpSocket::bind("0.0.0.0:0").expect("bound");
        let own = socket.connect("192.0.2.1:9").and_then(|()| socket.local_addr());
        let own = own.map_or(IpAddr::from([127, 0, 0, 1]), |own| own.ip());
        assert!(is_of_this_machine(own), "{own}");
        assert!(!is_of_this_machine([192, 0, 2, 1].into()) && !is_of_this_machine([8, 8, 8, 8].into()));
        let policy = AddressPolicy::global().with_private_host("search.internal");
        assert!(policy.check("search.internal", 80, own).is_err(), "{own}");
    }
}
