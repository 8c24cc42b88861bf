//! Looks at the processes of a container from the host, through its control group. Nothing in the container can change what is
//! seen, so a look that finds nothing left of a command needs no search inside, which costs a second exec.
//!
//! Where this process cannot see them (a rootless daemon without control groups, gVisor, a virtual machine, another pid
//! namespace), there is no [`Look`], and every command is followed by a search.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Where control groups are mounted on every distribution: version 2 here, version 1 in a directory for each controller.
const CGROUPS: &str = "/sys/fs/cgroup";

/// Where the processes of one container are listed.
#[derive(Debug)]
pub(super) struct Look {
    processes: PathBuf,
}

/// What a look at a container found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing but the container's own two processes and the sessions of other commands.
    Clean,
    /// Something else runs.
    More,
    /// One of the container's own two processes has ended or was killed, so the container ends.
    Ending,
}

/// A process as the container numbers it.
#[derive(Debug, PartialEq, Eq)]
struct Inside {
    id: u32,
    session: u32,
    /// It was killed, or has begun to end.
    ending: bool,
}

impl Look {
    /// Finds the list by the container's first process (on the host). `word` is in the command line of a process in the
    /// container, which has to be on the list: otherwise the list is of something else, such as gVisor's own processes.
    pub(super) fn find(first: u32, container: &str, word: &str) -> Option<Self> {
        let groups = fs::read_to_string(format!("/proc/{first}/cgroup")).ok()?;
        let lists = groups.lines().filter_map(|line| list(line, container));
        lists.map(|processes| Self { processes }).find(|look| look.has(word))
    }

    fn has(&self, word: &str) -> bool {
        let has = |id: &u32| {
            let line = fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
            let is_inside = inside(*id).is_some_and(|inside| inside.id != *id);
            is_inside && line.split(|byte| *byte == 0).any(|argument| argument == word.as_bytes())
        };
        self.ids().is_some_and(|ids| ids.iter().any(has))
    }

    /// The processes, as the host numbers them; `None` when the container has gone.
    pub(super) fn ids(&self) -> Option<Vec<u32>> {
        let listed = fs::read_to_string(&self.processes).ok()?;
        listed.lines().map(|line| line.parse().ok()).collect()
    }

    /// Whether something runs beside the container's own two processes and those of these sessions.
    ///
    /// A process that forks and ends all the time cannot hide: the kernel lists a child after its parent, and a process that
    /// was listed and is gone counts as one that runs.
    pub(super) fn find_others(&self, sessions: &BTreeSet<u32>) -> Found {
        let Some(ids) = self.ids() else { return Found::Ending };
        let processes: Option<Vec<Inside>> = ids.into_iter().map(inside).collect();
        processes.map_or(Found::More, |processes| find_others(&processes, sessions))
    }
}

/// The init has number 1, and its first child, which keeps the container running, the lowest one after it: numbers that are used
/// again begin at 300.
fn find_others(processes: &[Inside], sessions: &BTreeSet<u32>) -> Found {
    let main = processes.iter().map(|process| process.id).filter(|id| *id != 1).min();
    let is_own = |process: &Inside| process.id == 1 || Some(process.id) == main;
    let has_both = processes.iter().any(|process| process.id == 1) && main.is_some_and(|main| main < 300);
    if !has_both || processes.iter().any(|process| is_own(process) && process.ending) {
        return Found::Ending;
    }
    let is_known = |process: &Inside| is_own(process) || (process.session != 0 && sessions.contains(&process.session));
    if processes.iter().all(is_known) { Found::Clean } else { Found::More }
}

/// The file with the processes of a control group of this container: `4:pids:/docker/<id>`, or `0::/…/docker-<id>.scope`.
fn list(line: &str, container: &str) -> Option<PathBuf> {
    let (_, line) = line.split_once(':')?;
    let (controllers, path) = line.split_once(':')?;
    if container.is_empty() || !path.contains(container) || path.contains("..") {
        return None;
    }
    let controller = controllers.split(',').next().unwrap_or_default().trim_start_matches("name=");
    Some(Path::new(CGROUPS).join(controller).join(path.trim_start_matches('/')).join("cgroup.procs"))
}

/// Reads the last of the numbers that the kernel gives a process, one for each of the pid namespaces that it is in.
fn inside(id: u32) -> Option<Inside> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    let last = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next_back()?.parse().ok()
    };
    Some(Inside { id: last("NSpid:")?, session: last("NSsid:")?, ending: is_ending(&status, &stat) })
}

