//! Which network addresses the egress proxy may connect to, by how far a destination is trusted. What kind of network an address
//! belongs to is decided in one place for the whole crate, [`AddressKind`].

use std::net::IpAddr;

use crate::web::{AddressKind, is_of_this_machine};

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
pub(crate) fn check(address: IpAddr, trust: Trust) -> Result<(), String> {
    let kind = AddressKind::of(address);
    let is_private = match kind {
        AddressKind::Global => false,
        AddressKind::Private => true,
        // Networks for documentation and tests are what some gateways answer with for every name. IPv6 addresses that lead
        // elsewhere through a translation are not among them.
        AddressKind::Reserved if address.is_ipv4() => true,
        AddressKind::Loopback if trust == Trust::OperatorLoopback => return Ok(()),
        _ => return Err(format!("{address} ({kind}), which is never allowed")),
    };
    if is_private && trust == Trust::Person {
        return Err(format!("{address} ({kind}), which only the operator's own configuration can allow"));
    }
    if trust < Trust::OperatorLoopback && is_of_this_machine(address) {
        return Err(format!("{address}, an address of the host itself, which is never allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trust_decides_what_is_allowed() {
        let allowed = |address: &str, trust| check(address.parse().expect("an address"), trust).is_ok();
        for (address, expected) in [
            ("1.1.1.1", [true, true, true]),
            ("2606:4700::1111", [true, true, true]),
            ("10.255.255.254", [false, true, true]),
            ("fd12::1", [false, true, true]),
            ("203.0.113.80", [false, true, true]),
            ("127.0.0.1", [false, false, true]),
            ("::ffff:127.0.0.1", [false, false, true]),
            ("169.254.169.254", [false, false, false]),
            ("64:ff9b::a9fe:a9fe", [false, false, false]),
            ("64:ff9b:1::7f00:1", [false, false, false]),
            ("2002:7f00:1::", [false, false, false]),
            ("168.63.129.16", [false, false, false]),
            ("0.0.0.0", [false, false, false]),
            ("ff02::1", [false, false, false]),
        ] {
            let found = [Trust::Person, Trust::Operator, Trust::OperatorLoopback].map(|trust| allowed(address, trust));
            assert_eq!(found, expected, "{address}");
        }
    }
}
