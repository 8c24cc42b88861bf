//! What went through the egress proxy, per host, and what it refused. Bounded: a program in the sandbox chooses the names.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::limits::{EGRESS_HOSTS_MAX, EGRESS_REFUSALS_MAX};

/// The name under which hosts beyond [`EGRESS_HOSTS_MAX`] are counted together.
const OTHERS: &str = "(other hosts)";

/// How often a sandbox used a host, for the record of its run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct HostUse {
    /// The host's name, without a port.
    pub host: String,
    /// Requests and tunnels that were allowed.
    pub allowed: u64,
    /// Those of them that the cache answered, without the host.
    pub from_cache: u64,
    /// Requests and tunnels that were refused.
    pub refused: u64,
    /// Bytes that the host sent.
    pub bytes_received: u64,
    /// Bytes that were sent to it through tunnels.
    pub bytes_sent: u64,
}

#[derive(Debug, Default)]
struct State {
    hosts: BTreeMap<String, HostUse>,
    refusals: VecDeque<String>,
    /// The refusals of all time, those included that `refusals` has dropped.
    refused: u64,
}

/// Counts what passes.
#[derive(Debug, Default)]
pub(super) struct Record {
    state: Mutex<State>,
}

impl Record {
    pub(super) fn change(&self, host: &str, change: impl FnOnce(&mut HostUse)) {
        let mut state = self.state();
        let is_new = !state.hosts.contains_key(host);
        let name = if is_new && state.hosts.len() >= EGRESS_HOSTS_MAX { OTHERS } else { host };
        let used = state.hosts.entry(name.to_owned()).or_default();
        name.clone_into(&mut used.host);
        change(used);
    }

    /// Counts a refusal and remembers its text for [`Self::refusals_since`].
    pub(super) fn refuse(&self, host: &str, text: &str) {
        self.change(host, |used| used.refused += 1);
        let mut state = self.state();
        state.refused += 1;
        state.refusals.push_back(text.to_owned());
        if state.refusals.len() > EGRESS_REFUSALS_MAX {
            state.refusals.pop_front();
        }
    }

    pub(super) fn hosts(&self) -> Vec<HostUse> {
        self.state().hosts.values().cloned().collect()
    }

    /// The number of refusals so far.
    pub(super) fn refused(&self) -> u64 {
        self.state().refused
    }

    /// The texts of the refusals after the first `before`, each once, oldest first.
    pub(super) fn refusals_since(&self, before: u64) -> Vec<String> {
        let state = self.state();
        let count = usize::try_from(state.refused.saturating_sub(before)).unwrap_or(usize::MAX);
        let mut texts: Vec<String> = Vec::new();
        for text in state.refusals.iter().skip(state.refusals.len().saturating_sub(count)) {
            if !texts.contains(text) {
                texts.push(text.clone());
            }
        }
        texts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counters stay valid whatever happened to the thread that held them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_refusals_are_bounded() {
        let record = Record::default();
        for number in 0..10_000 {
            record.refuse(&format!("h{number}.test"), &format!("refused {number}"));
        }
        let hosts = record.hosts();
        assert_eq!(hosts.len(), EGRESS_HOSTS_MAX + 1);
        assert_eq!(hosts.iter().map(|used| used.refused).sum::<u64>(), 10_000);
        assert_eq!(record.refusals_since(9_998), ["refused 9998", "refused 9999"]);
        assert_eq!(record.refusals_since(0).len(), EGRESS_REFUSALS_MAX);
        assert_eq!(record.refusals_since(record.refused()), [""; 0]);
    }
}
