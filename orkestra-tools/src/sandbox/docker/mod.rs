//! Runs commands in a container, through Docker's socket (or Podman's). **The only folder with bollard types; none leaves it.**
//!
//! ```text
//! start:   remove what this run left -> create (locked down) -> start -> probe
//! execute: exec a wrapper -> setsid sh -c LINE; a watchdog reads the wrapper's input
//! end, timeout, drop: input closed -> the watchdog kills the session; the host looks whether anything else is left;
//!          something is, or the host cannot see: a second exec kills it and prints "clean";
//!          no "clean": the container is restarted, which kills everything in it
//! host process dies: the connection closes -> the watchdog kills the session; the next start removes the container
//! ```

mod container;
mod daemon;
mod exec;
mod look;
mod network;
mod options;
mod piped;
mod probe;
mod remove;
mod scripts;
mod syscalls;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use self::look::Look;
pub use self::network::Network;
pub use self::options::DockerOptions;
#[cfg(feature = "mcp")]
pub(crate) use self::remove::SERVERS;
use super::capture::Capture;
use super::pipe::{PipedCommand, Pipes};
use super::process::{ProcessStart, ProcessState, Processes, Until};
use super::relay::Relays;
use super::{Command, CommandResult, Confinement, Connection, Sandbox, SandboxError, WayOut, disk};
use crate::egress::{EgressError, EgressProxy, HostUse};
use crate::scope::Observer;
use crate::workspace::{Usage, Workspace};

/// What the daemon reports about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DockerInfo {
    /// The version of the daemon.
    pub version: String,
    /// The version of the kernel's control groups, `1` or `2`.
    pub cgroup_version: String,
    /// Limits that this daemon cannot enforce, of `memory`, `swap`, `cpu` and `processes`. They are not requested, and
    /// [`Sandbox::confinement`] lists them as gaps.
    pub unsupported: Vec<String>,
    /// Whether the daemon itself runs without root.
    pub rootless: bool,
    /// The runtimes that the daemon has, such as `runc` and `runsc`.
    pub runtimes: Vec<String>,
    /// The profile that filters system calls, such as `builtin`; `None` when none are filtered.
    pub seccomp: Option<String>,
}

/// Runs commands in one long-lived container per run.
///
/// A crash of this process leaves the container (labelled `orkestra.run=<id>`) idle: the watchdog kills the running command.
/// The next [`DockerSandbox::start`] for the same run and workspace removes it and creates a fresh one, so nothing of the dead
/// process runs beside the new one; [`DockerSandbox::reap`] removes the containers of runs that are not resumed. What commands
/// wrote outside the workspace (home, `/tmp`) is lost with the container.
pub struct DockerSandbox {
    shared: Arc<Shared>,
    /// Stopped when this is dropped, although their tasks keep `shared` alive.
    processes: Processes,
    pipes: Pipes,
    relays: Relays,
}

struct Shared {
    docker: Docker,
    container: String,
    workspace: Workspace,
    /// Known once the container was probed.
    confinement: OnceLock<Confinement>,
    /// Whether commands can make set-user-id files, which are then looked for.
    set_id: AtomicBool,
    commands: AtomicU64,
    closed: AtomicBool,
    /// How many commands run. Locked while what is left of one is killed.
    running: Mutex<usize>,
    /// The sessions of the commands that run, by their number.
    sessions: std::sync::Mutex<BTreeMap<u64, [u32; 2]>>,
    /// Where the host can see the processes of the container.
    look: OnceLock<Look>,
    /// Locked while the container is started or restarted: two commands may find it stopped at the same time.
    restarting: Mutex<()>,
    network: Network,
    /// With the network `registries`; dropped with the sandbox.
    egress: Option<EgressProxy>,
}

