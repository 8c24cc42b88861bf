//! The filter of system calls of a command (seccomp). **The only file with seccompiler types.** Landlock guards files and
//! signals; this guards what Landlock does not know: other processes' limits and priorities, the kernel's rarely used
//! interfaces, sockets that are not for networking, and what would outlive the command.
//!
//! A thread that has it passes it on to everything that it spawns, and nothing can take it off.
//!
//! The filter is a list of what is refused, because builds run programs that nobody foresees. So that the list does not open
//! with each new kernel, numbers above [`NEWEST`] are refused too, and with them the x32 interface.

use std::collections::BTreeMap;

use libc::{
    AF_INET, AF_INET6, AF_NETLINK, AF_UNIX, CLONE_NEWCGROUP, CLONE_NEWIPC, CLONE_NEWNET, CLONE_NEWNS, CLONE_NEWPID,
    CLONE_NEWUSER, CLONE_NEWUTS, O_CREAT, SOCK_DGRAM, SOCK_RAW, c_int, c_long,
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Width, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, sock_filter,
};

use super::super::SandboxError;

/// `mseal`, Linux 6.10: the newest call that this list was compared with. Programs take ENOSYS for an older kernel.
const NEWEST: u32 = 462;

/// The limit that carries the mark of a command (`processes.rs`); a command must not change it.
const MARK: u64 = libc::RLIMIT_LOCKS as u64;

/// A system call by number and name.
#[derive(Debug)]
struct Call {
    number: c_long,
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "a test compares this list with the container's, which has names")
    )]
    name: &'static str,
}

