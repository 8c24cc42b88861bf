"""Escape attempts that a shell cannot make. Usage: probe.py ATTEMPT TOKEN HOST_PID OUTSIDE_DIRECTORY

Each function returns a description of what it achieved, or None when the sandbox held. It prints `ESCAPED: ...` or `held`.
Every attempt is harmless when it succeeds: it changes nothing that the test does not own.
"""

import ctypes
import errno
import os
import platform
import resource
import socket
import stat
import sys
import time

TOKEN, HOST, OUTSIDE = sys.argv[2], int(sys.argv[3]), sys.argv[4]
LIBC = ctypes.CDLL(None, use_errno=True)
KEY = int(TOKEN[-6:]) + 0x4F000000

# x86_64, aarch64
NUMBERS = {
    "ptrace": (101, 117), "process_vm_readv": (310, 270), "pidfd_open": (434, 434), "pidfd_getfd": (438, 438),
    "unshare": (272, 97), "clone": (56, 220), "clone3": (435, 435), "setns": (308, 268), "mount": (165, 40),
    "open_tree": (428, 428), "fsopen": (430, 430), "io_uring_setup": (425, 425), "bpf": (321, 280),
    "perf_event_open": (298, 241), "userfaultfd": (323, 282), "kexec_load": (246, 104), "init_module": (175, 105),
    "open_by_handle_at": (304, 265), "fanotify_init": (300, 262), "add_key": (248, 217), "keyctl": (250, 219),
    "personality": (135, 92), "ioprio_set": (251, 30), "mq_open": (240, 180), "fchmodat2": (452, 452),
    "setxattrat": (463, 463), "prlimit64": (302, 261), "openat2": (437, 437), "sched_setscheduler": (144, 119),
    "getpid": (39, 172),
}


def call(name, *arguments):
    """A raw system call: its result, or minus the error number."""
    number = NUMBERS[name][0 if platform.machine() == "x86_64" else 1] if isinstance(name, str) else name
    arguments = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    result = LIBC.syscall(ctypes.c_long(number), *arguments)
    return -ctypes.get_errno() if result == -1 else result


def refused(result, *other):
    return result in (-errno.EPERM, -errno.EACCES, -errno.ENOSYS, -errno.EOPNOTSUPP, -errno.ESRCH, *other)


def said(result, what, *other):
    return None if refused(result, *other) else f"{what}: {result}"


def host_is_visible():
    """In a container the host's process ids mean other processes or none."""
    try:
        with open(f"/proc/{HOST}/cmdline", "rb") as file:
            return b"it-" in file.read()
    except OSError:
        return False


def on_host(result, what, *other):
    return said(result, what, *other) if host_is_visible() else None


# The host process.

def prlimit_of_host():
    if not host_is_visible():
        return None
    # Sets the limit to what it is.
    now = (ctypes.c_ulong * 2)()
    if call("prlimit64", HOST, resource.RLIMIT_CORE, None, now) < 0:
        return None
    return said(call("prlimit64", HOST, resource.RLIMIT_CORE, now, None), "prlimit")


def affinity_of_host():
    return on_host(attempt(lambda: os.sched_setaffinity(HOST, os.sched_getaffinity(HOST))), "sched_setaffinity")


def scheduler_of_host():
    return on_host(call("sched_setscheduler", HOST, 0, (ctypes.c_int * 1)(0)), "sched_setscheduler")


def priority_of_host():
    return on_host(attempt(lambda: os.setpriority(os.PRIO_PROCESS, HOST, os.getpriority(os.PRIO_PROCESS, HOST))), "setpriority")


def priority_of_user():
    # Of a user that has no processes: the kernel finds none, a filter refuses to look.
    done = attempt(lambda: os.setpriority(os.PRIO_USER, 64_711, 0))
    return None if done == -errno.EPERM else f"setpriority of a user: {done}"


def io_priority_of_host():
    return on_host(call("ioprio_set", 1, HOST, 0), "ioprio_set")


def ptrace_of_host():
    # PTRACE_SEIZE does not stop it.
    return on_host(call("ptrace", 0x4206, HOST, 0, 0), "ptrace")


def memory_of_host():
    buffer = ctypes.create_string_buffer(8)
    local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    remote = (ctypes.c_size_t * 2)(0x1000, 8)
    return on_host(call("process_vm_readv", HOST, local, 1, remote, 1, 0), "process_vm_readv")