impl Shared {
    fn sessions(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, [u32; 2]>> {
        self.sessions.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Remembers the ids of a command's session and of its wrapper: two numbers.
    fn add_session(&self, number: u64, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        let ids: Vec<u32> = line.split_ascii_whitespace().filter_map(|id| id.parse().ok()).collect();
        if let Ok(ids) = <[u32; 2]>::try_from(ids) {
            self.sessions().insert(number, ids);
        }
    }

    /// Takes set-user-id and set-group-id from the files of the workspace, where nothing keeps commands from making such files.
    async fn reset_modes(&self) -> Result<(), SandboxError> {
        if !self.set_id.load(Ordering::Acquire) {
            return Ok(());
        }
        let workspace = self.workspace.clone();
        let failed = |error: std::io::Error| {
            SandboxError::Failed(format!("cannot reset the modes of set-user-id files in the workspace: {error}"))
        };
        super::blocking(move || workspace.reset_modes().map_err(failed)).await
    }
}

impl std::fmt::Debug for DockerSandbox {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DockerSandbox").field("container", &self.shared.container).finish_non_exhaustive()
    }
}

impl DockerSandbox {
    /// Whether a sandbox with the default options can be started: a daemon answers and has the image.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`]; its message says what to do.
    pub async fn available() -> Result<DockerInfo, SandboxError> {
        Self::available_with(&DockerOptions::default()).await
    }

    /// Whether a sandbox with these options can be started: a daemon answers and has the image.
    ///
    /// # Errors
    /// As [`Self::available`].
    pub async fn available_with(options: &DockerOptions) -> Result<DockerInfo, SandboxError> {
        let docker = daemon::connect(options).await?;
        daemon::require_image(&docker, &options.image).await?;
        let info = daemon::info(&docker).await?;
        daemon::require_runtime(&info, options)?;
        Ok(info)
    }

    /// Starts a fresh container for the run on this workspace (created if missing), after removing an existing one. Only one
    /// process drives a run at a time; a second `start` for the same run and workspace removes the container of the first.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] without daemon or image, or when the daemon does not see the directory (it may run on
    /// another machine); [`SandboxError::Failed`] for everything else that the daemon refuses. No container is left behind.
    pub async fn start(options: DockerOptions, run_id: &str, workspace: &Path) -> Result<Self, SandboxError> {
        let docker = daemon::connect(&options).await?;
        daemon::require_image(&docker, &options.image).await?;
        let info = daemon::info(&docker).await?;
        daemon::require_runtime(&info, &options)?;
        let path = workspace.to_owned();
        let workspace = super::blocking(move || Ok(Workspace::open(&path)?)).await?;
        let limit = Usage { bytes: options.workspace_bytes_max, files: options.workspace_files_max };
        workspace.limit_disk(limit);
        let network = options.network;
        let egress = match network {
            Network::Registries => {
                Some(EgressProxy::start(options.egress.clone()).await.map_err(|error| no_egress(&error))?)
            }
            Network::None | Network::Open => None,
        };
        let (owned, proxy) = (workspace.clone(), egress.as_ref().map(EgressProxy::directory));
        let (run, daemon) = (run_id.to_owned(), info.clone());
        let mut setup = super::blocking(move || container::Setup::new(options, &daemon, &run, &owned, proxy)).await?;
        let container = setup.create(&docker).await?;
        let shared = Shared {
            docker,
            container,
            confinement: OnceLock::new(),
            set_id: AtomicBool::new(false),
            workspace,
            commands: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            running: Mutex::new(0),
            sessions: std::sync::Mutex::default(),
            look: OnceLock::new(),
            restarting: Mutex::new(()),
            network,
            egress,
        };
        let sandbox = Self {
            shared: Arc::new(shared),
            processes: Processes::default(),
            pipes: Pipes::default(),
            relays: Relays::default(),
        };
        match probe::probe(&sandbox.shared).await {
            Ok(seen) => {
                sandbox.shared.set_id.store(seen.set_id, Ordering::Release);
                let mut confinement = setup.report(&seen);
                disk::report(limit, sandbox.shared.look.get().is_some(), &mut confinement);
                let _ = sandbox.shared.confinement.set(confinement);
            }
            Err(error) => {
                let _ = sandbox.close().await;
                return Err(error);
            }
        }
        // What a run that died has left.
        sandbox.shared.reset_modes().await?;
        Ok(sandbox)
    }

