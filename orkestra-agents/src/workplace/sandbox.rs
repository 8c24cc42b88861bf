//! The sandbox of a run: started by its first command, started anew when it was lost, closed when the run ends.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use orkestra_tools::{
    Command, CommandResult, Confinement, DockerOptions, DockerSandbox, LocalOptions, LocalSandbox, Observer,
    PipedCommand, ProcessStart, ProcessState, Sandbox, SandboxError, Workspace,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

/// Where commands run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SandboxKind {
    /// In a container.
    Docker,
    /// As confined child processes.
    Local,
}

impl SandboxKind {
    /// `docker` or `local`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Local => "local",
        }
    }
}

/// A sandbox that starts with its first command.
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
        // NOTE: the lock is kept while the sandbox starts, so that parallel agents do not start two.
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

    /// Forgets a failed sandbox, so that the next command starts another one. Ignored when it was already replaced.
    async fn forget(&self, failed: &Arc<dyn Sandbox>) {
        let mut started = self.started.lock().await;
        if started.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *started = None;
            drop(started);
            if let Err(error) = failed.close().await {
                tracing::warn!(%error, "cannot remove a lost sandbox");
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

    async fn start_process(&self, start: ProcessStart) -> Result<ProcessState, SandboxError> {
        self.get().await?.start_process(start).await
    }

    async fn read_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.get().await?.read_process(owner, id).await
    }

    async fn stop_process(&self, owner: &str, id: &str) -> Result<ProcessState, SandboxError> {
        self.get().await?.stop_process(owner, id).await
    }

    async fn pipe(&self, command: Command) -> Result<PipedCommand, SandboxError> {
        self.get().await?.pipe(command).await
    }

    async fn close(&self) -> Result<(), SandboxError> {
        match self.started.lock().await.take() {
            Some(sandbox) => sandbox.close().await,
            None => Ok(()),
        }
    }
}
