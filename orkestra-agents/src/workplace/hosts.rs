//! How often the commands of a run used which host: sums and differences of what sandboxes count. Pure.
//!
//! A sandbox counts from its start, in memory. What was counted since the last look is stored with the call after which it was
//! looked at, so that it is counted once, whatever crashes.

use orkestra_tools::egress::HostUse;

/// The most hosts that one attempt records by name: the sum is stored again whenever it changes.
const HOSTS_MAX: usize = 50;
/// The name under which the others are counted together; the proxy's own name for them.
const OTHERS: &str = "(other hosts)";

/// What was told of a sandbox's counts, and what is left of sandboxes that were lost.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    told: Vec<HostUse>,
    left: Vec<HostUse>,
}

impl Ledger {
    /// What is new in the counts of the sandbox that runs now.
    pub(super) fn take(&mut self, now: Vec<HostUse>) -> Vec<HostUse> {
        let mut new = std::mem::take(&mut self.left);
        let since = now.iter().map(|used| since(&self.told, used)).filter(|used| !is_zero(used)).collect::<Vec<_>>();
        add(&mut new, &since);
        self.told = now;
        new
    }

    /// Keeps the last counts of a sandbox when it is replaced: the next one counts from zero.
    pub(super) fn lose(&mut self, last: Vec<HostUse>) {
        self.left = self.take(last);
        self.told.clear();
    }
}

/// Adds `more` to `sum`. Beyond [`HOSTS_MAX`] names, hosts are counted together.
pub(crate) fn add(sum: &mut Vec<HostUse>, more: &[HostUse]) {
    for used in more {
        let is_new = !sum.iter().any(|known| known.host == used.host);
        let name = if is_new && sum.len() >= HOSTS_MAX { OTHERS } else { &used.host };
        let position = sum.iter().position(|known| known.host == name).unwrap_or_else(|| {
            sum.push(named(name));
            sum.len() - 1
        });
        let known = &mut sum[position];
        known.allowed += used.allowed;
        known.from_cache += used.from_cache;
        known.refused += used.refused;
        known.bytes_received += used.bytes_received;
        known.bytes_sent += used.bytes_sent;
    }
}

fn named(host: &str) -> HostUse {
    let mut used = HostUse::default();
    host.clone_into(&mut used.host);
    used
}

fn since(told: &[HostUse], now: &HostUse) -> HostUse {
    let mut new = now.clone();
    if let Some(before) = told.iter().find(|before| before.host == now.host) {
        new.allowed = now.allowed.saturating_sub(before.allowed);
        new.from_cache = now.from_cache.saturating_sub(before.from_cache);
        new.refused = now.refused.saturating_sub(before.refused);
        new.bytes_received = now.bytes_received.saturating_sub(before.bytes_received);
        new.bytes_sent = now.bytes_sent.saturating_sub(before.bytes_sent);
    }
    new
}

fn is_zero(used: &HostUse) -> bool {
    *used == named(&used.host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn used(host: &str, allowed: u64, refused: u64) -> HostUse {
        let mut used = named(host);
        (used.allowed, used.refused) = (allowed, refused);
        used
    }

    #[test]
    fn every_use_is_told_once_also_when_the_sandbox_was_lost() {
        let mut ledger = Ledger::default();
        assert_eq!(ledger.take(vec![used("a", 2, 0)]), [used("a", 2, 0)]);
        assert_eq!(ledger.take(vec![used("a", 2, 0)]), []);
        assert_eq!(ledger.take(vec![used("a", 3, 0), used("b", 0, 1)]), [used("a", 1, 0), used("b", 0, 1)]);
        ledger.lose(vec![used("a", 5, 0), used("b", 0, 1)]);
        assert_eq!(ledger.take(vec![used("a", 1, 0)]), [used("a", 3, 0)]);
        assert_eq!(ledger.take(Vec::new()), []);
    }

    #[test]
    fn a_sum_is_bounded_and_loses_no_count() {
        let mut sum = Vec::new();
        for number in 0..1_000 {
            add(&mut sum, &[used(&format!("h{number}"), 1, 2)]);
        }
        assert_eq!(sum.len(), HOSTS_MAX + 1);
        assert_eq!(sum.last().map(|used| used.host.as_str()), Some(OTHERS));
        assert_eq!(sum.iter().map(|used| used.allowed + used.refused).sum::<u64>(), 3_000);
    }
}