    /// The proxy of the network [`Network::Registries`]: what was used and refused.
    #[must_use]
    pub fn egress(&self) -> Option<&EgressProxy> {
        self.shared.egress.as_ref()
    }

    /// Removes the containers of runs for which `keep` is false, and returns the ids of those runs. A container whose process
    /// is alive on this host, or belongs to another host, is kept, so two programs can share one daemon.
    ///
    /// # Errors
    /// [`SandboxError::Unavailable`] without daemon; [`SandboxError::Failed`] when a container cannot be removed, after
    /// removing the others.
    pub async fn reap(keep: impl Fn(&str) -> bool + Send) -> Result<Vec<String>, SandboxError> {
        Self::reap_with(&DockerOptions::default(), keep).await
    }

    /// As [`Self::reap`] on the daemon of these options.
    ///
    /// # Errors
    /// As [`Self::reap`].
    pub async fn reap_with(
        options: &DockerOptions,
        keep: impl Fn(&str) -> bool + Send,
    ) -> Result<Vec<String>, SandboxError> {
        let docker = daemon::connect(options).await?;
        remove::reap(&docker, keep).await
    }

    fn check_open(&self) -> Result<(), SandboxError> {
        if self.shared.closed.load(Ordering::Acquire) {
            return Err(SandboxError::Failed("it is closed; start it again".to_owned()));
        }
        Ok(())
    }
}

fn no_egress(error: &EgressError) -> SandboxError {
    SandboxError::Unavailable(format!("the network `registries` cannot be set up: {error}"))
}

#[async_trait]
impl Sandbox for DockerSandbox {
    fn kind(&self) -> &'static str {
        "docker"
    }

    fn workspace(&self) -> &Workspace {
        &self.shared.workspace
    }

    fn confinement(&self) -> Confinement {
        self.shared.confinement.get().cloned().unwrap_or_default()
    }

    fn hosts(&self) -> Vec<HostUse> {
        self.shared.egress.as_ref().map(EgressProxy::hosts).unwrap_or_default()
    }

    fn way_out(&self) -> WayOut {
        match (self.shared.network, &self.shared.egress) {
            (Network::Open, _) => WayOut::Global,
            (Network::Registries, Some(egress)) => WayOut::Proxy(egress.socket()),
            (Network::None | Network::Registries, _) => WayOut::Closed,
        }
    }

    async fn connect(&self, port: u16) -> Result<Box<dyn Connection>, SandboxError> {
        self.check_open()?;
        self.relays.connect(self, port).await
    }

    async fn execute(&self, command: Command, observer: &dyn Observer) -> Result<CommandResult, SandboxError> {
        self.check_open()?;
        let cwd = command.check(&self.shared.workspace)?;
        let capture = Capture::new(observer, command.whole.clone(), &command.secrets)?;
        exec::run(&self.shared, &command, &cwd, Until::timeout(command.time()), capture).await
    }

    async fn start_process(&self, start: ProcessStart) -> Result<ProcessState, SandboxError> {
        self.check_open()?;
        let command = start.command();
        let cwd = command.check(&self.shared.workspace)?;
        let shared = Arc::clone(&self.shared);
        let run = move |tail: Arc<dyn Observer>, until| async move {
            let capture = Capture::new(tail.as_ref(), command.whole.clone(), &command.secrets)?.with_every_line();
            exec::run(&shared, &command, &cwd, until, capture).await
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
        let cwd = command.check(&self.shared.workspace)?;
        let (shared, secrets) = (Arc::clone(&self.shared), command.secrets.clone());
        let run = move |ends, until| async move { piped::run(&shared, &command, &cwd, until, ends).await };
        self.pipes.start(&secrets, run)
    }

    async fn close(&self) -> Result<(), SandboxError> {
        // Removing the container ends its processes; they need no stop of their own.
        self.shared.closed.store(true, Ordering::Release);
        if let Some(egress) = &self.shared.egress {
            egress.stop();
        }
        remove::remove(&self.shared.docker, &self.shared.container).await?;
        self.shared.reset_modes().await
    }
}
