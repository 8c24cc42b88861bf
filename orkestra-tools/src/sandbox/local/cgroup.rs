//! Control groups of a sandbox, where this user may make some: limits for all of its commands together, and an end that no
//! fork bomb outruns (`cgroup.kill`). Version 2 where it is mounted and delegated; of version 1 only the limit on processes.
//!
//! It makes groups below the one that this process is in, and never changes another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::super::Confinement;
use super::processes::Mark;
use rustix::process::Pid;

/// What the groups limit, for the report.
const NAMES: [(&str, &str); 3] = [("processes", "pids.max"), ("memory", "memory.max"), ("swap", "memory.swap.max")];

/// The groups of one sandbox. Empty where none can be made.
#[derive(Debug, Default)]
pub(crate) struct Cgroups {
    /// Version 2, with a group for each command below it.
    unified: Option<PathBuf>,
    /// The hierarchy `pids` of version 1.
    pids: Option<PathBuf>,
    /// What is limited: the first words of [`NAMES`].
    limited: Vec<&'static str>,
}

impl Cgroups {
    /// Makes the groups that can be made.
    pub(crate) fn new(mark: Mark, memory_bytes: u64, processes_max: u32) -> Self {
        let name = format!("orkestra-{:x}", mark.all().start());
        let memberships = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let make = |controller: &str| {
            let group = own_group(&mounts, &memberships, controller)?.join(&name);
            // A group that was made but accepts no process (a hierarchy of threads) is none.
            fs::create_dir(&group).ok().map(|()| group)
        };
        let mut made = Self { unified: make(""), pids: make("pids"), limited: Vec::new() };
        let limits = [processes_max.to_string(), memory_bytes.to_string(), "0".to_owned()];
        for ((what, file), limit) in NAMES.into_iter().zip(limits) {
            let groups = [made.unified.as_ref(), made.pids.as_ref().filter(|_| what == "processes")];
            if groups.into_iter().flatten().any(|group| write(&group.join(file), &limit).is_ok()) {
                made.limited.push(what);
            }
        }
        made
    }

    /// The groups, which the guardian removes when this process has died.
    pub(crate) fn paths(&self) -> Vec<PathBuf> {
        self.unified.iter().chain(&self.pids).cloned().collect()
    }

    /// Moves a process, and what it will start, into the group of a command.
    pub(crate) fn enter(&self, pid: Pid, number: u64) -> io::Result<CommandGroup> {
        let pid = pid.as_raw_pid().to_string();
        if let Some(pids) = &self.pids {
            write(&pids.join("cgroup.procs"), &pid)?;
        }
        let Some(unified) = &self.unified else { return Ok(CommandGroup(None)) };
        let group = unified.join(number.to_string());
        fs::create_dir(&group)?;
        let group = CommandGroup(Some(group));
        if let Some(path) = &group.0 {
            write(&path.join("cgroup.procs"), &pid)?;
        }
        Ok(group)
    }

    pub(super) fn report(&self, report: &mut Confinement, processes_max: u32, memory_bytes: u64) {
        if self.unified.is_some() {
            report.enforced.push("a control group of its own for each command, which is killed at once".to_owned());
        }
        let limit = |what: &str| match what {
            "processes" => format!("at most {processes_max} processes of all commands together"),
            "memory" => format!("memory {memory_bytes} bytes of all commands together"),
            _ => "no swap".to_owned(),
        };
        for what in &self.limited {
            report.enforced.push(limit(what));
        }
    }

    pub(crate) fn limits(&self, what: &str) -> bool {
        self.limited.contains(&what)
    }
}

impl Drop for Cgroups {
    /// What is still in them is ended by the guardian, which then removes them.
    fn drop(&mut self) {
        for group in self.paths() {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The group of one command.
#[derive(Debug, Default)]
pub(crate) struct CommandGroup(Option<PathBuf>);

impl CommandGroup {
    /// Kills everything in it.
    pub(crate) fn kill(&self) {
        if let Some(group) = &self.0 {
            let _ = write(&group.join("cgroup.kill"), "1");
        }
    }
}

impl Drop for CommandGroup {
    fn drop(&mut self) {
        if let Some(group) = &self.0 {
            // Not yet empty for a moment after a kill; then the sandbox's end removes it.
            let _ = fs::remove_dir(group);
        }
    }
}

/// The directory of the group that this process is in; `controller` is empty for version 2.
fn own_group(mounts: &str, memberships: &str, controller: &str) -> Option<PathBuf> {
    let kind = if controller.is_empty() { "cgroup2" } else { "cgroup" };
    let (root, place) = mounts.lines().find_map(|line| {
        let (fields, rest) = line.split_once(" - ")?;
        let mut fields = fields.split(' ');
        let (root, place) = (fields.nth(3)?, fields.next()?);
        let mut rest = rest.split(' ');
        let is_right =
            rest.next()? == kind && (controller.is_empty() || rest.nth(1)?.split(',').any(|one| one == controller));
        is_right.then_some((root, place))
    })?;
    let path = memberships.lines().find_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let is_right = if controller.is_empty() {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|one| one == controller)
        };
        is_right.then_some(path)
    })?;
    // In a container the mount shows a part of the hierarchy, and the path is relative to all of it.
    let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or(path);
    Some(Path::new(place).join(below.trim_start_matches('/')))
}

/// NOTE: never creates a file: in a control group there is nothing to create, elsewhere it would be a mistake.
fn write(file: &Path, text: &str) -> io::Result<()> {
    io::Write::write_all(&mut fs::OpenOptions::new().write(true).open(file)?, text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_own_group_is_found_in_both_versions_and_in_containers() {
        let hybrid = "30 29 0:26 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
            31 29 0:27 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let member = "8:pids:/a/b\n4:memory:/c\n0::/user.slice/x\n";
        let unified = "30 29 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
        let container = "30 29 0:26 /docker/1 /sys/fs/cgroup ro - cgroup2 cgroup rw\n";
        for (mounts, memberships, controller, expected) in [
            (hybrid, member, "pids", Some("/sys/fs/cgroup/pids/a/b")),
            (hybrid, member, "", Some("/sys/fs/cgroup/unified/user.slice/x")),
            (hybrid, member, "memory", None),
            (unified, "0::/\n", "", Some("/sys/fs/cgroup")),
            (unified, "0::/\n", "pids", None),
            (container, "0::/docker/1\n", "", Some("/sys/fs/cgroup")),
            ("", "", "", None),
        ] {
            let found = own_group(mounts, memberships, controller);
            assert_eq!(found.as_deref(), expected.map(Path::new), "{memberships} {controller}");
        }
    }
}
