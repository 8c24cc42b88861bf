//! Confines a thread, and with it the processes that it spawns: no new privileges, no capabilities, Landlock, the filter of
//! system calls. **The only file with landlock types.** All four are properties of a thread that a child inherits and nothing
//! can undo, which is why this needs no code between fork and exec. It must never be called on a thread that does anything else afterwards.

use std::env;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, Ruleset, RulesetAttr as _,
    RulesetCreated, RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::super::{Confinement, SandboxError};
use super::LocalOptions;
use super::network::PrivateNetwork;
use super::syscalls::SyscallFilter;

/// The newest Landlock ABI that this code was written for; an older kernel enforces what it supports.
const ABI_WANTED: ABI = ABI::V9;

/// What programs need to run at all. Not all of `/etc`: it holds host keys and password hashes.
const SYSTEM: &[&str] = &[
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/opt",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/passwd",
    "/etc/group",
    "/etc/nsswitch.conf",
    "/etc/hosts",
    "/etc/resolv.conf",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/alternatives",
    "/etc/os-release",
    // pip reads all of these to find out which system it runs on, and fails when one exists but is not readable.
    "/etc/lsb-release",
    "/etc/debian_version",
    "/etc/redhat-release",
    "/etc/system-release",
    "/etc/fedora-release",
    "/etc/alpine-release",
    "/etc/arch-release",
    "/etc/services",
    "/etc/protocols",
    "/etc/host.conf",
    "/etc/gai.conf",
    "/etc/timezone",
    "/etc/gitconfig",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/ca-certificates",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust",
];

/// Information about the machine and the process itself. Landlock protects other processes' environment and memory.
const SYSTEM_INFORMATION: [&str; 3] = ["/proc", "/sys/fs/cgroup", "/sys/devices/system/cpu"];

/// Not `/dev/tty`: a command has no terminal, and must not get this process's.
const DEVICES: [&str; 5] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Siblings of a `PATH` directory outside the system's that its programs need (`~/.pyenv/shims`, `~/.nvm/…/bin`).
const TOOLCHAIN: [&str; 9] = ["bin", "shims", "sbin", "lib", "lib64", "libexec", "include", "versions", "version"];

/// Confines threads in one fixed way.
#[derive(Debug)]
pub(super) struct Confiner {
    ruleset: Option<RulesetCreated>,
    filter: Option<SyscallFilter>,
    network: Option<PrivateNetwork>,
    options: LocalOptions,
    in_force: InForce,
}

/// The confinement in force, as a probe thread found it.
#[derive(Debug, Clone, Copy)]
struct InForce {
    /// The ABI version, 0 without Landlock.
    landlock: u32,
    no_capabilities: bool,
    seccomp: bool,
}

impl Confiner {
    /// Prepares the rules and tries them on a thread that then ends.
    pub(super) fn new(writable: &[&Path], options: &LocalOptions) -> Result<Self, SandboxError> {
        let ruleset = rules(writable, options).map_err(|error| SandboxError::Failed(format!("Landlock: {error}")))?;
        let unknown = InForce { landlock: 0, no_capabilities: false, seccomp: false };
        let filter = SyscallFilter::new(options.unix_sockets)?;
        let network = options.private_network.then(PrivateNetwork::new).transpose().map_err(|error| {
            SandboxError::Unavailable(format!(
                "cannot give commands a network of their own: {error}; this needs CAP_SYS_ADMIN, so use the Docker sandbox instead"
            ))
        })?;
        let mut confiner =
            Self { ruleset: Some(ruleset), filter, network, options: options.clone(), in_force: unknown };
        let probed = std::thread::scope(|scope| scope.spawn(|| confiner.apply()).join());
        confiner.in_force = probed.map_err(|_| SandboxError::Failed("the probe thread panicked".to_owned()))??;
        if confiner.in_force.landlock == 0 {
            confiner.ruleset = None;
        }
        if !confiner.in_force.seccomp {
            confiner.filter = None;
        }
        Ok(confiner)
    }

    pub(super) fn has_landlock(&self) -> bool {
        self.in_force.landlock > 0
    }

    pub(super) fn has_seccomp(&self) -> bool {
        self.in_force.seccomp
    }

    /// Confines the calling thread permanently. On an error, nothing may be spawned from the thread.
    pub(super) fn confine_this_thread(&self) -> Result<(), SandboxError> {
        let now = self.apply()?;
        let before = self.in_force;
        if now.landlock < before.landlock
            || (now.no_capabilities, now.seccomp) != (before.no_capabilities, before.seccomp)
        {
            return Err(SandboxError::Failed(
                "cannot confine a command: less confinement is in force than at the start".to_owned(),
            ));
        }
        Ok(())
    }

