//! The filter of system calls of a container, as the JSON that Docker and Podman pass on to the runtime.
//!
//! It lists what is allowed, unlike the filter of the local sandbox (`local/syscalls.rs`), because the runtime builds it by name
//! and cannot say "newer than this". A test compares the two: what the local sandbox refuses is refused here, except for what
//! has a namespace of its own in a container ([`tests::NAMESPACED`]). `docs/sandbox.md` says what programs lose.

use serde_json::{Value, json};

/// Allowed whatever the arguments are, separated by spaces. Names that a processor or a runtime does not know are ignored.
const ALLOWED: &[&str] = &[
    // Files: by descriptor.
    "close close_range copy_file_range dup dup2 dup3 fadvise64 fchdir fcntl fdatasync flock fstat fstatfs \
     fsync ftruncate getdents getdents64 lseek pread64 preadv preadv2 pwrite64 pwritev pwritev2 read \
     readahead readv sendfile splice sync sync_file_range sync_file_range2 syncfs tee vmsplice write writev",
    // Files: by name.
    "access chdir chown faccessat faccessat2 fchown fchownat futimesat getcwd lchown link linkat lstat \
     name_to_handle_at newfstatat readlink readlinkat rename renameat renameat2 rmdir stat statfs statx symlink \
     symlinkat truncate umask unlink unlinkat utime utimensat utimes",
    // Attributes are read, not set.
    "fgetxattr flistxattr getxattr lgetxattr listxattr llistxattr",
    // Waiting.
    "epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 inotify_add_watch \
     inotify_init inotify_init1 inotify_rm_watch io_cancel io_destroy io_getevents io_pgetevents io_setup io_submit \
     pause pipe pipe2 poll ppoll pselect6 select signalfd signalfd4",
    // Memory.
    "brk cachestat madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect \
     mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages",
    // Processes and threads.
    "arch_prctl capget capset execve execveat exit exit_group fork futex futex_requeue futex_wait futex_waitv \
     futex_wake get_robust_list get_thread_area getcpu getpgid getpgrp getpid getppid getpriority getrlimit \
     getrusage getsid gettid ioprio_get ioprio_set kill pidfd_open pidfd_send_signal prctl prlimit64 \
     restart_syscall riscv_flush_icache riscv_hwprobe rseq rt_sigaction rt_sigpending rt_sigprocmask \
     rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo sched_get_priority_max \
     sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler sched_rr_get_interval \
     sched_setaffinity sched_setattr sched_setparam sched_setscheduler sched_yield set_robust_list set_thread_area \
     set_tid_address setpgid setpriority setrlimit setsid sigaltstack tgkill tkill vfork wait4 waitid",
    // Users: without capabilities a program can only become what it is.
    "getegid geteuid getgid getgroups getresgid getresuid getuid setfsgid setfsuid setgid setgroups setregid \
     setresgid setresuid setreuid setuid",
    // The machine and time.
    "alarm clock_getres clock_gettime clock_nanosleep getitimer getrandom gettimeofday nanosleep setitimer sysinfo \
     time timer_create timer_delete timer_getoverrun timer_gettime timer_settime timerfd_create timerfd_gettime \
     timerfd_settime times uname",
    // Sockets; which ones can be made is decided by `socket`.
    "accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg \
     sendmsg sendto setsockopt shutdown",
    // Between processes; a container has its own.
    "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl \
     semget semop semtimedop shmat shmctl shmdt shmget",
    // Programs that confine themselves.
    "landlock_add_rule landlock_create_ruleset landlock_restrict_self seccomp",
];

/// Refused as if the kernel had none (ENOSYS), after which programs use an older call, whose arguments can be checked. io_uring
/// performs calls that no filter sees.
const ABSENT: &[&str] = &["clone3", "io_uring_enter", "io_uring_register", "io_uring_setup", "openat2"];

/// Refused with EOPNOTSUPP, after which `cp` and `tar` do without. `fallocate` takes space faster than a watcher can look
/// (`disk.rs`), and glibc writes instead.
const UNSUPPORTED: &[&str] =
    &["fallocate", "fremovexattr", "fsetxattr", "lremovexattr", "lsetxattr", "removexattr", "setxattr"];

/// Calls with a mode in argument `.1`, which may not be set-user-id or set-group-id: such a file would stay in the workspace, on
/// the host. The sticky bit is harmless.
const MODES: &[(&str, u32)] = &[
    ("chmod", 1),
    ("creat", 1),
    ("fchmod", 1),
    ("fchmodat", 2),
    ("fchmodat2", 2),
    ("mkdir", 1),
    ("mkdirat", 2),
    ("mknod", 1),
    ("mknodat", 2),
];
const SET_ID: u32 = 0o6000;

/// Calls with open flags in argument `.1` and a mode after it, which counts when the flags create a file.
const OPENS: &[(&str, u32)] = &[("open", 1), ("openat", 2)];
/// `O_CREAT` and the bit that only `O_TMPFILE` has, on x86-64, AArch64 and RISC-V.
const CREATES: u32 = 0o100 | 0o20_000_000;

/// The flags of `clone` that make namespaces: mount, control group, host name, IPC, user, process, network.
const NAMESPACES: u32 = 0x7E02_0000;

/// Linux, `UNAME26`, 32 bits, both, and the question which one it is.
const PERSONALITIES: [u32; 5] = [0, 0x0008, 0x0002_0000, 0x0002_0008, 0xFFFF_FFFF];

/// `FS_IOC_RESVSP` and its like, which reserve space on a disk as `fallocate` does (`linux/falloc.h`), under a mask.
const RESERVE: u32 = 0x4030_5800;
const RESERVE_MASK: u32 = 0xFFFF_FF00;

