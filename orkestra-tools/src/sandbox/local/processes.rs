//! Finds and ends every process of a command, wherever it went: it may leave its session, be forked twice and clear its
//! environment. Each command carries a number that all its descendants inherit and cannot change: the limit `RLIMIT_LOCKS`,
//! which Linux has not used since 2.4, and which the filter of system calls refuses to set. `/proc/<pid>/limits` shows it.
//!
//! It must never signal a process that does not carry our number.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::process::{Pid, PidfdFlags, Resource, Rlimit, Signal, pidfd_open, pidfd_send_signal, prlimit};

use super::super::hash;
use super::super::owner::start_time;
use crate::limits::{SWEEP_PAUSE, SWEEP_ROUNDS_MAX};

/// The environment variable that says in a readable way that a process is a command of ours. Nothing depends on it.
pub(super) const MARK: &str = "ORKESTRA_SANDBOX";

/// The limit that carries the number.
pub(crate) const RESOURCE: Resource = Resource::Locks;

/// Set in every mark, so that no limit that somebody chose looks like one.
const OURS: u64 = 1 << 60;
const COMMAND_BITS: u32 = 16;
const SERIAL_BITS: u32 = 8;
const HASH_BITS: u32 = 18;

/// The identity of one sandbox in a number: `1 | workspace | host process | serial | command`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark(u64);

impl Mark {
    pub(crate) fn new(workspace: &Path) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed) & ((1 << SERIAL_BITS) - 1);
        let pid = std::process::id();
        let place = workspace_bits(workspace) << HASH_BITS | host_bits(pid, start_time(pid).unwrap_or(0));
        Self(OURS | (place << SERIAL_BITS | serial) << COMMAND_BITS)
    }

    /// The mark of one command. After 65,536 commands the numbers begin again.
    pub(crate) fn command(self, number: u64) -> u64 {
        // 0 is never a command's: it is the sandbox itself.
        self.0 | (number % ((1 << COMMAND_BITS) - 1) + 1)
    }

    /// The marks of all commands of this sandbox.
    pub(super) fn all(self) -> std::ops::RangeInclusive<u64> {
        self.0..=self.0 | ((1 << COMMAND_BITS) - 1)
    }
}

/// Kills every process of this sandbox; false when new ones keep appearing. Blocks for some milliseconds.
pub(super) fn kill_all(mark: Mark) -> bool {
    kill_where(|found| mark.all().contains(&found))
}

/// Kills every process of one command; false when new ones keep appearing.
pub(super) fn kill_command(mark: u64) -> bool {
    kill_where(|found| found == mark)
}

/// The processes of one command.
pub(super) fn ids(mark: u64) -> Vec<u32> {
    let marked = pids().filter(|pid| read_mark(*pid) == Some(mark));
    marked.filter_map(|pid| u32::try_from(pid.as_raw_pid()).ok()).collect()
}

/// Kills the processes of sandboxes of this workspace whose host process is gone.
pub(super) fn kill_orphans(workspace: &Path) {
    let workspace = workspace_bits(workspace);
    let mut live: Option<Vec<u64>> = None;
    kill_where(|found| {
        let place = found >> (COMMAND_BITS + SERIAL_BITS);
        let (of, host) = (place >> HASH_BITS & mask(), place & mask());
        if found & !(OURS - 1) != OURS || of != workspace {
            return false;
        }
        let live = live.get_or_insert_with(|| {
            pids()
                .filter_map(|pid| Some(host_bits(u32::try_from(pid.as_raw_pid()).ok()?, start_time_of(pid)?)))
                .collect()
        });
        !live.contains(&host)
    });
}

/// Whether each of these sockets is open in a process of this sandbox.
pub(super) fn have_sockets(mark: Mark, inodes: &[u64]) -> bool {
    let mut missing: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    for pid in pids().filter(|pid| read_mark(*pid).is_some_and(|found| mark.all().contains(&found))) {
        let files = fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).into_iter().flatten().flatten();
        for target in files.filter_map(|file| fs::read_link(file.path()).ok()) {
            missing.retain(|socket| Path::new(socket) != target);
        }
        if missing.is_empty() {
            return true;
        }
    }
    false
}