    fn apply(&self) -> Result<InForce, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| SandboxError::Failed(format!("{what}: {error}"));
        // First: it needs the capabilities.
        if let Some(network) = &self.network {
            network.enter().map_err(|error| failed("cannot enter the sandbox's network", &error))?;
        }
        rustix::thread::set_no_new_privs(true).map_err(|error| failed("no_new_privs", &error))?;
        let mut landlock = 0;
        if let Some(ruleset) = &self.ruleset {
            let ruleset = ruleset.try_clone().map_err(|error| failed("Landlock", &error))?;
            let status = ruleset.restrict_self().map_err(|error| failed("Landlock", &error))?;
            if let (
                RulesetStatus::FullyEnforced | RulesetStatus::PartiallyEnforced,
                LandlockStatus::Available { effective_abi, .. },
            ) = (status.ruleset, status.landlock)
            {
                landlock = effective_abi as u32;
            }
        }
        let no_capabilities = drop_capabilities();
        // Last: it refuses what the steps before it need on some kernels.
        let seccomp = self.filter.as_ref().is_some_and(SyscallFilter::apply);
        Ok(InForce { landlock, no_capabilities, seccomp })
    }

    pub(super) fn report(&self) -> Confinement {
        let mut report = Confinement::default();
        report.enforced.push("no new privileges (set-user-id programs have no effect)".to_owned());
        if self.in_force.no_capabilities {
            report.enforced.push("no capabilities".to_owned());
        } else {
            report.gaps.push("the capabilities of this process could not be dropped".to_owned());
        }
        self.report_seccomp(&mut report);
        self.report_landlock(&mut report);
        report
    }

    fn report_seccomp(&self, report: &mut Confinement) {
        if self.in_force.seccomp {
            report.enforced.push(
                "a filter of system calls: other processes' limits and priorities, tracing, namespaces, mounts, raw sockets, io_uring, \
                 bpf, keyrings, System V and POSIX queues, set-user-id modes and extended attributes are refused"
                    .to_owned(),
            );
        } else {
            report.gaps.push(
                "no filter of system calls (this kernel or processor has no seccomp): commands can change the limits and priorities \
                 of this user's processes, make user namespaces, and leave keys, shared memory and set-user-id files"
                    .to_owned(),
            );
        }
    }

    fn report_landlock(&self, report: &mut Confinement) {
        let abi = self.in_force.landlock;
        let Confinement { enforced, gaps, reaches_services } = report;
        let has_paths = abi >= 9;
        if self.in_force.seccomp && !self.options.unix_sockets {
            enforced.push("no unix sockets, except for pairs".to_owned());
        } else if !has_paths {
            *reaches_services = true;
            gaps.push(
                "unix sockets with a path are reachable: a user who may use Docker's socket is not confined".to_owned(),
            );
        }
        if abi == 0 {
            gaps.push("this kernel has no Landlock: commands can read and write whatever this user can".to_owned());
            gaps.push(
                "commands can read the environment of this user's other processes, including this one".to_owned(),
            );
        } else {
            enforced.push(format!(
                "Landlock (ABI {abi}): writes only in the workspace and a private scratch directory, reads only there, in system directories and in those of PATH; \
                 other processes' memory and environment are not accessible"
            ));
            gaps.push(
                "Landlock does not restrict metadata: commands can change the mode and the times of this user's files anywhere"
                    .to_owned(),
            );
        }
        if (1..3).contains(&abi) {
            gaps.push("this kernel's Landlock does not restrict truncating files".to_owned());
        }
        if abi < 6 {
            gaps.push("commands can signal this user's other processes, including this one".to_owned());
        } else {
            enforced.push("signals and abstract unix sockets do not reach outside".to_owned());
        }
        for (what, ports) in
            [("connections to", &self.options.connect_ports), ("listening on", &self.options.listen_ports)]
        {
            match ports {
                Some(ports) if abi >= 4 => enforced.push(format!("TCP: {what} no ports but {ports:?}")),
                Some(_) => gaps.push(format!("this kernel's Landlock (ABI {abi}) cannot restrict {what} TCP ports")),
                None => {}
            }
        }
    }
}

fn rules(writable: &[&Path], options: &LocalOptions) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(ABI_WANTED);
    let read = AccessFs::from_read(ABI_WANTED);
    let facts: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let devices: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});
    let ports = [(AccessNet::ConnectTcp, &options.connect_ports), (AccessNet::BindTcp, &options.listen_ports)];
    let mut ruleset = Ruleset::default().handle_access(all)?.scope(Scope::from_all(ABI_WANTED))?;
    for (access, ports) in ports {
        if ports.is_some() {
            ruleset = ruleset.handle_access(access)?;
        }
    }
    // Paths that do not exist here are skipped by `path_beneath_rules`.
    let mut created = ruleset
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(toolchains(), read))?
        .add_rules(path_beneath_rules(&options.readable, read))?
        .add_rules(path_beneath_rules(SYSTEM_INFORMATION, facts))?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .add_rules(path_beneath_rules(writable, all))?;
    for (access, ports) in ports {
        for port in ports.iter().flatten() {
            created = created.add_rule(NetPort::new(*port, access))?;
        }
    }
    Ok(created)
}

/// The directories of `PATH` outside the system's, and the siblings that belong to them.
///
/// IMPORTANT: never a whole directory that may be a home: `~/bin` must not open `~`.
fn toolchains() -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut found = Vec::new();
    for directory in env::split_paths(&path).filter(|directory| directory.is_absolute() && directory.parent().is_some())
    {
        if SYSTEM.iter().any(|system| directory.starts_with(system)) {
            continue;
        }
        let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if ["bin", "shims", "sbin"].contains(&name) {
            found.extend(directory.parent().into_iter().flat_map(|parent| TOOLCHAIN.map(|name| parent.join(name))));
        }
    }
    found
}

/// Drops all capabilities of the calling thread and of what it executes; true when none can be regained.
fn drop_capabilities() -> bool {
    let none = CapabilitySet::empty();
    for capability in CapabilitySet::all().iter() {
        // EINVAL: the kernel does not know the capability. EPERM: we may not drop it, which the check below notices.
        let _ = rustix::thread::remove_capability_from_bounding_set(capability);
    }
    let _ = rustix::thread::clear_ambient_capability_set();
    let cleared =
        rustix::thread::set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none });
    // For root, exec restores what is in the bounding set; for other users nothing, thanks to no_new_privs.
    let root = rustix::process::geteuid().is_root();
    let mut held = CapabilitySet::all().iter();
    cleared.is_ok() && !(root && held.any(|one| rustix::thread::capability_is_in_bounding_set(one).unwrap_or(false)))
}
