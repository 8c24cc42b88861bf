//! The sandbox of a run: started when its first command runs, started anew when it was lost, closed when the run ends.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use orkestra_tools::{
    Command, CommandResult, Confinement, DockerOptions, DockerSandbox, LocalOptions, LocalSandbox, Observer, Sandbox,
    SandboxError, Workspace,
};
use tokio::sync::Mutex;

use crate::{Error, ErrorKind, model::ModelSpec, pipeline::SandboxKind};

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

/// A sandbox that starts when it is needed.
pub(crate) struct LazySandbox {
    kind: SandboxKind,
    run_id: String,
    path: PathBuf,
    workspace: Workspace,
    started: Mutex<Option<Arc<dyn Sandbox>>>,
}

impl LazySandbox {
    pub(crate) fn new(kind: SandboxKind, run_id: &str, path: &Path, workspace: Workspace) -> Self {
        Self { kind, run_id: run_id.to_owned(), path: path.to_owned(), workspace, started: Mutex::new(None) }
    }

    async fn get(&self) -> Result<Arc<dyn Sandbox>, SandboxError> {
        // NOTE: held while it starts, so that parallel agents start one sandbox and not two.
        let mut started = self.started.lock().await;
        if let Some(sandbox) = &*started {
            return Ok(Arc::clone(sandbox));
        }
        let sandbox: Arc<dyn Sandbox> = match self.kind {
            SandboxKind::Docker => {
                Arc::new(DockerSandbox::start(DockerOptions::default(), &self.run_id, &self.path).await?)
            }
            SandboxKind::Local => Arc::new(LocalSandbox::start(LocalOptions::default(), &self.path).await?),
        };
        *started = Some(Arc::clone(&sandbox));
        Ok(sandbox)
    }

    /// Forgets a sandbox that failed, so that the next command starts another; one that was replaced meanwhile stays.
    async fn forget(&self, failed: &Arc<dyn Sandbox>) {
        let mut started = self.started.lock().await;
        if started.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *started = None;
            drop(started);
            if let Err(error) = failed.close().await {
                tracing::warn!(%error, "a lost sandbox could not be removed");
            }
        }
    }
}

#[async_trait]
impl Sandbox for LazySandbox {
    fn kind(&self) -> &'static str {
        self.kind.as_str()
    }

    fn workspace(&self) -> &Workspace {
        &self.workspace
    }

    fn confinement(&self) -> Confinement {
        let started = self.started.try_lock().ok().and_then(|started| started.clone());
        started.map_or_else(Confinement::default, |sandbox| sandbox.confinement())
    }

    async fn execute(&self, command: Command, observer: &dyn Observer) -> Result<CommandResult, SandboxError> {
        let sandbox = self.get().await?;
        let result = sandbox.execute(command, observer).await;
        if let Err(SandboxError::Lost(_) | SandboxError::Failed(_)) = &result {
            self.forget(&sandbox).await;
        }
        result
    }

    async fn close(&self) -> Result<(), SandboxError> {
        match self.started.lock().await.take() {
            Some(sandbox) => sandbox.close().await,
            None => Ok(()),
        }
    }
}