def memory_file_of_host():
    return on_host(attempt(lambda: open(f"/proc/{HOST}/mem", "r+b")), "opened its memory")


def descriptor_of_host():
    handle = call("pidfd_open", HOST, 0)
    return None if handle < 0 else on_host(call("pidfd_getfd", handle, 0, 0), "pidfd_getfd")


def oom_score_of_host():
    return on_host(attempt(lambda: open(f"/proc/{HOST}/oom_score_adj", "w")), "opened oom_score_adj")


def signal_to_host():
    return on_host(attempt(lambda: os.kill(HOST, 0)), "signalled") if host_is_visible() else None


def attempt(action):
    try:
        action()
        return 0
    except OSError as error:
        return -error.errno


# Namespaces, mounts and the kernel.

def user_namespace():
    return said(call("unshare", 0x10000000), "unshare(CLONE_NEWUSER)", -errno.ENOSPC)


def other_namespaces():
    for flag in (0x20000, 0x02000000, 0x04000000, 0x08000000, 0x20000000, 0x40000000, 0x80):
        done = said(call("unshare", flag), f"unshare({flag:#x})")
        if done:
            return done
    return None


def namespace_by_clone():
    child = call("clone", 0x10000000 | 17, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    return said(child, "clone(CLONE_NEWUSER)", -errno.ENOSPC)


def namespace_by_clone3():
    arguments = (ctypes.c_ulong * 8)(0x10000000, 0, 0, 0, 17, 0, 0, 0)
    child = call("clone3", arguments, 64)
    if child == 0:
        os._exit(0)
    return said(child, "clone3(CLONE_NEWUSER)", -errno.ENOSPC)


def join_namespace():
    try:
        handle = os.open("/proc/self/ns/net", os.O_RDONLY)
    except OSError:
        return None
    return said(call("setns", handle, 0), "setns")


def mounting():
    os.makedirs("mountpoint", exist_ok=True)
    return said(call("mount", b"none", b"mountpoint", b"tmpfs", 0, None), "mount")


def bind_mounting():
    os.makedirs("mountpoint", exist_ok=True)
    return said(call("mount", b"/etc", b"mountpoint", None, 4096, None), "bind mount")


def new_mount_calls():
    return said(call("fsopen", b"tmpfs", 0), "fsopen", -errno.ENODEV) or said(call("open_tree", -100, b"/", 1), "open_tree")


def change_root():
    return said(attempt(lambda: os.chroot(".")), "chroot")


def io_uring():
    return said(call("io_uring_setup", 1, ctypes.create_string_buffer(120)), "io_uring_setup")


def bpf():
    # An array map: type, key size, value size, entries.
    return said(call("bpf", 0, (ctypes.c_uint * 32)(2, 4, 4, 1), 128), "bpf")


def performance_events():
    attributes = (ctypes.c_uint * 32)(1, 128)
    return said(call("perf_event_open", attributes, 0, -1, -1, 0), "perf_event_open", -errno.ENOENT)


def page_faults():
    return said(call("userfaultfd", 0), "userfaultfd")


def kexec():
    return said(call("kexec_load", 0, 0, None, 0), "kexec_load")


def kernel_module():
    return said(call("init_module", b"", 0, b""), "init_module")


def file_handle():
    return said(call("open_by_handle_at", -100, ctypes.create_string_buffer(144), 0), "open_by_handle_at")


def watch_everything():
    return said(call("fanotify_init", 0, 0), "fanotify_init")


def personality():
    # READ_IMPLIES_EXEC
    return said(call("personality", 0x0400000), "personality")


def unknown_call():
    # A number that no kernel has yet: a filter must refuse what it does not know.
    return None if refused(call(900)) else "an unknown call was made"


def x32_call():
    if platform.machine() != "x86_64":
        return None
    # In a child: a filter may end who tries it.
    child = os.fork()
    if child == 0:
        os._exit(0 if call(0x40000000 + 101, 0x4206, HOST, 0, 0) < 0 else 1)
    return "ptrace through the x32 interface" if os.waitpid(child, 0)[1] == 256 else None


def clock():
    # A clock that cannot be set: EINVAL is the answer of the kernel, EPERM that of a filter.
    return said(attempt(lambda: time.clock_settime(time.CLOCK_MONOTONIC, 0)), "clock_settime")


def host_name():
    return said(attempt(lambda: socket.sethostname(socket.gethostname())), "sethostname")


def devices():
    for path in ("/dev/mem", "/dev/kmsg", "/dev/sda", "/dev/vda", "/dev/fuse", "/dev/kvm", "/dev/net/tun", "/dev/loop-control"):
        if os.path.exists(path) and attempt(lambda: os.open(path, os.O_RDWR)) == 0:
            return f"opened {path}"
    return said(attempt(lambda: os.mknod("device", 0o600 | stat.S_IFBLK, os.makedev(8, 0))), "mknod")


def terminal():
    return said(attempt(lambda: os.open("/dev/tty", os.O_RDWR)), "opened the terminal", -errno.ENXIO, -errno.ENOENT)


def terminal_input():
    result = LIBC.ioctl(0, 0x5412, ctypes.c_char_p(b"#"))
    return None if result == -1 else "typed into the terminal"


# Sockets.

def open_socket(*arguments):
    return attempt(lambda: socket.socket(*arguments))


def raw_socket():
    return said(open_socket(socket.AF_INET, socket.SOCK_RAW, 1), "raw socket", -errno.EAFNOSUPPORT)


def packet_socket():
    return said(open_socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0), "packet socket", -errno.EAFNOSUPPORT)


