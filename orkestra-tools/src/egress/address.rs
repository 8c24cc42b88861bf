//! Which network addresses the egress proxy may connect to. Pure, except for [`is_own`].
//!
//! It must never say that an address is global because it is unknown: the list of what is global is derived from what is
//! reserved, and an IPv6 address that carries an IPv4 address is judged by that one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The public internet.
    Global,
    /// Somebody's own network: private, shared, reserved for documentation or tests.
    Private,
    /// This machine.
    Loopback,
    /// Never to be reached: link-local, cloud metadata, multicast, unspecified.
    Forbidden,
}

/// Cloud metadata services outside the link-local range: Alibaba, Azure, Oracle, and AWS over IPv6.
const METADATA: [IpAddr; 4] = [
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
];

/// How far a destination is trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Trust {
    /// Named by a person for a run, or by what an upstream answered: global addresses only.
    Person,
    /// Named in the operator's configuration: private addresses too.
    Operator,
    /// A registry that the operator configured on a loopback address, by that address or as `localhost`.
    OperatorLoopback,
}

/// Whether a destination of this trust may have this address; if not, what is wrong with it.
pub(crate) fn check(address: IpAddr, trust: Trust) -> Result<(), &'static str> {
    match (reach(address), trust) {
        (Reach::Forbidden, _) => Err("a link-local, metadata or multicast address, which is never allowed"),
        (Reach::Loopback, Trust::OperatorLoopback) => Ok(()),
        (Reach::Loopback, _) => Err("a loopback address, which is never allowed"),
        (Reach::Private, Trust::Person) => Err("a private or reserved address, which only the operator's own configuration can allow"),
        (Reach::Private | Reach::Global, Trust::OperatorLoopback) => Ok(()),
        (Reach::Private | Reach::Global, _) if is_own(address) => Err("an address of the host itself, which is never allowed"),
        (Reach::Private | Reach::Global, _) => Ok(()),
    }
}

/// Where the address leads.
pub(crate) fn reach(address: IpAddr) -> Reach {
    if METADATA.contains(&address) {
        return Reach::Forbidden;
    }
    match address {
        IpAddr::V4(address) => reach_v4(address),
        IpAddr::V6(address) => reach_v6(address),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    match (a, b, c) {
        // "This network", link-local, multicast and the rest of the top, broadcast included.
        (0, ..) | (169, 254, _) | (224.., ..) => Reach::Forbidden,
        (127, ..) => Reach::Loopback,
        (10, ..) | (172, 16..=31, _) | (192, 168, _) | (100, 64..=127, _) => Reach::Private,
        // Protocol assignments, documentation, benchmarks, and the retired relay of 6to4.
        (192, 0, 0 | 2) | (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => Reach::Private,
        _ => Reach::Global,
    }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    if let Some(inner) = embedded(address) {
        return reach(IpAddr::V4(inner));
    }
    let first = address.segments()[0];
    if address == Ipv6Addr::LOCALHOST {
        return Reach::Loopback;
    }
    if address == Ipv6Addr::UNSPECIFIED || first & 0xffc0 == 0xfe80 || first & 0xff00 == 0xff00 {
        return Reach::Forbidden;
    }
    match address.segments() {
        // Documentation, Teredo and other protocol assignments lie inside the global range.
        [0x2001, 0xdb8 | 0..=0x1ff, ..] | [0x3fff, 0..=0xfff, ..] => Reach::Private,
        [0x2000..=0x3fff, ..] => Reach::Global,
        _ => Reach::Private,
    }
}

/// The IPv4 address inside: mapped, compatible, NAT64 (both prefixes) and 6to4.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let segments = address.segments();
    let from = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match segments {
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => None,
        [0, 0, 0, 0, 0 | 0xffff, 0, high, low]
        | [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x64, 0xff9b, 1, _, _, _, high, low] => Some(from(high, low)),
        [0x2002, high, low, ..] => Some(from(high, low)),
        _ => None,
    }
}

/// Whether this host has the address: then a socket can be bound to it. Where the kernel lets sockets bind to addresses that
/// the host does not have (`ip_nonlocal_bind`), a documentation address binds too, and the answer is no.
fn is_own(address: IpAddr) -> bool {
    let binds = |address: IpAddr| UdpSocket::bind((address, 0)).is_ok();
    let nowhere = match address {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 253)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 0xfd)),
    };
    binds(address) && (address == nowhere || !binds(nowhere))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_address_is_judged() {
        for (address, expected) in [
            ("1.1.1.1", Reach::Global),
            ("2606:4700::1111", Reach::Global),
            ("10.1.2.3", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.1", Reach::Global),
            ("192.168.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("198.18.0.1", Reach::Private),
            ("203.0.113.80", Reach::Private),
            ("fd12::1", Reach::Private),
            ("2001:db8::1", Reach::Private),
            ("2001::1", Reach::Private),
            ("fec0::1", Reach::Private),
            ("127.0.0.1", Reach::Loopback),
            ("127.255.255.254", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("::ffff:127.0.0.1", Reach::Loopback),
            ("::127.0.0.1", Reach::Loopback),
            ("64:ff9b::7f00:1", Reach::Loopback),
            ("64:ff9b:1::a9fe:a9fe", Reach::Forbidden),
            ("2002:7f00:1::", Reach::Loopback),
            ("0.0.0.0", Reach::Forbidden),
            ("0.1.2.3", Reach::Forbidden),
            ("169.254.169.254", Reach::Forbidden),
            ("::ffff:169.254.169.254", Reach::Forbidden),
            ("100.100.100.200", Reach::Forbidden),
            ("168.63.129.16", Reach::Forbidden),
            ("::ffff:168.63.129.16", Reach::Forbidden),
            ("fd00:ec2::254", Reach::Forbidden),
            ("fe80::1", Reach::Forbidden),
            ("ff02::1", Reach::Forbidden),
            ("::", Reach::Forbidden),
            ("224.0.0.1", Reach::Forbidden),
            ("255.255.255.255", Reach::Forbidden),
        ] {
            let parsed: IpAddr = address.parse().expect("an address");
            assert_eq!(reach(parsed), expected, "{address}");
        }
    }

    #[test]
    fn trust_decides_what_is_allowed() {
        let allowed = |address: &str, trust| check(address.parse().expect("an address"), trust).is_ok();
        for (address, expected) in [
            ("1.1.1.1", [true, true, true]),
            ("10.255.255.254", [false, true, true]),
            ("127.0.0.1", [false, false, true]),
            ("169.254.169.254", [false, false, false]),
        ] {
            let found = [Trust::Person, Trust::Operator, Trust::OperatorLoopback].map(|trust| allowed(address, trust));
            assert_eq!(found, expected, "{address}");
        }
    }
}
