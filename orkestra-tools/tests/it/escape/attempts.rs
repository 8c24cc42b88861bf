//! The attempts, as data. Each one says `ESCAPED` when it worked; a probe says `held` otherwise.

use Action::{Probe, Shell};
use On::{Both, Docker, Local};

/// What a command tries.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// A function of `probe.py`.
    Probe(&'static str),
    /// A line for the shell, where `{out}` is a directory of the host, `{host}` its process and `{token}` a unique word.
    Shell(&'static str),
}

/// Which sandbox it is tried on. What is only for one has no meaning in the other, or is listed in docs/sandbox.md.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum On {
    Both,
    Local,
    Docker,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Attempt {
    pub(super) name: &'static str,
    pub(super) on: On,
    pub(super) action: Action,
    /// Words of the gap that the report must have if it worked; without them it must not work.
    pub(super) gap: Option<&'static str>,
}

impl Attempt {
    pub(super) fn gap(&self) -> Option<&'static str> {
        self.gap.or(OF_ITS_OWN_KERNEL.contains(&self.name).then_some("system calls are not filtered in the container"))
    }
}

/// What a command can do with the kernel that gVisor gives it alone, where no filter of system calls is in force.
const OF_ITS_OWN_KERNEL: &[&str] = &[
    "where core dumps go",
    "user namespace",
    "user namespace by clone",
    "user namespace by unshare(1)",
    "other namespaces",
    "io_uring",
    "performance events",
    "executable data",
    "devices",
    "terminal",
];

const fn attempt(name: &'static str, on: On, action: Action) -> Attempt {
    Attempt { name, on, action, gap: None }
}

const fn open(name: &'static str, on: On, action: Action, gap: &'static str) -> Attempt {
    Attempt { name, on, action, gap: Some(gap) }
}

