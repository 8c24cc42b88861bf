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

/// A process as the container numbers it.
#[derive(Debug, PartialEq, Eq)]
struct Inside {
    id: u32,
    session: u32,
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

    /// Whether nothing runs but the container's own two processes and those of these sessions.
    ///
    /// A process that forks and ends all the time cannot hide: the kernel lists a child after its parent, and a process that
    /// was listed and is gone counts as one that runs.
    pub(super) fn is_clean(&self, sessions: &BTreeSet<u32>) -> bool {
        let Some(ids) = self.ids() else { return false };
        let processes: Option<Vec<Inside>> = ids.into_iter().map(inside).collect();
        processes.is_some_and(|processes| is_clean(&processes, sessions))
    }
}

/// The init has number 1, and its first child, which keeps the container running, the lowest one after it: numbers that are used
/// again begin at 300.
fn is_clean(processes: &[Inside], sessions: &BTreeSet<u32>) -> bool {
    let main = processes.iter().map(|process| process.id).filter(|id| *id != 1).min();
    let is_known = |process: &Inside| {
        process.id == 1 || Some(process.id) == main || (process.session != 0 && sessions.contains(&process.session))
    };
    let has_both = processes.iter().any(|process| process.id == 1) && main.is_some_and(|main| main < 300);
    has_both && processes.iter().all(is_known)
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

/// The last of the numbers that the kernel gives a process, one for each of the pid namespaces that it is in.
fn inside(id: u32) -> Option<Inside> {
    let status = fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let last = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_ascii_whitespace().next_back()?.parse().ok()
    };
    Some(Inside { id: last("NSpid:")?, session: last("NSsid:")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_sessions_are_clean() {
        let process = |(id, session)| Inside { id, session };
        let known = BTreeSet::from([40, 41]);
        for (processes, expected) in [
            (vec![(1, 1), (7, 1)], true),
            (vec![(1, 1), (7, 1), (40, 40), (43, 40), (41, 41)], true),
            // A session of its own, no session that the container knows, and no init.
            (vec![(1, 1), (7, 1), (50, 50)], false),
            (vec![(1, 1), (7, 1), (50, 0)], false),
            (vec![(7, 7), (8, 7)], false),
            (vec![], false),
        ] {
            let processes: Vec<Inside> = processes.into_iter().map(process).collect();
            assert_eq!(is_clean(&processes, &known), expected, "{processes:?}");
        }
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
