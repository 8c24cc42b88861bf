//! What kind of network an IP address belongs to, from the special-purpose registries of IANA. Pure: it knows no names and no policy.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What kind of network an IP address belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AddressKind {
    /// Reachable from anywhere in the internet.
    Global,
    /// Of a private network: RFC 1918, shared address space (RFC 6598), unique local IPv6.
    Private,
    /// Of the own machine.
    Loopback,
    /// Of the own network segment.
    LinkLocal,
    /// A service that gives the credentials of a cloud machine to every program on it.
    Metadata,
    /// A group of machines.
    Multicast,
    /// `0.0.0.0/8` or `::`, which most systems take for the own machine.
    Unspecified,
    /// Documentation, benchmarks, transition mechanisms, and what is not assigned.
    Reserved,
}

impl AddressKind {
    /// The kind of an address. An address that carries an IPv4 address (mapped, NAT64) is of the kind of that address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => of_v4(address),
            IpAddr::V6(address) => of_v6(address),
        }
    }
}

impl fmt::Display for AddressKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Global => "global",
            Self::Private => "private",
            Self::Loopback => "loopback",
            Self::LinkLocal => "link-local",
            Self::Metadata => "a cloud metadata service",
            Self::Multicast => "multicast",
            Self::Unspecified => "unspecified",
            Self::Reserved => "reserved",
        })
    }
}

/// The first network that contains an address decides.
const V4: &[([u8; 4], u32, AddressKind)] = &[
    ([169, 254, 169, 254], 32, AddressKind::Metadata), // AWS, Azure, GCP, OpenStack, DigitalOcean
    ([169, 254, 170, 0], 24, AddressKind::Metadata),   // AWS: credentials of containers and pods
    ([100, 100, 100, 200], 32, AddressKind::Metadata), // Alibaba
    ([168, 63, 129, 16], 32, AddressKind::Metadata),   // Azure's wire server, a global address
    ([192, 0, 0, 192], 32, AddressKind::Metadata),     // Oracle
    ([0, 0, 0, 0], 8, AddressKind::Unspecified),
    ([10, 0, 0, 0], 8, AddressKind::Private),
    ([100, 64, 0, 0], 10, AddressKind::Private),
    ([127, 0, 0, 0], 8, AddressKind::Loopback),
    ([169, 254, 0, 0], 16, AddressKind::LinkLocal),
    ([172, 16, 0, 0], 12, AddressKind::Private),
    ([192, 0, 0, 0], 24, AddressKind::Reserved),
    ([192, 0, 2, 0], 24, AddressKind::Reserved),
    ([192, 88, 99, 0], 24, AddressKind::Reserved),
    ([192, 168, 0, 0], 16, AddressKind::Private),
    ([198, 18, 0, 0], 15, AddressKind::Reserved),
    ([198, 51, 100, 0], 24, AddressKind::Reserved),
    ([203, 0, 113, 0], 24, AddressKind::Reserved),
    ([224, 0, 0, 0], 4, AddressKind::Multicast),
    ([240, 0, 0, 0], 4, AddressKind::Reserved),
];

/// As [`V4`]. What no row contains is outside of the global unicast space.
const V6: &[([u16; 8], u32, AddressKind)] = &[
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254], 128, AddressKind::Metadata), // AWS
    ([0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23], 128, AddressKind::Metadata),  // AWS: credentials of pods
    ([0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254], 128, AddressKind::Metadata),  // GCP
    ([0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42], 128, AddressKind::Metadata),   // Scaleway
    ([0, 0, 0, 0, 0, 0, 0, 0], 128, AddressKind::Unspecified),
    ([0, 0, 0, 0, 0, 0, 0, 1], 128, AddressKind::Loopback),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7, AddressKind::Private),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10, AddressKind::LinkLocal),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8, AddressKind::Multicast),
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23, AddressKind::Reserved), // protocols: Teredo, benchmarks, ORCHID
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32, AddressKind::Reserved),
    ([0x2002, 0, 0, 0, 0, 0, 0, 0], 16, AddressKind::Reserved), // 6to4: its relays are gone, and it carries any IPv4 address
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20, AddressKind::Reserved),
    ([0x2000, 0, 0, 0, 0, 0, 0, 0], 3, AddressKind::Global),
];

