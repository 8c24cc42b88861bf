//! Runs commands as child processes, confined as far as an unprivileged Linux process can: their own process group, a minimal
//! environment, resource limits, and Landlock, which closes the rest of the file system.
//!
//! ```text
//! dedicated thread: no_new_privs, capabilities dropped, Landlock -> spawn sh (waits for "go")
//!         host: prlimit(pid), then "go" -> sh becomes the command; a watchdog in its group reads the pipe
//! end, timeout, drop: SIGKILL to the group, then to every process that left the group but carries our mark
//! host process dies: the pipe closes -> the watchdog kills the group; the next start kills what left it
//! ```
//!
//! It is weaker than a container (network, unix sockets and the user's own processes are visible) and reports that in
//! [`Sandbox::confinement`]; it is never chosen silently for a real model.

mod confine;
mod processes;
mod run;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use tempfile::TempDir;

use self::confine::Confiner;
use self::processes::Mark;
use super::{Command, CommandResult, Confinement, OutputSink, Sandbox, SandboxError};
use crate::limits::{SANDBOX_MEMORY_BYTES, SANDBOX_PROCESSES_MAX};
use crate::workspace::Workspace;

/// How a [`LocalSandbox`] is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct LocalOptions {
    /// Memory limit per process, bytes (`RLIMIT_DATA`).
    pub memory_bytes: u64,
    /// Maximum number of processes and threads of this user in all sessions (`RLIMIT_NPROC`; Linux does not enforce it for
    /// root).
    pub processes_max: u32,
    /// Further directories or files that commands may read and execute, such as a toolchain outside `PATH`.
    pub readable: Vec<PathBuf>,
    /// Whether to fail where Landlock cannot be enforced, instead of reporting a gap.
    pub require_landlock: bool,
}

impl Default for LocalOptions {
    fn default() -> Self {
        Self {
            memory_bytes: SANDBOX_MEMORY_BYTES,
            // The limit counts all processes of the user, who may also run a desktop or a server.
            processes_max: SANDBOX_PROCESSES_MAX * 8,
            readable: Vec::new(),
            require_landlock: false,
        }
    }
}

/// Runs commands as confined child processes. See `docs/sandbox.md` for what that does not cover.
///
/// A crash of this process leaves no process of a command's group behind; a daemon that left its group runs until the next
/// [`LocalSandbox::start`] for the same workspace. The private scratch directory stays in the system's temporary directory
/// (`orkestra-sandbox-*`).
#[derive(Debug)]
pub struct LocalSandbox {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    workspace: Workspace,
    options: LocalOptions,
    scratch: TempDir,
    confiner: Confiner,
    mark: Mark,
    commands: AtomicU64,
    closed: AtomicBool,
}

impl LocalSandbox {
    /// Opens the workspace (created if missing) and kills the commands that a crashed process of ours left running in it.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] where Landlock is required and cannot be enforced; [`SandboxError::Failed`] when the
    /// scratch directory cannot be created.
    pub async fn start(options: LocalOptions, workspace: &Path) -> Result<Self, SandboxError> {
        let path = workspace.to_owned();
        super::blocking(move || Self::start_blocking(options, &path)).await
    }

    fn start_blocking(options: LocalOptions, path: &Path) -> Result<Self, SandboxError> {
        let failed =
            |error: std::io::Error| SandboxError::Failed(format!("cannot create the scratch directory: {error}"));
        let workspace = Workspace::open(path)?;
        let scratch = tempfile::Builder::new().prefix("orkestra-sandbox-").tempdir().map_err(failed)?;
        for name in ["home", "tmp"] {
            std::fs::create_dir(scratch.path().join(name)).map_err(failed)?;
        }
        let confiner = Confiner::new(&[workspace.path(), scratch.path()], &options.readable)?;
        if options.require_landlock && !confiner.has_landlock() {
            return Err(SandboxError::Unavailable(
                "the local sandbox needs Landlock, which this kernel does not have; use the Docker sandbox instead"
                    .to_owned(),
            ));
        }
        let mark = Mark::new(workspace.path());
        processes::kill_orphans(workspace.path());
        let (commands, closed) = (AtomicU64::new(0), AtomicBool::new(false));
        Ok(Self { inner: Arc::new(Inner { workspace, options, scratch, confiner, mark, commands, closed }) })
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
        let mut confinement = self.inner.confiner.report();
        let options = &self.inner.options;
        confinement.enforced.push("each command has its own process group, which is killed as a whole".to_owned());
        confinement.enforced.push("the environment is cleared; HOME and TMPDIR are private".to_owned());
        confinement.enforced.push(format!("memory {} bytes per process, no core files", options.memory_bytes));
        if rustix::process::geteuid().is_root() {
            confinement.gaps.push("runs as root, for which Linux enforces no limit on processes".to_owned());
        } else {
            confinement.enforced.push(format!("at most {} processes of this user", options.processes_max));
        }
        confinement.gaps.push("the network is open, including the host's own services".to_owned());
        confinement.gaps.push("memory is limited per process and disk space per file, not in total".to_owned());
        confinement
    }

    async fn execute(&self, command: Command, sink: &dyn OutputSink) -> Result<CommandResult, SandboxError> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(SandboxError::Failed("it is closed; start it again".to_owned()));
        }
        let cwd = command.check(&self.inner.workspace)?;
        let number = self.inner.commands.fetch_add(1, Ordering::Relaxed);
        run::run(&self.inner, &command, &cwd, number, sink).await
    }

    async fn close(&self) -> Result<(), SandboxError> {
        self.inner.closed.store(true, Ordering::Release);
        let inner = Arc::clone(&self.inner);
        super::blocking(move || {
            processes::kill_marked(&inner.mark.prefix());
            // The directory itself is removed with the last clone; its content takes the disk space.
            for name in ["home", "tmp"] {
                let _ = std::fs::remove_dir_all(inner.scratch.path().join(name));
            }
            Ok(())
        })
        .await
    }
}
