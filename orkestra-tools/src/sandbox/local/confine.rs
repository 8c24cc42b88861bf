//! Confines a thread, and with it the processes that it spawns: no new privileges, no capabilities, Landlock. **The only file
//! with landlock types.** All three are properties of a thread that a child inherits and nothing can undo, which is why this
//! needs no code between fork and exec. It must never be called on a thread that does anything else afterwards.

use std::env;
use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access as _, AccessFs, BitFlags, LandlockStatus, Ruleset, RulesetAttr as _, RulesetCreated,
    RulesetCreatedAttr as _, RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use rustix::thread::{CapabilitySet, CapabilitySets};

use super::super::{Confinement, SandboxError};

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

const DEVICES: [&str; 6] = ["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"];

/// Siblings of a `PATH` directory outside the system's that its programs need (`~/.pyenv/shims`, `~/.nvm/…/bin`).
const TOOLCHAIN: [&str; 9] = ["bin", "shims", "sbin", "lib", "lib64", "libexec", "include", "versions", "version"];

/// Confines threads in one fixed way.
#[derive(Debug)]
pub(super) struct Confiner {
    ruleset: Option<RulesetCreated>,
    in_force: InForce,
}

/// The confinement in force, as a probe thread found it.
#[derive(Debug, Clone, Copy)]
struct InForce {
    /// The ABI version, 0 without Landlock.
    landlock: u32,
    no_capabilities: bool,
}

impl Confiner {
    /// Prepares the rules and tries them on a thread that then ends.
    pub(super) fn new(writable: &[&Path], readable: &[PathBuf]) -> Result<Self, SandboxError> {
        let ruleset = rules(writable, readable).map_err(|error| SandboxError::Failed(format!("Landlock: {error}")))?;
        let unknown = InForce { landlock: 0, no_capabilities: false };
        let mut confiner = Self { ruleset: Some(ruleset), in_force: unknown };
        let probed = std::thread::scope(|scope| scope.spawn(|| confiner.apply()).join());
        confiner.in_force = probed.map_err(|_| SandboxError::Failed("the probe thread panicked".to_owned()))??;
        if confiner.in_force.landlock == 0 {
            confiner.ruleset = None;
        }
        Ok(confiner)
    }

    pub(super) fn has_landlock(&self) -> bool {
        self.in_force.landlock > 0
    }

    /// Confines the calling thread permanently. On an error, nothing may be spawned from the thread.
    pub(super) fn confine_this_thread(&self) -> Result<(), SandboxError> {
        let now = self.apply()?;
        if now.landlock < self.in_force.landlock || now.no_capabilities != self.in_force.no_capabilities {
            return Err(SandboxError::Failed(
                "cannot confine a command: less confinement is in force than at the start".to_owned(),
            ));
        }
        Ok(())
    }

    fn apply(&self) -> Result<InForce, SandboxError> {
        let failed = |what: &str, error: &dyn std::fmt::Display| SandboxError::Failed(format!("{what}: {error}"));
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
        Ok(InForce { landlock, no_capabilities: drop_capabilities() })
    }

    pub(super) fn report(&self) -> Confinement {
        let mut report = Confinement::default();
        let abi = self.in_force.landlock;
        report.enforced.push("no new privileges (set-user-id programs have no effect)".to_owned());
        if self.in_force.no_capabilities {
            report.enforced.push("no capabilities".to_owned());
        } else {
            report.gaps.push("the capabilities of this process could not be dropped".to_owned());
        }
        if abi == 0 {
            report
                .gaps
                .push("this kernel has no Landlock: commands can read and write whatever this user can".to_owned());
            report.gaps.push(
                "commands can read the environment of this user's other processes, including this one".to_owned(),
            );
            return report;
        }
        report.enforced.push(format!(
            "Landlock (ABI {abi}): writes only in the workspace and a private scratch directory, reads only there, in system directories and in those of PATH; \
             other processes' memory and environment are not accessible"
        ));
        report.gaps.push(
            "Landlock does not restrict metadata: commands can change the mode and the times of this user's files anywhere"
                .to_owned(),
        );
        if abi < 3 {
            report.gaps.push("this kernel's Landlock does not restrict truncating files".to_owned());
        }
        if abi < 6 {
            report.gaps.push("commands can signal this user's other processes, including this one".to_owned());
        } else {
            report.enforced.push("signals and abstract unix sockets do not reach outside".to_owned());
        }
        if abi < 9 {
            report.gaps.push(
                "unix sockets with a path are reachable: a user who may use Docker's socket is not confined".to_owned(),
            );
        }
        report
    }
}

fn rules(writable: &[&Path], readable: &[PathBuf]) -> Result<RulesetCreated, RulesetError> {
    let all = AccessFs::from_all(ABI_WANTED);
    let read = AccessFs::from_read(ABI_WANTED);
    let facts: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let devices: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | WriteFile | Truncate});
    // Paths that do not exist here are skipped by `path_beneath_rules`.
    Ruleset::default()
        .handle_access(all)?
        .scope(Scope::from_all(ABI_WANTED))?
        .create()?
        .add_rules(path_beneath_rules(SYSTEM, read))?
        .add_rules(path_beneath_rules(toolchains(), read))?
        .add_rules(path_beneath_rules(readable, read))?
        .add_rules(path_beneath_rules(SYSTEM_INFORMATION, facts))?
        .add_rules(path_beneath_rules(DEVICES, devices))?
        .add_rules(path_beneath_rules(writable, all))
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