fn kill_where(mut is_wanted: impl FnMut(u64) -> bool) -> bool {
    for _ in 0..SWEEP_ROUNDS_MAX {
        let found: Vec<Pid> =
            pids().filter(|pid| read_mark(*pid).is_some_and(&mut is_wanted) && !is_dead(*pid)).collect();
        if found.is_empty() {
            return true;
        }
        // First nobody may fork any more (root always may), then all are killed: else a fork bomb outruns this.
        for pid in &found {
            if read_mark(*pid).is_some_and(&mut is_wanted) {
                let _ = prlimit(Some(*pid), Resource::Nproc, Rlimit { current: Some(0), maximum: Some(0) });
            }
        }
        for pid in &found {
            kill_one(*pid, &mut is_wanted);
        }
        pause();
    }
    tracing::warn!("cannot kill all processes of a command: new ones keep appearing");
    false
}

/// NOTE: the handle is opened before the last look, so that a pid that was reused since is not killed.
fn kill_one(pid: Pid, is_wanted: &mut impl FnMut(u64) -> bool) {
    let handle = pidfd_open(pid, PidfdFlags::empty());
    if !read_mark(pid).is_some_and(is_wanted) {
        return;
    }
    let _ = match handle {
        Ok(handle) => pidfd_send_signal(handle, Signal::KILL),
        // A kernel before 5.3.
        Err(rustix::io::Errno::NOSYS) => rustix::process::kill_process(pid, Signal::KILL),
        Err(error) => Err(error),
    };
}

/// A killed process needs a moment to go. Never called on a thread of the runtime.
#[expect(
    clippy::disallowed_methods,
    reason = "a thread of its own waits for the kernel, which offers no event for this"
)]
fn pause() {
    std::thread::sleep(SWEEP_PAUSE.max(Duration::from_micros(1)));
}

fn pids() -> impl Iterator<Item = Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The mark of a process. This process may itself run inside such a sandbox and carry one.
fn read_mark(pid: Pid) -> Option<u64> {
    if pid == rustix::process::getpid() {
        return None;
    }
    let limits = fs::read_to_string(format!("/proc/{}/limits", pid.as_raw_pid())).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max file locks"))?;
    let mark = line.split_whitespace().next()?.parse().ok()?;
    (OURS..OURS << 1).contains(&mark).then_some(mark)
}

/// Whether it has ended and only its parent has not noticed. A process whose first thread alone has ended looks the same but
/// for the number of its threads.
fn is_dead(pid: Pid) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_pid())).unwrap_or_default();
    let Some((_, fields)) = stat.rsplit_once(')') else { return true };
    let mut fields = fields.split_whitespace();
    let has_ended = fields.next().is_none_or(|state| ["Z", "X"].contains(&state));
    has_ended && fields.nth(16).and_then(|threads| threads.parse::<u32>().ok()).is_none_or(|threads| threads <= 1)
}

fn start_time_of(pid: Pid) -> Option<u64> {
    start_time(u32::try_from(pid.as_raw_pid()).ok()?)
}

fn mask() -> u64 {
    (1 << HASH_BITS) - 1
}

fn workspace_bits(workspace: &Path) -> u64 {
    bits(&[workspace.as_os_str().as_encoded_bytes()])
}

fn host_bits(pid: u32, start: u64) -> u64 {
    bits(&[&pid.to_be_bytes(), &start.to_be_bytes()])
}

fn bits(parts: &[&[u8]]) -> u64 {
    u64::from_str_radix(&hash(parts), 16).unwrap_or(0) & mask()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_holds_all_its_parts_and_stays_below_the_largest_limit() {
        let (one, other) = (Mark::new(Path::new("/a")), Mark::new(Path::new("/a")));
        assert_ne!(one, other, "two sandboxes of one process differ");
        let elsewhere = Mark::new(Path::new("/b"));
        for mark in [one, other, elsewhere] {
            let commands = [0, 1, 65_534, 65_535, u64::MAX].map(|number| mark.command(number));
            assert!(commands.iter().all(|command| mark.all().contains(command)), "{commands:?}");
            assert!(mark.0 >= OURS && commands.iter().all(|command| *command < OURS << 1 && *command != mark.0));
        }
        assert!(!one.all().contains(&other.command(0)) && !one.all().contains(&elsewhere.command(0)));
    }
}
