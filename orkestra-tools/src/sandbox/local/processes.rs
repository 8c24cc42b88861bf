//! Finds and kills processes that left their group. Every command carries a mark in its environment, which `/proc` shows. A
//! program that clears its environment *and* leaves its group escapes this (but not Landlock); docs/sandbox.md says so.
//!
//! It must never signal a process that does not carry our mark.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use super::super::hash;
use super::super::owner::start_time;
use rustix::process::{Pid, Signal, kill_process};

/// The environment variable that carries the mark.
pub(super) const MARK: &str = "ORKESTRA_SANDBOX";

/// How often the search is repeated for processes that were forked meanwhile.
const ROUNDS_MAX: u32 = 10;

/// The identity of one sandbox: `workspace:host pid:host start:serial`. The start time detects a reused pid.
#[derive(Debug)]
pub(super) struct Mark(String);

impl Mark {
    pub(super) fn new(workspace: &Path) -> Self {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let pid = std::process::id();
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self(format!("{}:{pid}:{}:{serial}", workspace_hash(workspace), start_time(pid).unwrap_or(0)))
    }

    /// The mark of one command.
    pub(super) fn command(&self, number: u64) -> String {
        format!("{}:{number}", self.0)
    }

    /// The prefix of the marks of all commands of this sandbox.
    pub(super) fn prefix(&self) -> String {
        format!("{}:", self.0)
    }
}

/// Kills every process whose mark has this prefix. Blocks for some milliseconds.
pub(super) fn kill_marked(prefix: &str) {
    kill_where(|mark| mark.starts_with(prefix));
}

/// Kills every process with exactly this mark.
pub(super) fn kill_command(mark: &str) {
    kill_where(|found| found == mark);
}

/// Kills the processes of sandboxes of this workspace whose host process is gone.
pub(super) fn kill_orphans(workspace: &Path) {
    let hash = workspace_hash(workspace);
    kill_where(|mark| {
        let mut parts = mark.split(':');
        let is_ours = parts.next() == Some(hash.as_str());
        let host = parts.next().and_then(|pid| pid.parse().ok());
        let start = parts.next().and_then(|start| start.parse::<u64>().ok());
        let is_dead = host.zip(start).is_some_and(|(pid, start): (u32, u64)| start_time(pid).unwrap_or(0) != start);
        is_ours && is_dead
    });
}

fn kill_where(is_wanted: impl Fn(&str) -> bool) {
    for _ in 0..ROUNDS_MAX {
        let mut killed = false;
        for pid in pids() {
            if read_mark(pid).is_some_and(|mark| is_wanted(&mark)) {
                let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
                killed |= pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
            }
        }
        if !killed {
            return;
        }
    }
    tracing::warn!("cannot kill all processes of a command: new ones keep appearing");
}

fn pids() -> impl Iterator<Item = u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The mark of a process; `None` for other users' processes, which cannot be read, and for zombies.
fn read_mark(pid: u32) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let wanted = environment.split(|byte| *byte == 0).find_map(|entry| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        (name == MARK).then(|| value.to_owned())
    });
    // This process may itself run inside such a sandbox and carry its mark.
    wanted.filter(|_| pid != std::process::id())
}

fn workspace_hash(workspace: &Path) -> String {
    hash(&[workspace.as_os_str().as_encoded_bytes()])
}
