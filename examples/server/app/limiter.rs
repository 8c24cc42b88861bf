//! A rate limiter per address with bounded memory. It never reads the clock: the time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many attempts an address may make at once.
const BURST: u32 = 10;
/// After a burst, one attempt is allowed per interval.
const INTERVAL: Duration = Duration::from_secs(6);
/// How many addresses are tracked. Further ones share one allowance, so that a flood cannot fill the memory.
const ADDRESSES_MAX: usize = 10_000;
/// The address of the shared allowance.
const ALL_OTHERS: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// For each address, the time at which its full burst is available again.
///
/// NOTE: behind a reverse proxy every client has the proxy's address; then limit in the proxy.
#[derive(Debug, Default)]
pub(crate) struct Limiter {
    whole_at: Mutex<HashMap<IpAddr, Instant>>,
}

impl Limiter {
    /// Counts an attempt of `address`, or returns how long to wait.
    pub(crate) fn admit(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut whole_at = self.whole_at.lock().unwrap_or_else(PoisonError::into_inner);
        let mut address = network(address);
        if whole_at.len() >= ADDRESSES_MAX && !whole_at.contains_key(&address) {
            whole_at.retain(|_, whole| *whole > now);
            if whole_at.len() >= ADDRESSES_MAX {
                address = ALL_OTHERS;
            }
        }
        let whole = whole_at.get(&address).map_or(now, |whole| (*whole).max(now));
        let wait = (whole - now).saturating_sub(INTERVAL * (BURST - 1));
        if !wait.is_zero() {
            return Err(wait);
        }
        whole_at.insert(address, whole + INTERVAL);
        Ok(())
    }
}

/// The network that usually belongs to one customer: an IPv4 address, or an IPv6 /64.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_burst_then_one_by_one() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let home = IpAddr::V4(Ipv4Addr::LOCALHOST);
        for _ in 0..BURST {
            assert_eq!(limiter.admit(home, start), Ok(()));
        }
        assert_eq!(limiter.admit(home, start), Err(INTERVAL));
        assert_eq!(limiter.admit(home, start + INTERVAL / 2), Err(INTERVAL / 2));
        assert_eq!(limiter.admit(home, start + INTERVAL), Ok(()));
        assert_eq!(limiter.admit(IpAddr::V4(Ipv4Addr::BROADCAST), start), Ok(()), "another address");
    }

    #[test]
    fn one_network_is_one_customer() {
        let parse = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(network(parse("2001:db8::1")), network(parse("2001:db8::ffff:2")));
        assert_ne!(network(parse("2001:db8::1")), network(parse("2001:db8:0:1::1")));
        assert_eq!(network(parse("::ffff:10.0.0.1")), parse("10.0.0.1"));
    }

    #[test]
    fn a_flood_of_addresses_is_remembered_no_further_than_the_limit() {
        let (limiter, start) = (Limiter::default(), Instant::now());
        let addresses = u32::try_from(ADDRESSES_MAX).expect("it fits");
        for bits in 0..addresses + BURST {
            assert_eq!(limiter.admit(IpAddr::V4(Ipv4Addr::from_bits(bits)), start), Ok(()));
        }
        let newcomer = IpAddr::V4(Ipv4Addr::BROADCAST);
        assert_eq!(limiter.admit(newcomer, start), Err(INTERVAL), "the shared allowance is used up");
        assert_eq!(limiter.admit(newcomer, start + INTERVAL), Ok(()), "the others are forgotten");
    }
}
