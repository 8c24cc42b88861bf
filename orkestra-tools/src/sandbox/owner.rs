//! Identifies the process that a leftover belongs to, and whether it is still alive. Pids are reused, so the start time is
//! part of the identity.

use std::fs;

/// A process on a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    host: String,
    pid: u32,
    start: u64,
}

impl Owner {
    /// This process.
    pub(crate) fn this() -> Self {
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
        let pid = std::process::id();
        Self { host, pid, start: start_time(pid).unwrap_or(0) }
    }

    /// Parses the text of [`Self::text`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.rsplitn(3, '|');
        let start = parts.next()?.parse().ok()?;
        let pid = parts.next()?.parse().ok()?;
        Some(Self { host: parts.next()?.to_owned(), pid, start })
    }

    pub(crate) fn text(&self) -> String {
        format!("{}|{}|{}", self.host, self.pid, self.start)
    }

    /// Whether its leftovers may be removed: it is this process, or it was on this host and is gone. A process on another host
    /// cannot be checked from here, so its leftovers are kept.
    pub(crate) fn is_gone_or_this(&self) -> bool {
        let this = Self::this();
        *self == this || (self.host == this.host && start_time(self.pid).unwrap_or(0) != self.start)
    }
}

/// The start time of a process in clock ticks since boot: field 22 of its `stat`, counted after the name, which may contain
/// anything.
pub(super) fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_leftovers_of_this_or_a_dead_process_may_be_removed() {
        let this = Owner::this();
        assert_eq!(Owner::parse(&this.text()).as_ref(), Some(&this));
        assert!(this.is_gone_or_this());
        let reused_pid = Owner { start: this.start + 1, ..this.clone() };
        assert!(reused_pid.is_gone_or_this());
        let elsewhere = Owner { host: format!("{}-other", this.host), ..reused_pid };
        assert!(!elsewhere.is_gone_or_this());
        let init = Owner { pid: 1, start: start_time(1).unwrap_or(1), ..this };
        assert!(!init.is_gone_or_this());
        assert_eq!(Owner::parse("nonsense"), None);
    }
}
