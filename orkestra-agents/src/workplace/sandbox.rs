//! The sandbox of a run: started by its first command, started anew when it was lost, closed when the run ends.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use orkestra_tools::egress::{EgressOptions, HostUse};
use orkestra_tools::{
    Command, CommandResult, Confinement, DockerSandbox, LocalSandbox, Observer, PipedCommand, ProcessStart,
    ProcessState, Sandbox, SandboxError, Workspace,
};
use tokio::sync::Mutex;

use super::{
    hosts::Ledger,
    spec::{SandboxKind, SandboxSpec},
};

/// A sandbox that starts with its first command.
pub(crate) struct LazySandbox {
    spec: SandboxSpec,
    egress: EgressOptions,
    run_id: String,
    path: PathBuf,
    workspace: Workspace,
    started: Mutex<Option<Arc<dyn Sandbox>>>,
    news: std::sync::Mutex<News>,
}

/// What must be reported of the sandbox.
#[derive(Default)]
struct News {
    /// What a sandbox that has started since confines.
    report: Option<Confinement>,
    hosts: Ledger,
}

impl LazySandbox {
    pub(crate) fn new(
        spec: SandboxSpec,
        egress: EgressOptions,
        run_id: &str,
        path: &Path,
        workspace: Workspace,
    ) -> Self {
        let (run_id, path) = (run_id.to_owned(), path.to_owned());
        Self { spec, egress, run_id, path, workspace, started: Mutex::new(None), news: std::sync::Mutex::default() }
    }

    async fn get(&self) -> Result<Arc<dyn Sandbox>, SandboxError> {
        // NOTE: the lock is kept while the sandbox starts, so that parallel agents do not start two.
        let mut started = self.started.lock().await;
        if let Some(sandbox) = &*started {
            return Ok(Arc::clone(sandbox));
        }
        let sandbox: Arc<dyn Sandbox> = match self.spec.kind {
            SandboxKind::Docker => {
                let options = self.spec.docker_options(&self.egress)?;
                Arc::new(DockerSandbox::start(options, &self.run_id, &self.path).await?)
            }
            SandboxKind::Local => Arc::new(LocalSandbox::start(self.spec.local_options()?, &self.path).await?),
        };
        self.news().report = Some(sandbox.confinement());
        *started = Some(Arc::clone(&sandbox));
        Ok(sandbox)
    }

    /// Starts the sandbox if it has not started, and says what it confines.
    pub(crate) async fn started_confinement(&self) -> Result<Confinement, SandboxError> {
        Ok(self.get().await?.confinement())
    }

    /// What a sandbox that has started since the last call confines.
    pub(crate) fn take_report(&self) -> Option<Confinement> {
        self.news().report.take()
    }

    /// How often hosts were used since the last call.
    pub(crate) async fn take_hosts(&self) -> Vec<HostUse> {
        let started = self.started.lock().await;
        let now = started.as_ref().map(|sandbox| sandbox.hosts()).unwrap_or_default();
        self.news().hosts.take(now)
    }

    fn news(&self) -> MutexGuard<'_, News> {
        // Counts and a report are whole whatever happened to the thread that held them.
        self.news.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets a failed sandbox, so that the next command starts another one. Ignored when it was already replaced.
    async fn forget(&self, failed: &Arc<dyn Sandbox>) {
        let mut started = self.started.lock().await;
        if started.as_ref().is_some_and(|current| Arc::ptr_eq(current, failed)) {
            *started = None;
            self.news().hosts.lose(failed.hosts());
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
        self.spec.kind.as_str()
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