def rare_sockets():
    # AF_ALG, AF_VSOCK, AF_XDP, AF_TIPC
    for family in (38, 40, 44, 30):
        done = said(open_socket(family, socket.SOCK_STREAM, 0), f"socket of family {family}", -errno.EAFNOSUPPORT,
                    -errno.ESOCKTNOSUPPORT, -errno.EPROTONOSUPPORT)
        if done:
            return done
    return None


def connect(family, address):
    def go():
        with socket.socket(family, socket.SOCK_STREAM) as one:
            one.settimeout(1)
            one.connect(address)
    try:
        go()
        return f"connected to {address}"
    except OSError:
        return None


def docker_socket():
    return connect(socket.AF_UNIX, "/var/run/docker.sock") or connect(socket.AF_UNIX, "/run/docker.sock")


def path_socket():
    return connect(socket.AF_UNIX, os.path.join(OUTSIDE, "socket"))


def abstract_socket():
    return connect(socket.AF_UNIX, "\0" + TOKEN)


def datagram_to_path():
    """A datagram socket of a pair can send to any path, without having been opened by socket()."""
    try:
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.sendto(b"x", os.path.join(OUTSIDE, "datagram"))
        return "sent a datagram"
    except OSError:
        return None


def metadata_address():
    return connect(socket.AF_INET, ("169.254.169.254", 80))


def loopback_of_host():
    with open("port") as file:
        return connect(socket.AF_INET, ("127.0.0.1", int(file.read())))


# What stays when a command has ended.

def shared_memory():
    # IPC_CREAT; whether it is left is for the host to see.
    LIBC.shmget(KEY, 4096, 0o1600)
    return None


def semaphores_and_messages():
    LIBC.semget(KEY, 1, 0o1600)
    LIBC.msgget(KEY, 0o1600)
    return None


def posix_shared_memory():
    attempt(lambda: open(f"/dev/shm/{TOKEN}", "w").write("x"))
    return None


def posix_queue():
    attributes = (ctypes.c_long * 8)(0, 1, 8)
    call("mq_open", TOKEN.encode(), os.O_CREAT | os.O_RDWR, 0o600, attributes)
    return None


def keyring():
    # Into the user's own keyring, which outlives the process.
    return said(call("add_key", b"user", TOKEN.encode(), b"x", 1, -4), "add_key")


def read_keyring():
    return said(call("keyctl", 0, -4, 1), "keyctl")


def set_uid_modes():
    with open("plain", "w") as file:
        file.write("x")
    handle = os.open("plain", os.O_RDONLY)
    for mode in (0o4755, 0o2755, 0o6755):
        attempt(lambda: os.chmod("plain", mode))
        attempt(lambda: os.fchmod(handle, mode))
        call("fchmodat2", -100, b"plain", mode, 0)
        attempt(lambda: os.open(f"opened{mode:o}", os.O_CREAT | os.O_WRONLY, mode))
        attempt(lambda: os.mknod(f"node{mode:o}", mode | stat.S_IFREG))
        call("openat2", -100, f"how{mode:o}".encode(), (ctypes.c_ulong * 3)(os.O_CREAT | os.O_WRONLY, mode, 0), 24)
        handle_of_unnamed = None
        try:
            handle_of_unnamed = os.open(".", os.O_TMPFILE | os.O_WRONLY, mode)
            os.link(f"/proc/self/fd/{handle_of_unnamed}", f"linked{mode:o}", follow_symlinks=True)
        except OSError:
            pass
    for name in os.listdir("."):
        if os.stat(name, follow_symlinks=False).st_mode & 0o6000 and os.path.isfile(name):
            return f"{name} has mode {os.stat(name).st_mode:o}"
    return None


