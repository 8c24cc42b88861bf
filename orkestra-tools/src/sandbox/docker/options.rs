//! The options of a [`DockerSandbox`](super::DockerSandbox).

use super::Network;
use crate::egress::EgressOptions;
use crate::limits::{
    SANDBOX_CPU_MILLIS, SANDBOX_MEMORY_BYTES, SANDBOX_PROCESSES_MAX, WORKSPACE_BYTES_MAX, WORKSPACE_FILES_MAX,
};

/// How a [`DockerSandbox`](super::DockerSandbox) is set up.
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
    /// What the workspace may take of the disk, bytes. Commands that write more are stopped, and tools write nothing more.
    pub workspace_bytes_max: u64,
    /// The files, directories and links that the workspace may have.
    pub workspace_files_max: u64,
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
            workspace_bytes_max: WORKSPACE_BYTES_MAX,
            workspace_files_max: WORKSPACE_FILES_MAX,
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