const AF_UNIX: u32 = 1;
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
const AF_NETLINK: u32 = 16;
/// `SOCK_STREAM` and `SOCK_DGRAM`; the bits above the mask are `SOCK_CLOEXEC` and `SOCK_NONBLOCK`.
const PLAIN_SOCKETS: [u32; 2] = [1, 2];
const SOCKET_TYPE: u32 = 0xF;

/// All bits of an argument of 32 bits: programs may leave anything in the upper half of the register.
const WHOLE: u32 = u32::MAX;

/// An argument must have these bits under this mask.
#[derive(Clone, Copy)]
struct Bits {
    argument: u32,
    mask: u32,
    value: u32,
}

const fn bits(argument: u32, mask: u32, value: u32) -> Bits {
    Bits { argument, mask, value }
}

/// The profile.
pub(super) fn profile() -> String {
    let mut rules = vec![
        rule(&allowed().collect::<Vec<_>>(), &[]),
        refusal(ABSENT, 38 /* ENOSYS */),
        refusal(UNSUPPORTED, 95 /* EOPNOTSUPP */),
        rule(&["clone"], &[bits(0, NAMESPACES, 0)]),
    ];
    rules.extend(MODES.iter().map(|(call, mode)| rule(&[call], &[bits(*mode, SET_ID, 0)])));
    for (call, flags) in OPENS {
        rules.push(rule(&[call], &[bits(*flags, CREATES, 0)]));
        rules.push(rule(&[call], &[bits(flags + 1, SET_ID, 0)]));
    }
    // Every request but those that reserve space: one that differs from them in a bit.
    let differs = |bit: u32| bits(1, bit, !RESERVE & bit);
    let mask = (0..u32::BITS).map(|place| 1 << place).filter(|bit| RESERVE_MASK & bit != 0);
    rules.extend(mask.map(|bit| rule(&["ioctl"], &[differs(bit)])));
    rules.extend(PERSONALITIES.map(|allowed| rule(&["personality"], &[bits(0, WHOLE, allowed)])));
    rules.extend(["socket", "socketpair"].map(|call| rule(&[call], &[bits(0, WHOLE, AF_UNIX)])));
    for family in [AF_INET, AF_INET6] {
        let plain = PLAIN_SOCKETS.map(|plain| bits(1, SOCKET_TYPE, plain));
        rules.extend(plain.map(|plain| rule(&["socket"], &[bits(0, WHOLE, family), plain])));
    }
    // Protocol 0, NETLINK_ROUTE: the question for network interfaces.
    rules.push(rule(&["socket"], &[bits(0, WHOLE, AF_NETLINK), bits(2, WHOLE, 0)]));
    // No architecture is named: the runtime filters its own, and ends programs that use another one.
    json!({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 1, "syscalls": rules}).to_string()
}

fn allowed() -> impl Iterator<Item = &'static str> {
    ALLOWED.iter().flat_map(|names| names.split_ascii_whitespace())
}

/// All of the conditions have to hold; of several rules for one call, one is enough. A call with conditions must not be in
/// [`ALLOWED`], nor may one rule have two conditions for one argument, of which a runtime takes either.
fn rule(names: &[&str], conditions: &[Bits]) -> Value {
    let condition = |bits: &Bits| json!({"index": bits.argument, "op": "SCMP_CMP_MASKED_EQ", "value": bits.mask, "valueTwo": bits.value});
    let conditions: Vec<Value> = conditions.iter().map(condition).collect();
    json!({"names": names, "action": "SCMP_ACT_ALLOW", "args": conditions})
}

fn refusal(names: &[&str], error: u32) -> Value {
    json!({"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": error, "args": []})
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::collections::BTreeSet;

    use super::super::super::local::refused_by_local;
    use super::*;

    /// Refused on the host, where they would outlive their command, and allowed in a container, which has its own.
    const NAMESPACED: &[&str] = &["msgget", "semget", "shmget", "shmat", "mq_open", "mq_unlink"];

    #[test]
    fn a_call_is_in_one_list_only() {
        let mut seen = BTreeSet::new();
        let conditional = MODES.iter().chain(OPENS).map(|(name, _)| *name);
        let others = ABSENT
            .iter()
            .chain(UNSUPPORTED)
            .chain(&["clone", "personality", "socket", "socketpair"])
            .copied()
            .chain(conditional);
        for name in allowed().chain(others) {
            assert!(seen.insert(name), "{name} is listed twice");
        }
    }

    #[test]
    fn a_container_is_allowed_nothing_that_the_local_sandbox_refuses() {
        let allowed: BTreeSet<&str> = allowed().collect();
        let refused = refused_by_local();
        assert!(refused.len() > 60, "{}", refused.len());
        for name in refused {
            assert!(!allowed.contains(name) || NAMESPACED.contains(&name), "{name}");
        }
    }

    #[test]
    fn the_profile_is_what_a_runtime_reads() {
        let profile: Value = serde_json::from_str(&profile()).expect("it is JSON");
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        let rules = profile["syscalls"].as_array().expect("rules");
        let of_chmod: Vec<&Value> = rules.iter().filter(|rule| rule["names"] == json!(["chmod"])).collect();
        let expected = json!([{"index": 1, "op": "SCMP_CMP_MASKED_EQ", "value": 0o6000, "valueTwo": 0}]);
        assert!(of_chmod.len() == 1 && of_chmod[0]["args"] == expected, "{of_chmod:?}");
        for rule in rules {
            let arguments = rule["args"].as_array().expect("a list");
            let indices: BTreeSet<u64> = arguments.iter().filter_map(|one| one["index"].as_u64()).collect();
            assert_eq!(indices.len(), arguments.len(), "{rule}");
        }
    }
}
