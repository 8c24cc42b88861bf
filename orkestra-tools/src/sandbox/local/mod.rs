//! Runs commands as child processes, confined as far as an unprivileged Linux process can: their own process group, a minimal
//! environment, resource limits, and Landlock, which closes the rest of the file system.
//!
//! ```text
//! dedicated thread: no_new_privs, Landlock, capabilities dropped, seccomp -> spawn sh (waits for "go")
//!         host: limits, mark and control group of the waiting shell, then "go" -> a session of its own -> the command
//! end, timeout, stop, drop: SIGKILL to session and control group, then to every process that carries the mark
//! host process dies: the guardian, a process outside of all this, does the same for all commands
//! ```
//!
//! It is weaker than a container (the network and the names of the user's processes are visible) and reports that in
//! [`Sandbox::confinement`]; it is never chosen silently for a real model.

mod cgroup;
mod confine;
mod guardian;
mod listeners;
mod network;
mod processes;
mod run;
mod syscalls;

#[cfg(feature = "chromium")]
pub(crate) use self::cgroup::CommandGroup;
#[cfg(feature = "chromium")]
pub(crate) use self::network::PrivateNetwork;
#[cfg(feature = "chromium")]
pub(crate) use self::processes::RESOURCE as MARK_RESOURCE;
#[cfg(test)]
pub(super) use self::syscalls::refused_names as refused_by_local;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

pub(crate) use self::cgroup::Cgroups;
use self::confine::Confiner;
pub(crate) use self::guardian::Guardian;
pub(crate) use self::processes::Mark;
use super::capture::Capture;
use super::pipe::{PipedCommand, Pipes};
use super::process::{ProcessStart, ProcessState, Processes, Until};
use super::relay::Relays;
use super::{Command, CommandResult, Confinement, Connection, Sandbox, SandboxError, WayOut, disk};
use crate::limits::{SANDBOX_MEMORY_BYTES, SANDBOX_PROCESSES_MAX, WORKSPACE_BYTES_MAX, WORKSPACE_FILES_MAX};
use crate::scope::Observer;
use crate::workspace::{Usage, Workspace};

/// How a [`LocalSandbox`] is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Memory limit per process, bytes (`RLIMIT_DATA`).
    pub memory_bytes: u64,
    /// Maximum number of processes and threads of this user in all sessions (`RLIMIT_NPROC`; Linux does not enforce it for
    /// root).
    pub processes_max: u32,
    /// What the workspace may take of the disk, bytes. Commands that write more are stopped, and tools write nothing more.
    pub workspace_bytes_max: u64,
    /// The files, directories and links that the workspace may have.
    pub workspace_files_max: u64,
    /// Further directories or files that commands may read and execute, such as a toolchain outside `PATH`.
    pub readable: Vec<PathBuf>,
    /// Whether to fail where Landlock cannot be enforced, instead of reporting a gap.
    pub require_landlock: bool,
    /// Whether commands may use unix sockets. Where the kernel cannot confine those with a path (Landlock before ABI 9), they
    /// reach Docker's daemon and every service of this user; without them, `multiprocessing.Manager` and local databases over a
    /// socket file fail. Pairs of sockets always work.
    pub unix_sockets: bool,
    /// Whether commands get a network of their own, with loopback alone, through which they reach each other. Needs
    /// CAP_SYS_ADMIN, which root has; without it, starting fails.
    pub private_network: bool,
    /// The TCP ports that commands may connect to (Landlock ABI 4); `None` for all. A dev server's own port has to be here.
    pub connect_ports: Option<Vec<u16>>,
    /// The TCP ports that commands may listen on (Landlock ABI 4); `None` for all.
    pub listen_ports: Option<Vec<u16>>,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            memory_bytes: SANDBOX_MEMORY_BYTES,
            // The limit counts all processes of the user, who may also run a desktop or a server.
            processes_max: SANDBOX_PROCESSES_MAX * 8,
            workspace_bytes_max: WORKSPACE_BYTES_MAX,
            workspace_files_max: WORKSPACE_FILES_MAX,
            readable: Vec::new(),
            require_landlock: false,
            unix_sockets: false,
            private_network: false,
            connect_ports: None,
            listen_ports: None,
        }
    }
}