fn of_v4(address: Ipv4Addr) -> AddressKind {
    let bits = u32::from(address);
    let contains = |network: &[u8; 4], prefix: u32| (bits ^ u32::from(Ipv4Addr::from(*network))) >> (32 - prefix) == 0;
    let row = V4.iter().find(|(network, prefix, _)| contains(network, *prefix));
    row.map_or(AddressKind::Global, |(_, _, kind)| *kind)
}

fn of_v6(address: Ipv6Addr) -> AddressKind {
    if let Some(inside) = carried(address) {
        return of_v4(inside);
    }
    let bits = u128::from(address);
    let contains =
        |network: &[u16; 8], prefix: u32| (bits ^ u128::from(Ipv6Addr::from(*network))) >> (128 - prefix) == 0;
    let row = V6.iter().find(|(network, prefix, _)| contains(network, *prefix));
    row.map_or(AddressKind::Reserved, |(_, _, kind)| *kind)
}

/// The IPv4 address that the system (mapped) or the network (NAT64, as on networks without IPv4) would connect to instead.
fn carried(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let [a, b, c, d, e, f, high, low] = address.segments();
    let is_nat64 = [a, b, c, d, e, f] == [0x64, 0xff9b, 0, 0, 0, 0];
    let inside = Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    address.to_ipv4_mapped().or(is_nat64.then_some(inside))
}

#[cfg(test)]
mod tests {
    use super::AddressKind;
    use super::AddressKind::{Global, LinkLocal, Loopback, Metadata, Multicast, Private, Reserved, Unspecified};

    #[test]
    fn every_special_network_is_recognised_at_both_of_its_ends() {
        let table: &[(AddressKind, &[&str])] = &[
            (Unspecified, &["0.0.0.0", "0.255.255.255", "::", "::ffff:0.0.0.0"]),
            (Loopback, &["127.0.0.0", "127.255.255.255", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]),
            (
                Private,
                &["10.0.0.0", "10.255.255.255", "172.16.0.0", "172.31.255.255", "192.168.0.0", "192.168.255.255"],
            ),
            (Private, &["100.64.0.0", "100.127.255.255", "fc00::", "fdff::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]),
            (LinkLocal, &["169.254.0.0", "169.254.255.255", "fe80::1", "febf::1"]),
            (Metadata, &["169.254.169.254", "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe", "fd00:ec2::254"]),
            (Metadata, &["100.100.100.200", "168.63.129.16", "192.0.0.192", "169.254.170.2", "169.254.170.23"]),
            (Metadata, &["fd20:ce::254", "fd00:ec2::23", "fd00:42::42"]),
            (Multicast, &["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"]),
            (Reserved, &["192.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.0", "198.19.255.255", "198.51.100.1"]),
            (Reserved, &["203.0.113.1", "240.0.0.0", "255.255.255.255", "2001::1", "2001:1ff::1", "2001:db8::1"]),
            (Reserved, &["2002:7f00:1::", "2002:808:808::1", "3fff::1", "fec0::1", "4000::1", "100::1", "5f00::1"]),
            // IPv4-compatible, IPv4-translated, local NAT64.
            (Reserved, &["::7f00:1", "::ffff:0:7f00:1", "64:ff9b:1::7f00:1"]),
            (Global, &["1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0"]),
            (Global, &["126.255.255.255", "128.0.0.0", "169.253.0.1", "169.255.0.1", "172.15.0.1", "172.32.0.1"]),
            (Global, &["192.167.0.1", "192.169.0.1", "198.17.0.1", "198.20.0.1", "223.255.255.255"]),
            (Global, &["2001:200::1", "2001:4860:4860::8888", "2606:4700::1111", "2003::1", "::ffff:8.8.8.8"]),
            (Global, &["64:ff9b::808:808", "3ffe::1"]),
        ];
        for (kind, addresses) in table {
            for address in *addresses {
                let parsed = address.parse().expect("an address");
                assert_eq!(AddressKind::of(parsed), *kind, "{address}");
            }
        }
    }
}