/// Whether a process was sent `SIGKILL`, or ends for another reason: between the two it is still listed. The bits and fields are
/// those of the manual page `proc(5)`; the flag is `PF_EXITING` of the kernel's `sched.h`.
fn is_ending(status: &str, stat: &str) -> bool {
    const SIGKILL: u64 = 1 << 8;
    const PF_EXITING: u64 = 0x4;
    let pending = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).is_some_and(|bits| bits & SIGKILL != 0)
    };
    // After the name, which is in brackets and may hold anything: the state, and six fields later the flags.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    let ended = fields.next().is_none_or(|state| matches!(state, "Z" | "X" | "x"));
    let exiting =
        fields.nth(5).and_then(|flags| flags.parse::<u64>().ok()).is_some_and(|flags| flags & PF_EXITING != 0);
    ended || exiting || pending("SigPnd:") || pending("ShdPnd:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_sessions_are_clean() {
        let process = |(id, session)| Inside { id, session, ending: false };
        let known = BTreeSet::from([40, 41]);
        for (processes, expected) in [
            (vec![(1, 1), (7, 1)], Found::Clean),
            (vec![(1, 1), (7, 1), (40, 40), (43, 40), (41, 41)], Found::Clean),
            // A session of its own, and no session that the container knows.
            (vec![(1, 1), (7, 1), (50, 50)], Found::More),
            (vec![(1, 1), (7, 1), (50, 0)], Found::More),
            // No init, or no first child of it.
            (vec![(7, 7), (8, 7)], Found::Ending),
            (vec![(1, 1)], Found::Ending),
            (vec![(1, 1), (301, 40)], Found::Ending),
            (vec![], Found::Ending),
        ] {
            let processes: Vec<Inside> = processes.into_iter().map(process).collect();
            assert_eq!(find_others(&processes, &known), expected, "{processes:?}");
        }
    }

    #[test]
    fn a_container_ends_when_one_of_its_own_processes_was_killed() {
        let process = |id, ending| Inside { id, session: 1, ending };
        for (init, main, other, expected) in [
            (false, true, false, Found::Ending),
            (true, false, false, Found::Ending),
            (false, false, true, Found::More),
        ] {
            let processes = [process(1, init), process(7, main), Inside { session: 50, ..process(50, other) }];
            assert_eq!(find_others(&processes, &BTreeSet::new()), expected, "{processes:?}");
        }
    }

    #[test]
    fn a_killed_process_is_ending_before_it_has_gone() {
        let stat = |state: &str, flags: u64| format!("7 (a) b) {state} 1 1 1 0 -1 {flags} 103 0\n");
        let status = |own: &str, shared: &str| format!("Name:\ta\nSigPnd:\t{own}\nShdPnd:\t{shared}\n");
        let (none, kill, term) = ("0000000000000000", "0000000000000100", "0000000000004000");
        for (status, stat, expected) in [
            (status(none, none), stat("S", 0x40_0100), false),
            (status(none, term), stat("S", 0x40_0100), false),
            (status(kill, none), stat("S", 0x40_0100), true),
            (status(none, kill), stat("R", 0x40_0100), true),
            (status(none, none), stat("R", 0x40_0104), true),
            (status(none, none), stat("Z", 0x40_010c), true),
        ] {
            assert_eq!(is_ending(&status, &stat), expected, "{status} {stat}");
        }
        let this = fs::read_to_string("/proc/self/status").expect("readable");
        assert!(!is_ending(&this, &fs::read_to_string("/proc/self/stat").expect("readable")));
    }

    #[test]
    fn control_groups_of_both_versions_are_found_by_the_container() {
        for (line, expected) in [
            ("4:pids:/docker/0a1b", Some("/sys/fs/cgroup/pids/docker/0a1b/cgroup.procs")),
            ("3:cpu,cpuacct:/docker/0a1b", Some("/sys/fs/cgroup/cpu/docker/0a1b/cgroup.procs")),
            ("1:name=systemd:/docker/0a1b", Some("/sys/fs/cgroup/systemd/docker/0a1b/cgroup.procs")),
            ("0::/system.slice/docker-0a1b.scope", Some("/sys/fs/cgroup/system.slice/docker-0a1b.scope/cgroup.procs")),
            ("0::/user.slice", None),
            ("0::/../0a1b", None),
            ("nonsense", None),
        ] {
            assert_eq!(list(line, "0a1b"), expected.map(PathBuf::from), "{line}");
        }
    }
}