/// Runs commands as confined child processes. See `docs/sandbox.md` for what that does not cover.
///
/// A crash of this process leaves neither a process nor the private scratch directory (`orkestra-sandbox-*` in the system's temporary
/// directory): its guardian removes both. A crash of the machine leaves the directory.
#[derive(Debug)]
pub struct LocalSandbox {
    inner: Arc<Inner>,
    /// Stopped when this is dropped, although their tasks keep `inner` alive.
    processes: Processes,
    pipes: Pipes,
    relays: Relays,
    /// Used where commands share the host's network, and the relay where they do not.
    known: listeners::Known,
}

#[derive(Debug)]
struct Inner {
    workspace: Workspace,
    options: LocalOptions,
    /// Removed by the guardian: a tree that a command made may be too deep to be removed here.
    scratch: PathBuf,
    /// The same directory; it has the limit of the workspace.
    scratch_space: Workspace,
    confiner: Confiner,
    mark: Mark,
    /// Where `setsid` is installed.
    setsid: Option<&'static str>,
    /// Dropped before the groups, which it empties.
    guardian: Mutex<Guardian>,
    cgroups: Cgroups,
    commands: AtomicU64,
    closed: AtomicBool,
}

/// Where `setsid` of util-linux or busybox is; not searched on PATH, where a directory may be writable.
const SETSID: [&str; 2] = ["/usr/bin/setsid", "/bin/setsid"];

impl LocalSandbox {
    /// Opens the workspace (created if missing) and kills the commands that a crashed process of ours left running in it.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where Landlock or a private network is required and impossible; [`SandboxError::Failed`] when the
    /// scratch directory cannot be created.
    pub async fn start(options: LocalOptions, workspace: &Path) -> Result<Self, SandboxError> {
        let path = workspace.to_owned();
        super::blocking(move || Self::start_blocking(options, &path)).await
    }

    fn start_blocking(options: LocalOptions, path: &Path) -> Result<Self, SandboxError> {
        let failed =
            |error: std::io::Error| SandboxError::Failed(format!("cannot create the scratch directory: {error}"));
        let workspace = Workspace::open(path)?;
        let limit = Usage { bytes: options.workspace_bytes_max, files: options.workspace_files_max };
        workspace.limit_disk(limit);
        let scratch = tempfile::Builder::new().prefix("orkestra-sandbox-").tempdir().map_err(failed)?;
        for name in ["home", "tmp"] {
            std::fs::create_dir(scratch.path().join(name)).map_err(failed)?;
        }
        let scratch_space = Workspace::open(scratch.path())?;
        scratch_space.limit_disk(limit);
        let confiner = Confiner::new(&[workspace.path(), scratch.path()], &options)?;
        if options.require_landlock && !confiner.has_landlock() {
            return Err(SandboxError::Unavailable(
                "the local sandbox needs Landlock, which this kernel does not have; use the Docker sandbox instead"
                    .to_owned(),
            ));
        }
        let mark = Mark::new(workspace.path());
        processes::kill_orphans(workspace.path());
        let cgroups = Cgroups::new(mark, options.memory_bytes, options.processes_max);
        let inner = Inner {
            guardian: Mutex::new(Guardian::start("orkestra-guardian", mark, &cgroups.paths(), scratch.path())?),
            setsid: SETSID.into_iter().find(|path| Path::new(path).exists()),
            commands: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            workspace,
            options,
            scratch: scratch.keep(),
            scratch_space,
            confiner,
            mark,
            cgroups,
        };
        Ok(Self {
            inner: Arc::new(inner),
            processes: Processes::default(),
            pipes: Pipes::default(),
            relays: Relays::default(),
            known: listeners::Known::default(),
        })
    }

    fn check_open(&self) -> Result<(), SandboxError> {
        if self.inner.closed.load(Ordering::SeqCst) {
            return Err(SandboxError::Failed("it is closed; start it again".to_owned()));
        }
        Ok(())
    }
}

