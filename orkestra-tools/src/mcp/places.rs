//! The sandboxes of servers that are commands: one for each, unless the server runs in those of the runs.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::config::{McpNetwork, McpServer, McpStdio, McpTransport};
use super::stdio::Pipe;
use crate::sandbox::docker::{DockerOptions, DockerSandbox, Network, SERVERS};
use crate::sandbox::local::{LocalOptions, LocalSandbox};
use crate::sandbox::{PipedCommand, Sandbox, SandboxError};

/// Opens the sandboxes of servers. The embedder chooses: [`McpSandboxes`] has the usual ones.
#[async_trait]
pub trait McpSandboxFactory: Send + Sync {
    /// A sandbox for this server alone. Called again after the sandbox was lost.
    ///
    /// # Errors
    /// Any [`SandboxError`].
    async fn open(&self, server: &McpServer) -> Result<Arc<dyn Sandbox>, SandboxError>;
}

/// A sandbox for each server, with an empty workspace in a directory for all of them.
#[derive(Debug, Clone)]
pub struct McpSandboxes {
    directory: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Docker(Box<DockerOptions>),
    Local(LocalOptions),
}

impl McpSandboxes {
    /// Containers with these options, of which a server's own `image` and `network` replace two. Nothing but its workspace below
    /// `directory` is mounted: the server is a program of the image, or is installed by its command.
    #[must_use]
    pub fn docker(directory: impl Into<PathBuf>, options: DockerOptions) -> Self {
        Self { directory: directory.into(), kind: Kind::Docker(Box::new(options)) }
    }

    /// Confined processes with these options, to which a server's `readable` files are added.
    ///
    /// NOTE: a network other than `none` is not confined there, and neither is `none` where this process may not make a private
    /// network (CAP_SYS_ADMIN); a warning says so.
    #[must_use]
    pub fn local(directory: impl Into<PathBuf>, options: LocalOptions) -> Self {
        Self { directory: directory.into(), kind: Kind::Local(options) }
    }
}

#[async_trait]
impl McpSandboxFactory for McpSandboxes {
    async fn open(&self, server: &McpServer) -> Result<Arc<dyn Sandbox>, SandboxError> {
        let McpTransport::Stdio(McpStdio { readable, image, network, .. }) = &server.transport else {
            return Err(SandboxError::Failed("a server behind an address needs no sandbox".to_owned()));
        };
        let workspace = self.directory.join(&server.name);
        match &self.kind {
            Kind::Docker(options) => {
                if !readable.is_empty() {
                    let message = "`readable` is for the local sandbox; use an `image` that has the server";
                    return Err(SandboxError::Unavailable(message.to_owned()));
                }
                let mut options = options.as_ref().clone().with_network(match network {
                    McpNetwork::None => Network::None,
                    McpNetwork::Registries => Network::Registries,
                    McpNetwork::Open => Network::Open,
                });
                if let Some(image) = image {
                    options = options.with_image(image);
                }
                // Known by its workspace: a crash of this process leaves a container that the next start replaces.
                let id = format!(
                    "{SERVERS}{}-{}",
                    server.name,
                    crate::sandbox::hash(&[workspace.as_os_str().as_encoded_bytes()])
                );
                Ok(Arc::new(DockerSandbox::start(options, &id, &workspace).await?))
            }
            Kind::Local(options) => {
                let mut options = options.clone();
                options.readable.extend(readable.iter().cloned());
                if *network == McpNetwork::Registries {
                    let message = "the network `registries` is for Docker; use `none` or `open`";
                    return Err(SandboxError::Unavailable(message.to_owned()));
                }
                options.private_network |= *network == McpNetwork::None;
                match LocalSandbox::start(options.clone(), &workspace).await {
                    Err(SandboxError::Unavailable(why)) if *network == McpNetwork::None => {
                        tracing::warn!(server = server.name, why, "the network of an MCP server is not confined");
                        options.private_network = false;
                        Ok(Arc::new(LocalSandbox::start(options, &workspace).await?))
                    }
                    started => Ok(Arc::new(started?)),
                }
            }
        }
    }
}

#[async_trait]
impl Pipe for PipedCommand {
    async fn end(self: Box<Self>, time: Duration) -> (Option<i32>, String) {
        const LOOK: Duration = Duration::from_millis(10);
        let exited = async {
            while self.is_running() {
                tokio::time::sleep(LOOK).await;
            }
        };
        let _ = tokio::time::timeout(time, exited).await;
        let end = (self.exit_code(), self.stderr_tail());
        if let Err(error) = self.stop().await {
            tracing::warn!(%error, "an MCP server was not ended as it should");
        }
        end
    }
}