pub(super) const ATTEMPTS: &[Attempt] = &[
    // Files outside the workspace.
    attempt("read through ..", Both, Shell("cat ../outside/secret && echo ESCAPED")),
    attempt("read an absolute path", Both, Shell("cat '{out}/secret' && echo ESCAPED")),
    attempt("read through a symlink", Both, Shell("ln -sfn '{out}' l1; cat l1/secret && echo ESCAPED")),
    attempt("write through a symlink", Both, Shell("ln -sfn '{out}' l2; echo x >l2/planted && echo ESCAPED")),
    attempt("append through a symlink to a file", Both, Shell("ln -sf '{out}/secret' l3; echo x >>l3 && echo ESCAPED")),
    attempt("hard link", Both, Shell("ln '{out}/secret' hard && cat hard && echo ESCAPED")),
    attempt("rename into the workspace", Both, Shell("mv '{out}/secret' taken && echo ESCAPED")),
    attempt("remove", Both, Shell("rm -f '{out}/secret' && [ ! -e '{out}/secret' ] && [ -e '{out}' ] && echo ESCAPED")),
    attempt("passwords", Local, Shell("cat /etc/shadow && echo ESCAPED")),
    attempt("host keys", Local, Shell("cat /etc/ssh/ssh_host_*_key /root/.ssh/* && echo ESCAPED")),
    attempt(
        "tar that unpacks outside",
        Both,
        Shell(
            "mkdir -p t && echo x >t/planted && tar -C t -cf t.tar planted && tar -C '{out}' -xf t.tar && echo ESCAPED",
        ),
    ),
    open("change a mode outside", Local, Probe("mode_outside"), "does not restrict metadata"),
    attempt("extended attribute outside", Local, Probe("attributes_outside")),
    // /proc.
    attempt("root of another process", Local, Shell("cat /proc/{host}/root/etc/shadow && echo ESCAPED")),
    attempt("root of init", Both, Shell("cat '/proc/1/root{out}/secret' && echo ESCAPED")),
    attempt("working directory of the host process", Local, Shell("ls /proc/{host}/cwd/ && echo ESCAPED")),
    attempt("open files of the host process", Local, Shell("ls -l /proc/{host}/fd | grep -q socket && echo ESCAPED")),
    attempt(
        "environment of the host process",
        Both,
        Shell("cat /proc/{host}/environ | tr '\\0' '\\n' | grep -q CARGO && echo ESCAPED"),
    ),
    attempt("memory file of the host process", Both, Probe("memory_file_of_host")),
    attempt("where core dumps go", Both, Probe("core_pattern")),
    attempt("system requests", Both, Probe("sysrq")),
    attempt("OOM score of the host process", Both, Probe("oom_score_of_host")),
    // The host process.
    attempt("limits of the host process", Both, Probe("prlimit_of_host")),
    attempt("processors of the host process", Both, Probe("affinity_of_host")),
    attempt("scheduler of the host process", Both, Probe("scheduler_of_host")),
    attempt("priority of the host process", Both, Probe("priority_of_host")),
    attempt("priority of all of a user's processes", Local, Probe("priority_of_user")),
    attempt("I/O priority of the host process", Both, Probe("io_priority_of_host")),
    attempt("trace the host process", Both, Probe("ptrace_of_host")),
    attempt("read the memory of the host process", Both, Probe("memory_of_host")),
    attempt("take a descriptor of the host process", Both, Probe("descriptor_of_host")),
    attempt("signal the host process", Both, Probe("signal_to_host")),
    attempt("kill the host process", Local, Shell("kill -CONT {host} && echo ESCAPED")),
    // Namespaces, mounts, the kernel.
    attempt("user namespace", Both, Probe("user_namespace")),
    attempt("user namespace by clone", Both, Probe("namespace_by_clone")),
    attempt("user namespace by clone3", Both, Probe("namespace_by_clone3")),
    attempt("user namespace by unshare(1)", Both, Shell("unshare --user --map-root-user true && echo ESCAPED")),
    attempt("other namespaces", Both, Probe("other_namespaces")),
    attempt("join a namespace", Both, Probe("join_namespace")),
    attempt("mount", Both, Probe("mounting")),
    attempt("bind mount", Both, Probe("bind_mounting")),
    attempt("the new mount calls", Both, Probe("new_mount_calls")),
    attempt("chroot", Both, Probe("change_root")),
    attempt("io_uring", Both, Probe("io_uring")),
    attempt("bpf", Both, Probe("bpf")),
    attempt("performance events", Both, Probe("performance_events")),
    attempt("userfaultfd", Both, Probe("page_faults")),
    attempt("kexec", Both, Probe("kexec")),
    attempt("kernel module", Both, Probe("kernel_module")),
    attempt("file handle", Both, Probe("file_handle")),
    attempt("watch all files", Both, Probe("watch_everything")),
    attempt("executable data", Both, Probe("personality")),
    attempt("a call that this kernel does not know", Both, Probe("unknown_call")),
    attempt("the x32 interface", Both, Probe("x32_call")),
    attempt("clock", Both, Probe("clock")),
    attempt("host name", Both, Probe("host_name")),
    attempt("devices", Both, Probe("devices")),
    attempt("terminal", Both, Probe("terminal")),
    attempt("input for a terminal", Both, Probe("terminal_input")),
    // Sockets.
    attempt("raw socket", Both, Probe("raw_socket")),
    attempt("packet socket", Both, Probe("packet_socket")),
    attempt("sockets to the hypervisor and the kernel", Both, Probe("rare_sockets")),
    attempt("Docker's socket", Both, Probe("docker_socket")),
    attempt("a socket of the host with a path", Both, Probe("path_socket")),
    attempt("an abstract socket of the host", Both, Probe("abstract_socket")),
    attempt("a datagram from a pair to a path", Both, Probe("datagram_to_path")),
    open("metadata address", Both, Probe("metadata_address"), "network is open"),
    open("a service of the host on loopback", Both, Probe("loopback_of_host"), "network is open"),
    // What would be left.
    attempt("System V shared memory", Both, Probe("shared_memory")),
    attempt("System V semaphores and messages", Both, Probe("semaphores_and_messages")),
    attempt("POSIX shared memory", Both, Probe("posix_shared_memory")),
    attempt("POSIX message queue", Both, Probe("posix_queue")),
    attempt("keyring", Both, Probe("keyring")),
    attempt("read the keyring", Both, Probe("read_keyring")),
    open("set-user-id files", Both, Probe("set_uid_modes"), "set-user-id files"),
    open(
        "set-user-id by install(1)",
        Both,
        Shell("echo x >i && install -m 4755 i installed && echo ESCAPED"),
        "set-user-id files",
    ),
    open(
        "set-user-id from an archive",
        Both,
        Shell(
            "python3 -c 'import tarfile; i = tarfile.TarInfo(\"unpacked\"); i.mode = 0o6755; tarfile.open(\"s.tar\", \"w\").addfile(i)'; tar -xpf s.tar; [ -u unpacked ] && echo ESCAPED; true",
        ),
        "set-user-id files",
    ),
    open(
        "a set-user-id file of root's user",
        Both,
        Shell(
            "cp \"$(command -v sh)\" shell && chmod u+s shell && echo ESCAPED; chmod 2755 shell && echo ESCAPED; rm -f shell",
        ),
        "set-user-id files",
    ),
    open(
        "a directory that hands down its group",
        Both,
        Shell("mkdir -m 2777 handed; [ -g handed ] && echo ESCAPED; true"),
        "set-user-id files",
    ),
    attempt("extended attributes", Both, Probe("attributes")),
    attempt("files of another owner", Both, Probe("owner_of_files")),
    attempt(
        "file capabilities",
        Both,
        Shell("cp \"$(command -v true)\" capable && setcap cap_net_raw+ep capable && echo ESCAPED"),
    ),
    // Processes that would outlive their command.
    attempt("background", Both, Shell("sleep 600.{digits} & sleep 600.{digits} & echo held")),
    attempt("nohup and setsid", Both, Shell("nohup setsid sleep 600.{digits} >/dev/null 2>&1 & echo held")),
    attempt("setsid with a cleared environment", Both, Shell("setsid env -i sleep 600.{digits} & echo held")),
    attempt("double fork with a cleared environment", Both, Probe("double_fork")),
    attempt("daemon that takes off its mark", Both, Probe("daemon_without_mark")),
    attempt("daemon without its first thread", Both, Probe("headless_daemon")),
    attempt("many daemons", Both, Probe("many_daemons")),
    attempt("deaf daemon that holds the output", Both, Probe("deaf_daemon")),
    attempt(
        "a command that ignores SIGTERM",
        Both,
        Shell("trap '' TERM INT HUP; (while :; do sleep 600.{digits}; done) & echo held"),
    ),
    attempt("stopped processes", Both, Shell("sleep 600.{digits} & kill -STOP $!; echo held")),
    // Limits.
    attempt("raise limits", Both, Probe("raise_limits")),
    attempt("leave the control group", Both, Probe("leave_cgroup")),
    attempt("a sparse file", Both, Shell("truncate -s 100G sparse && echo ESCAPED")),
    attempt("a huge file", Both, Shell("dd if=/dev/zero of=huge bs=1M seek=1023 count=3 && echo ESCAPED; rm -f huge")),
    attempt(
        "reserve a huge file",
        Both,
        Shell(
            r#"python3 -c 'import fcntl, os, struct
f = os.open("reserved", os.O_CREAT | os.O_RDWR)
fcntl.ioctl(f, 0x40305828, struct.pack("hhxxxxqqiI4i", 0, 0, 0, 1 << 27, 0, 0, 0, 0, 0, 0))
print("ESCAPED" if os.fstat(f).st_blocks else "held")'; rm -f reserved"#,
        ),
    ),
    attempt("allocate a huge file", Both, Shell("fallocate -l 2G huge && echo ESCAPED; rm -f huge")),
    attempt(
        "a core dump",
        Both,
        Shell("ulimit -c unlimited && echo ESCAPED; sh -c 'kill -SEGV $$'; ls core* && echo ESCAPED"),
    ),
    // No fork after the first: the shell ends when it cannot have one.
    attempt(
        "fork bomb",
        Both,
        Shell("f() { f | f & }; f; n=0; while [ $n -lt 500000 ]; do n=$((n + 1)); done; echo held"),
    ),
    attempt(
        "fork bomb of sessions",
        Both,
        Shell("n=0; while [ $n -lt 400 ]; do setsid sleep 600.{digits} & n=$((n + 1)); done; echo all-started"),
    ),
    attempt(
        "memory bomb",
        Both,
        Shell("head -c 900000000 /dev/zero | tail -c 800000000 | wc -c | grep -q 800000000 && echo ESCAPED"),
    ),
    // Output.
    attempt("output without a newline", Both, Shell("head -c 30000000 /dev/zero | tr '\\0' x; echo; echo held")),
    attempt(
        "NUL and escape codes in output",
        Both,
        Shell("printf 'a\\0b\\033[2J\\033]0;title\\007\\377\\n'; echo held"),
    ),
    // Git is run in the sandbox only; what a command plants must not run on the host.
    attempt(
        "git hooks, filters and fsmonitor",
        Both,
        Shell(
            "mkdir -p .git/hooks; printf '#!/bin/sh\\ntouch {out}/planted\\n' >.git/hooks/pre-commit; chmod +x .git/hooks/pre-commit; printf '[core]\\nfsmonitor = touch {out}/planted\\n[filter \"f\"]\\nclean = touch {out}/planted\\n' >.git/config; echo held",
        ),
    ),
    // Docker alone.
    attempt("write in the container's root", Docker, Shell("touch /usr/bin/planted && echo ESCAPED")),
    attempt("stop the container's init", Docker, Shell("kill -STOP 1; kill -TERM 1; sleep 0.1; true")),
];
