//! Where a user wants commands to run, and what that means on this machine.

use orkestra_tools::DockerSandbox;

use crate::{Error, ErrorKind, model::ModelSpec, workplace::SandboxKind};

/// Where the user wants commands to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SandboxChoice {
    /// In Docker. The demo model, and no other one, uses the local sandbox when Docker does not answer.
    #[default]
    Automatic,
    /// In Docker.
    Docker,
    /// As confined child processes of this process. Weaker than a container.
    Local,
}

impl SandboxChoice {
    /// The sandbox for a run of `model` on this machine.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when Docker does not answer and the local sandbox was not chosen.
    pub(crate) async fn resolve(self, model: &ModelSpec) -> Result<SandboxKind, Error> {
        if self == Self::Local {
            return Ok(SandboxKind::Local);
        }
        match DockerSandbox::available().await {
            Ok(_) => Ok(SandboxKind::Docker),
            Err(error) if self == Self::Automatic && model.is_demo() => {
                tracing::warn!(%error, "Docker does not answer; the demo model uses the local sandbox");
                Ok(SandboxKind::Local)
            }
            Err(error) => {
                let message = format!(
                    "cannot run commands in Docker: {error}; the local sandbox, which is weaker, needs no Docker (--sandbox local)"
                );
                Err(Error::new(ErrorKind::Sandbox, message).with_source(error))
            }
        }
    }
}