macro_rules! calls {
    ($($(#[$only:meta])* $name:ident),* $(,)?) => {
        &[$($(#[$only])* Call { number: libc::$name, name: stringify!($name) }),*]
    };
}

/// Refused with EPERM whatever the arguments are.
const REFUSED: &[Call] = calls![
    // Other processes. Landlock guards memory and environment; these need not be there at all.
    SYS_ptrace,
    SYS_process_vm_readv,
    SYS_process_vm_writev,
    SYS_process_madvise,
    SYS_process_mrelease,
    SYS_pidfd_getfd,
    SYS_kcmp,
    // Namespaces and mounts.
    SYS_unshare,
    SYS_setns,
    SYS_chroot,
    SYS_pivot_root,
    SYS_mount,
    SYS_umount2,
    SYS_move_mount,
    SYS_mount_setattr,
    SYS_open_tree,
    SYS_fsopen,
    SYS_fsconfig,
    SYS_fsmount,
    SYS_fspick,
    // The machine.
    SYS_acct,
    SYS_adjtimex,
    SYS_bpf,
    SYS_clock_adjtime,
    SYS_clock_settime,
    SYS_delete_module,
    SYS_fanotify_init,
    SYS_fanotify_mark,
    SYS_finit_module,
    SYS_init_module,
    SYS_kexec_file_load,
    SYS_kexec_load,
    SYS_open_by_handle_at,
    SYS_perf_event_open,
    SYS_quotactl,
    SYS_quotactl_fd,
    SYS_reboot,
    SYS_setdomainname,
    SYS_sethostname,
    SYS_settimeofday,
    SYS_swapoff,
    SYS_swapon,
    SYS_syslog,
    SYS_userfaultfd,
    SYS_vhangup,
    // What outlives the processes that made it: keys, System V memory, semaphores and queues, POSIX queues.
    SYS_add_key,
    SYS_keyctl,
    SYS_request_key,
    SYS_msgget,
    SYS_semget,
    SYS_shmget,
    SYS_shmat,
    SYS_mq_open,
    SYS_mq_unlink,
    #[cfg(target_arch = "x86_64")]
    SYS_ioperm,
    #[cfg(target_arch = "x86_64")]
    SYS_iopl,
    #[cfg(target_arch = "x86_64")]
    SYS_modify_ldt,
];

/// Refused with ENOSYS, after which programs use the older call, whose arguments can be checked. io_uring performs calls that
/// no filter sees.
const ABSENT: &[Call] = calls![SYS_clone3, SYS_openat2, SYS_io_uring_setup, SYS_io_uring_enter, SYS_io_uring_register,];

/// Refused with EOPNOTSUPP, after which `cp` and `tar` do without. Attributes also reach files outside the workspace; `fallocate`
/// takes space faster than a watcher can look (`disk.rs`), and glibc writes instead.
const UNSUPPORTED: &[Call] = calls![
    SYS_setxattr,
    SYS_lsetxattr,
    SYS_fsetxattr,
    SYS_removexattr,
    SYS_lremovexattr,
    SYS_fremovexattr,
    SYS_fallocate
];

/// Calls with a mode in argument `.1` that may not be set-user-id or set-group-id.
const MODES: &[(c_long, u8)] = &[
    (libc::SYS_fchmod, 1),
    (libc::SYS_fchmodat, 2),
    (libc::SYS_fchmodat2, 2),
    (libc::SYS_mkdirat, 2),
    (libc::SYS_mknodat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_chmod, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_creat, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mkdir, 1),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_mknod, 1),
];

/// Calls with open flags in argument `.1` and a mode after it, which counts when the flags create a file.
const OPENS: &[(c_long, u8)] = &[
    (libc::SYS_openat, 2),
    #[cfg(target_arch = "x86_64")]
    (libc::SYS_open, 1),
];

/// Calls that change a process named by argument 0, where 0 means the caller. Landlock scopes signals, but not these.
const PROCESS: &[c_long] = &[
    libc::SYS_sched_setaffinity,
    libc::SYS_sched_setattr,
    libc::SYS_sched_setparam,
    libc::SYS_sched_setscheduler,
    libc::SYS_migrate_pages,
    libc::SYS_move_pages,
];

const NAMESPACES: [c_int; 7] =
    [CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET];

/// Input that looks as if it was typed into a terminal.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541C;

/// A compiled filter.
#[derive(Debug)]
pub(super) struct SyscallFilter {
    programs: Vec<BpfProgram>,
}

impl SyscallFilter {
    /// Compiles the filter; `None` on a processor that it does not know.
    pub(super) fn new(unix_sockets: bool) -> Result<Option<Self>, SandboxError> {
        let Ok(architecture) = TargetArch::try_from(std::env::consts::ARCH) else { return Ok(None) };
        let lists = [
            (refused(unix_sockets), libc::EPERM),
            (always(ABSENT), libc::ENOSYS),
            (always(UNSUPPORTED), libc::EOPNOTSUPP),
        ];
        let mut programs = vec![refuse_unknown()];
        for (rules, error) in lists {
            let action = SeccompAction::Errno(error.unsigned_abs());
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, action, architecture);
            let program = filter.and_then(BpfProgram::try_from);
            programs.push(
                program.map_err(|error| SandboxError::Failed(format!("cannot compile the seccomp filter: {error}")))?,
            );
        }
        Ok(Some(Self { programs }))
    }

    /// Filters the calling thread permanently. False where the kernel has no seccomp.
    pub(super) fn apply(&self) -> bool {
        self.programs.iter().all(|program| seccompiler::apply_filter(program).is_ok())
    }
}

type Rules = BTreeMap<c_long, Vec<SeccompRule>>;

fn always(calls: &[Call]) -> Rules {
    calls.iter().map(|call| (call.number, Vec::new())).collect()
}

/// What is refused with EPERM.
fn refused(unix_sockets: bool) -> Rules {
    let mut rules = always(REFUSED);
    let mut refuse = |call: c_long, conditions: &[(u8, Width, Op, u64)]| {
        let conditions = conditions.iter().map(|(argument, width, operator, value)| {
            SeccompCondition::new(*argument, width.clone(), operator.clone(), *value)
        });
        let conditions: Result<Vec<_>, _> = conditions.collect();
        let rule = conditions.and_then(SeccompRule::new).expect("the tables name arguments that exist");
        rules.entry(call).or_default().push(rule);
    };
    for (call, argument) in MODES {
        for bit in [0o4000, 0o2000] {
            refuse(*call, &[(*argument, Width::Dword, Op::MaskedEq(bit), bit)]);
        }
    }
    for (call, flags) in OPENS {
        for creates in [O_CREAT, libc::O_TMPFILE & !libc::O_DIRECTORY].map(unsigned) {
            for bit in [0o4000, 0o2000] {
                let conditions = [
                    (*flags, Width::Dword, Op::MaskedEq(creates), creates),
                    (flags + 1, Width::Dword, Op::MaskedEq(bit), bit),
                ];
                refuse(*call, &conditions);
            }
        }
    }
    for call in PROCESS {
        refuse(*call, &[(0, Width::Dword, Op::Ne, 0)]);
    }
    for call in [libc::SYS_setpriority, libc::SYS_ioprio_set] {
        // A user's processes, all of them: 2 and 3. A process or a group is the caller's when it is 0.
        let user = if call == libc::SYS_setpriority { 2 } else { 3 };
        refuse(call, &[(0, Width::Dword, Op::Eq, user)]);
        refuse(call, &[(1, Width::Dword, Op::Ne, 0)]);
    }
    // Reading a limit is allowed: argument 2, the new value, is null.
    refuse(libc::SYS_prlimit64, &[(0, Width::Dword, Op::Ne, 0), (2, Width::Qword, Op::Ne, 0)]);
    refuse(libc::SYS_prlimit64, &[(1, Width::Dword, Op::Eq, MARK), (2, Width::Qword, Op::Ne, 0)]);
    refuse(libc::SYS_setrlimit, &[(0, Width::Dword, Op::Eq, MARK)]);
    for flag in NAMESPACES.map(unsigned) {
        refuse(libc::SYS_clone, &[(0, Width::Qword, Op::MaskedEq(flag), flag)]);
    }
    for request in [TIOCSTI, TIOCLINUX] {
        refuse(libc::SYS_ioctl, &[(1, Width::Dword, Op::Eq, request)]);
    }
    refuse(libc::SYS_ioctl, &[(1, Width::Dword, Op::MaskedEq(RESERVE_MASK), RESERVE)]);
    // What uname emulates and what Docker allows too: Linux, UNAME26 and 32 bits, and the question.
    let personalities = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xFFFF_FFFF];
    refuse(libc::SYS_personality, &personalities.map(|allowed| (0, Width::Dword, Op::Ne, allowed)));
    sockets(&mut refuse, unix_sockets);
    rules
}

/// The requests that reserve space on a disk, as `fallocate` does: `FS_IOC_RESVSP`, `FS_IOC_RESVSP64`, `FS_IOC_ZERO_RANGE` and their
/// like (`linux/falloc.h`).
const RESERVE: u64 = 0x4030_5800;
const RESERVE_MASK: u64 = 0xFFFF_FF00;

/// Only TCP, UDP, the question for network interfaces, and pairs. A socket with a path reaches Docker's daemon, the session bus
/// and the host's databases, and no Landlock before ABI 9 stops that.
fn sockets(refuse: &mut impl FnMut(c_long, &[(u8, Width, Op, u64)]), unix_sockets: bool) {
    const TYPE: u64 = 0xF;
    let [unix, inet, inet6, netlink] = [AF_UNIX, AF_INET, AF_INET6, AF_NETLINK].map(unsigned);
    let families = [unix, inet, inet6, netlink];
    refuse(libc::SYS_socket, &families.map(|family| (0, Width::Dword, Op::Ne, family)));
    let raw = (1, Width::Dword, Op::MaskedEq(TYPE), unsigned(SOCK_RAW));
    refuse(libc::SYS_socket, &[raw, (0, Width::Dword, Op::Ne, netlink)]);
    // Protocol 0 is NETLINK_ROUTE.
    refuse(libc::SYS_socket, &[(0, Width::Dword, Op::Eq, netlink), (2, Width::Dword, Op::Ne, 0)]);
    if !unix_sockets {
        refuse(libc::SYS_socket, &[(0, Width::Dword, Op::Eq, unix)]);
        // A datagram socket of a pair can be sent to any path; a stream socket cannot be connected again.
        refuse(libc::SYS_socketpair, &[(1, Width::Dword, Op::MaskedEq(TYPE), unsigned(SOCK_DGRAM))]);
    }
}

/// `if number > NEWEST { ENOSYS } else { allow }`. The x32 interface has bit 30 set.
fn refuse_unknown() -> BpfProgram {
    let load_number = sock_filter { code: 0x20, jt: 0, jf: 0, k: 0 };
    let is_unknown = sock_filter { code: 0x25, jt: 0, jf: 1, k: NEWEST };
    let answer = |action: SeccompAction| sock_filter { code: 0x06, jt: 0, jf: 0, k: u32::from(action) };
    let absent = answer(SeccompAction::Errno(libc::ENOSYS.unsigned_abs()));
    vec![load_number, is_unknown, absent, answer(SeccompAction::Allow)]
}

fn unsigned(flag: c_int) -> u64 {
    u64::from(flag.cast_unsigned())
}

/// The names of all calls that are refused whatever their arguments are.
#[cfg(test)]
pub(in super::super) fn refused_names() -> Vec<&'static str> {
    let all = REFUSED.iter().chain(ABSENT).chain(UNSUPPORTED);
    all.filter_map(|call| call.name.strip_prefix("SYS_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_compiles_and_no_call_is_in_two_lists() {
        assert!(SyscallFilter::new(false).expect("it compiles").is_some());
        assert!(SyscallFilter::new(true).expect("it compiles").is_some());
        let conditional = refused(false);
        for call in ABSENT.iter().chain(UNSUPPORTED) {
            assert!(!conditional.contains_key(&call.number), "{call:?}");
        }
        // A call with conditions must not be refused altogether, nor the other way round.
        for call in REFUSED {
            assert!(conditional[&call.number].is_empty(), "{call:?}");
        }
    }
}
