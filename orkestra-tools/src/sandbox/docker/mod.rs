//! Runs commands in a container, through Docker's socket (or Podman's). **The only folder with bollard types; none leaves it.**
//!
//! ```text
//! start:   remove what this run left -> create (locked down) -> start -> probe
//! execute: exec a wrapper -> setsid sh -c LINE; a watchdog reads the wrapper's input
//! end, timeout, drop: input closed -> the watchdog kills the session; a second exec kills what left it and prints "clean";
//!          no "clean": the container is restarted, which kills everything in it
//! host process dies: the connection closes -> the watchdog kills the session; the next start removes the container
//! ```

mod container;
mod daemon;
mod exec;
mod piped;
mod scripts;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use async_trait::async_trait;
use bollard::Docker;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use super::capture::Capture;
use super::pipe::{PipedCommand, Pipes};
use super::process::{ProcessStart, ProcessState, Processes, Until};
use super::{Command, CommandResult, Confinement, Sandbox, SandboxError};
use crate::egress::{EgressError, EgressOptions, EgressProxy, HostUse};
use crate::limits::{SANDBOX_CPU_MILLIS, SANDBOX_MEMORY_BYTES, SANDBOX_PROCESSES_MAX};
use crate::scope::Observer;
use crate::workspace::Workspace;

/// Which network a container has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Network {
    /// Only its own loopback.
    #[default]
    None,
    /// Only its own loopback, on which package registries and the allowed hosts are reached: see [`crate::egress`].
    Registries,
    /// Docker's default bridge: the internet, but also the host's services on that bridge and the private network behind it.
    #[serde(alias = "egress")]
    Open,
}

impl Network {
    /// The former name of [`Network::Open`].
    #[deprecated(note = "use `Network::Open`, or `Network::Registries` to install packages")]
    #[expect(non_upper_case_globals, reason = "it was a variant")]
    pub const Egress: Self = Self::Open;
}

/// How a [`DockerSandbox`] is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct DockerOptions {
    /// The image; it needs `sh`, `sleep`, `setsid`, `grep` and `tr`. Never pulled: only an image that the operator installed
    /// runs.
    pub image: String,
    /// The network that commands have.
    pub network: Network,
    /// What [`Network::Registries`] lets through. That network needs `python3` in the image.
    pub egress: EgressOptions,
    /// The daemon's runtime that runs the container, such as `runsc` (gVisor); `None` for the daemon's default.
    pub runtime: Option<String>,
    /// Memory limit of the container, bytes, without additional swap.
    pub memory_bytes: u64,
    /// CPU limit, thousandths of a core.
    pub cpu_millis: u32,
    /// Maximum number of processes and threads in the container.
    pub processes_max: u32,
    /// The daemon, such as `unix:///run/podman/podman.sock`; `None` for `DOCKER_HOST`, else Docker's socket, else Podman's.
    pub host: Option<String>,
}

impl Default for DockerOptions {
    fn default() -> Self {
        Self {
            image: "orkestra-sandbox:latest".to_owned(),
            network: Network::None,
            egress: EgressOptions::default(),
            runtime: None,
            memory_bytes: SANDBOX_MEMORY_BYTES,
            cpu_millis: SANDBOX_CPU_MILLIS,
            processes_max: SANDBOX_PROCESSES_MAX,
            host: None,
        }
    }
}

impl DockerOptions {
    /// Sets the image.
    #[must_use]
    pub fn with_image(mut self, image: impl Into<String>) -> Self {
        self.image = image.into();
        self
    }

    /// Sets the network.
    #[must_use]
    pub fn with_network(mut self, network: Network) -> Self {
        self.network = network;
        self
    }

    /// Sets what the network [`Network::Registries`] lets through.
    #[must_use]
    pub fn with_egress(mut self, egress: EgressOptions) -> Self {
        self.egress = egress;
        self
    }

    /// Sets the runtime, which the daemon must have: `runsc` (gVisor) keeps commands away from the host's kernel.
    #[must_use]
    pub fn with_runtime(mut self, runtime: impl Into<String>) -> Self {
        self.runtime = Some(runtime.into());
        self
    }
}

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
}

struct Shared {
    docker: Docker,
    container: String,
    workspace: Workspace,
    confinement: Confinement,
    commands: AtomicU64,
    closed: AtomicBool,
    /// How many commands run. Locked while what is left of one is killed.
    running: Mutex<usize>,
    /// Locked while the container is started or restarted: two commands may find it stopped at the same time.
    restarting: Mutex<()>,
    network: Network,
    /// With the network `registries`; dropped with the sandbox.
    egress: Option<EgressProxy>,
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
        let network = options.network;
        let egress = match network {
            Network::Registries => {
                Some(EgressProxy::start(options.egress.clone()).await.map_err(|error| no_egress(&error))?)
            }
            Network::None | Network::Open => None,
        };
        let (owned, proxy) = (workspace.clone(), egress.as_ref().map(EgressProxy::directory));
        let (run, daemon) = (run_id.to_owned(), info.clone());
        let setup = super::blocking(move || container::Setup::new(options, &daemon, &run, &owned, proxy)).await?;
        let container = setup.create(&docker).await?;
        let shared = Shared {
            docker,
            container,
            confinement: setup.report(),
            workspace,
            commands: AtomicU64::new(0),
            closed: AtomicBool::new(false),
            running: Mutex::new(0),
            restarting: Mutex::new(()),
            network,
            egress,
        };
        let sandbox = Self { shared: Arc::new(shared), processes: Processes::default(), pipes: Pipes::default() };
        if let Err(error) = exec::probe(&sandbox.shared).await {
            let _ = sandbox.close().await;
            return Err(error);
        }
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
        container::reap(&docker, keep).await
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
        self.shared.confinement.clone()
    }

    fn hosts(&self) -> Vec<HostUse> {
        self.shared.egress.as_ref().map(EgressProxy::hosts).unwrap_or_default()
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
        container::remove(&self.shared.docker, &self.shared.container).await
    }
}