def attributes():
    with open("attributed", "w") as file:
        file.write("x")
    return said(attempt(lambda: os.setxattr("attributed", "user.orkestra", b"x")), "setxattr")


def attributes_outside():
    return said(attempt(lambda: os.setxattr(os.path.join(OUTSIDE, "secret"), "user.orkestra", b"x")), "setxattr outside",
                -errno.ENOENT)


def mode_outside():
    return said(attempt(lambda: os.chmod(os.path.join(OUTSIDE, "secret"), 0o600)), "chmod outside", -errno.ENOENT)


def owner_of_files():
    with open("owned", "w") as file:
        file.write("x")
    other = 4711 if os.getuid() == 0 else 0
    return said(attempt(lambda: os.chown("owned", other, -1)), "chown")


# Processes that try to outlive their command.

def become_daemon(before=lambda: None, wait=True):
    if os.fork():
        time.sleep(0.2)
        return None
    os.setsid()
    if os.fork():
        os._exit(0)
    before()
    os.chdir("/")
    # With the token as argument, an empty environment, and nothing of the session.
    os.execve("/bin/sleep", ["sleep", f"600.{TOKEN[-6:]}"], {})


def double_fork():
    return become_daemon()


def daemon_without_mark():
    """Tries to take off what its host could know it by."""
    def strip():
        for which in range(16):
            for limit in ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (0, 0), (7, 7)):
                if which not in (resource.RLIMIT_AS, resource.RLIMIT_DATA, resource.RLIMIT_STACK, resource.RLIMIT_NOFILE,
                                 resource.RLIMIT_CPU):
                    attempt_limit(which, limit)
        for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"):
            attempt(lambda: open(path, "w").write("0"))
    return become_daemon(strip)


def headless_daemon():
    """A process whose first thread has ended looks like one that has ended."""
    import threading
    if os.fork():
        time.sleep(0.3)
        return None
    os.setsid()
    threading.Thread(target=time.sleep, args=(600,)).start()
    # exit, of this thread alone
    LIBC.syscall(ctypes.c_long(60 if platform.machine() == "x86_64" else 93), 0)


def attempt_limit(which, limit):
    try:
        resource.setrlimit(which, limit)
    except (OSError, ValueError):
        pass


def many_daemons():
    for _ in range(40):
        if os.fork() == 0:
            become_daemon()
            os._exit(0)
    time.sleep(0.3)
    return None


def deaf_daemon():
    """Ignores every signal that can be ignored and holds the output open."""
    import signal
    if os.fork():
        return None
    os.setsid()
    for number in set(range(1, 65)) - {9, 19, 32, 33}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(600)


def raise_limits():
    for which in (resource.RLIMIT_CORE, resource.RLIMIT_FSIZE, resource.RLIMIT_DATA, resource.RLIMIT_NPROC):
        try:
            _, most = resource.getrlimit(which)
            if most == resource.RLIM_INFINITY:
                continue
            resource.setrlimit(which, (most, most + 1))
            return f"raised limit {which}"
        except (OSError, ValueError):
            pass
    return None


def leave_cgroup():
    for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/unified/cgroup.procs", "/sys/fs/cgroup/pids/cgroup.procs"):
        if attempt(lambda: open(path, "w").write("0")) == 0:
            return f"moved itself through {path}"
    return None


def core_pattern():
    return said(attempt(lambda: open("/proc/sys/kernel/core_pattern", "r+")), "opened core_pattern", -errno.EROFS)


def sysrq():
    return said(attempt(lambda: open("/proc/sysrq-trigger", "w")), "opened sysrq-trigger", -errno.EROFS, -errno.ENOENT)


done = globals()[sys.argv[1]]()
print(f"ESCAPED: {done}" if done else "held", flush=True)