#[async_trait]
impl Sandbox for LocalSandbox {
    fn kind(&self) -> &'static str {
        "local"
    }

    fn workspace(&self) -> &Workspace {
        &self.inner.workspace
    }

    fn confinement(&self) -> Confinement {
        let Inner { options, confiner, cgroups, setsid, .. } = &*self.inner;
        let mut confinement = confiner.report();
        let (enforced, gaps) = (&mut confinement.enforced, &mut confinement.gaps);
        if setsid.is_some() {
            enforced.push("each command has a session of its own, without a terminal".to_owned());
        } else {
            gaps.push(
                "setsid is not installed: commands share the session and the terminal of this process".to_owned(),
            );
        }
        if confiner.has_seccomp() {
            enforced.push(
                "every process of a command is found and killed, at its end and when this process dies".to_owned(),
            );
        } else {
            gaps.push("a process that takes off its mark outlives its command".to_owned());
        }
        enforced.push("the environment is cleared; HOME and TMPDIR are private".to_owned());
        enforced.push(format!("memory {} bytes per process, no core files", options.memory_bytes));
        if !cgroups.limits("processes") {
            if rustix::process::geteuid().is_root() {
                gaps.push(
                    "runs as root, for which Linux enforces no limit on processes without a control group".to_owned(),
                );
            } else {
                enforced.push(format!("at most {} processes of this user", options.processes_max));
            }
        }
        if !cgroups.limits("memory") {
            gaps.push(
                "memory is limited per process, not in total (no control group for it can be made here)".to_owned(),
            );
        }
        if options.private_network {
            enforced.push("a network of its own, with loopback alone".to_owned());
        } else {
            gaps.push("the network is open, including the host's own services".to_owned());
        }
        let limit = Usage { bytes: options.workspace_bytes_max, files: options.workspace_files_max };
        disk::report(limit, true, &mut confinement);
        cgroups.report(&mut confinement, options.processes_max, options.memory_bytes);
        confinement
    }

    fn way_out(&self) -> WayOut {
        if self.inner.options.private_network { WayOut::Closed } else { WayOut::Global }
    }

    async fn connect(&self, port: u16) -> Result<Box<dyn Connection>, SandboxError> {
        self.check_open()?;
        if self.inner.options.private_network {
            return self.relays.connect(self, port).await;
        }
        Ok(Box::new(listeners::connect(self.inner.mark, &self.known, port).await?))
    }

    async fn execute(&self, command: Command, observer: &dyn Observer) -> Result<CommandResult, SandboxError> {
        self.check_open()?;
        let cwd = command.check(&self.inner.workspace)?;
        let capture = Capture::new(observer, command.whole.clone(), &command.secrets)?;
        run::run(&self.inner, &command, &cwd, Until::timeout(command.time()), capture).await
    }

    async fn start_process(&self, start: ProcessStart) -> Result<ProcessState, SandboxError> {
        self.check_open()?;
        let command = start.command();
        let cwd = command.check(&self.inner.workspace)?;
        let inner = Arc::clone(&self.inner);
        let run = move |tail: Arc<dyn Observer>, until| async move {
            let capture = Capture::new(tail.as_ref(), command.whole.clone(), &command.secrets)?.with_every_line();
            run::run(&inner, &command, &cwd, until, capture).await
        };
        self.processes.start(start, run).await
    }

    async fn read_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.processes.read(owner, id)
    }

    async fn stop_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.processes.stop(owner, id).await
    }

    async fn pipe(&self, command: Command) -> Result<PipedCommand, SandboxError> {
        self.check_open()?;
        let cwd = command.check(&self.inner.workspace)?;
        let (inner, secrets) = (Arc::clone(&self.inner), command.secrets.clone());
        let run = move |ends, until| async move { run::run_piped(&inner, &command, &cwd, until, ends).await };
        self.pipes.start(&secrets, run)
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.inner.closed.store(true, Ordering::SeqCst);
        self.pipes.stop_all();
        self.processes.stop_all().await;
        let inner = Arc::clone(&self.inner);
        super::blocking(move || {
            processes::kill_all(inner.mark);
            inner.guardian.lock().unwrap_or_else(PoisonError::into_inner).end();
            Ok(())
        })
        .await
    }
}
