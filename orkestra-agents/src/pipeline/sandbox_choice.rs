//! Where a user of the pipeline wants commands to run, and what that means on this machine.

use orkestra_tools::DockerSandbox;

use crate::{Error, ErrorKind, model::ModelSpec, workplace::SandboxKind};

/// Where the embedder wants commands to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum SandboxChoice {
    /// In Docker; the demo model, and only that, makes do with the local sandbox where no Docker answers.
    #[default]
    Automatic,
    /// In Docker.
    Docker,
    /// As confined child processes of this one. Weaker than a container.
    Local,
}

impl SandboxChoice {
    /// What this choice means on this machine now, for a run of `model`.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when there is no Docker and nothing else was chosen.
    pub(crate) async fn resolve(self, model: &ModelSpec) -> Result<SandboxKind, Error> {
        if self == Self::Local {
            return Ok(SandboxKind::Local);
        }
        match DockerSandbox::available().await {
            Ok(_) => Ok(SandboxKind::Docker),
            Err(error) if self == Self::Automatic && model.is_demo() => {
                tracing::warn!(%error, "no Docker answers: the demo model's commands run in the local sandbox");
                Ok(SandboxKind::Local)
            }
            Err(error) => {
                let message = format!(
                    "{error}. Commands of a model run in Docker; the weaker local sandbox must be chosen explicitly \
                     (--sandbox local)."
                );
                Err(Error::new(ErrorKind::Sandbox, message).with_source(error))
            }
        }
    }
}
