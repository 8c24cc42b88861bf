//! The facade: one value that the command line, the server and embedders hold. It creates runs of the pipeline, keeps their
//! workspaces and closes their sandboxes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use orkestra_core::prelude::{Engine, Name, Outcome, Run, RunId, RunQuery, RunRecord, RunStatus};
use orkestra_tools::{Confinement, DockerSandbox, Workspace};
use tokio::{sync::mpsc, task::JoinSet};

use super::{Job, PROJECT_LABEL, PipelineRequest, graph, job, request::run_id, sandbox_choice::SandboxWish};
use crate::{
    Error, ErrorKind, USD_METER,
    model::{ModelSource, ModelSpec},
    view::RunBody,
    workplace::{Check, SandboxKind, SandboxSpec, Workplaces, pause_if_lost},
};

mod builder;

pub use builder::OrkestraBuilder;

/// A started Orkestra: an engine with the agents of the pipeline registered.
///
/// A crash loses nothing that was acknowledged: the next start on the same store and directory continues every run.
pub struct Orkestra {
    engine: Engine,
    models: ModelSource,
    workplaces: Workplaces,
    sandbox: SandboxWish,
    accepts_open_sockets: bool,
    /// One task for each live run: it closes the run's sandbox when the run ends.
    watchers: Mutex<JoinSet<()>>,
    /// The task that checks runs before their agents work here. Ends when this is dropped.
    checker: Mutex<JoinSet<()>>,
}

impl Orkestra {
    /// Configures an Orkestra whose workspaces are below `data`.
    pub fn builder(data: impl Into<PathBuf>) -> OrkestraBuilder {
        OrkestraBuilder::new(data.into())
    }

    /// Creates a run and starts it. The run is durable when this returns; the same id again is the same run.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an empty objective, an unknown agent, an invalid id, meter or host, a network that the sandbox
    /// cannot have, a budget in dollars for a model without a price; [`ErrorKind::Model`] when the model's key is missing; [`ErrorKind::Sandbox`] when commands have nowhere
    /// to run; [`ErrorKind::Engine`] when the store fails.
    pub async fn create(&self, request: PipelineRequest) -> Result<Run, Error> {
        // NOTE: a run's input and labels are stored before any agent sees them.
        let objective = self.workplaces.secrets().masked(job::objective(&request.objective)?);
        let tasks = graph::select(&request.tasks)?;
        let project_id = request.project_id.as_deref().map(job::project_id).transpose()?;
        let id = request.id.as_deref().map(run_id).transpose()?;
        for meter in request.budgets.keys() {
            Name::new(meter).map_err(|error| Error::usage(error.to_string()))?;
        }
        let wish = self.wish(&request);
        wish.check()?;
        if let Some(run) = self.existing(id.as_deref()).await? {
            return Ok(run);
        }
        let model = self.models.resolve(request.model.as_deref().filter(|name| !name.is_empty())).await;
        if request.budgets.contains_key(USD_METER)
            && let Some(name) = self.models.without_price(&model)
        {
            return Err(Error::usage(format!(
                "cannot keep a budget in dollars: the price of the model {name} is not known; set it with \
                 `ModelChoice::with_price`"
            )));
        }
        // NOTE: a missing key is an error here, not of a run that fails a moment later.
        self.models.open(&model).map_err(|error| Error::new(ErrorKind::Model, error.to_string()))?;
        let sandbox = wish.resolve(&model).await?;
        self.check_sandbox(&sandbox, &model).await?;
        let labels = request.labels(&objective, &model.name, project_id.as_deref());
        let workflow = graph::workflow(&tasks)?;
        let job = Job { objective, project_id, model, sandbox, tasks };
        let mut run = self.engine.run_spec(&workflow).input(&job).map_err(|error| engine_error(&error))?;
        if let Some(id) = &id {
            run = run.id(id);
        }
        for (meter, limit) in &request.budgets {
            run = run.budget(meter, *limit).map_err(|error| Error::usage(error.to_string()))?;
        }
        let run = labels.iter().fold(run, |run, (key, value)| run.label(key, value));
        let run = run.start().await.map_err(|error| engine_error(&error))?;
        self.close_when_done(run.clone());
        Ok(run)
    }

    /// What is wanted of the sandbox of a run.
    fn wish(&self, request: &PipelineRequest) -> SandboxWish {
        let mut wish = self.sandbox.clone();
        wish.network = request.network.or(wish.network);
        wish.allowed_hosts.clone_from(&request.allowed_hosts);
        wish
    }

    /// What confines the commands of a run here. Starts its sandbox if it has not started; the run's first command uses it.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when it cannot be started now, [`ErrorKind::Engine`] when the store fails.
    pub async fn confinement(&self, run: &Run) -> Result<Confinement, Error> {
        let view = run.view().await.map_err(|error| engine_error(&error))?;
        let job: Job = run.value(&view.input).await.map_err(|error| engine_error(&error))?;
        let workplace = self.workplaces.open(run.id(), job.project_id.as_deref(), Some(&job.sandbox))?;
        workplace.confinement().await.map_err(|error| {
            Error::new(ErrorKind::Sandbox, format!("cannot start the sandbox of run {}: {error}", run.id()))
                .with_source(error)
        })
    }

    /// Whether a run of `model` may have this sandbox on this machine.
    async fn check_sandbox(&self, sandbox: &SandboxSpec, model: &ModelSpec) -> Result<(), Error> {
        if sandbox.kind != SandboxKind::Local {
            return Ok(());
        }
        let confinement = self.workplaces.probe_local(sandbox).await?;
        if confinement.reaches_services && !model.is_demo() && !self.accepts_open_sockets {
            return Err(Error::new(
                ErrorKind::Sandbox,
                "a person must accept it first: in the local sandbox of this machine, commands of the model reach unix sockets of \
                 other programs, Docker's among them; use Docker, or accept it (--accept-open-sockets)",
            ));
        }
        Ok(())
    }

    async fn existing(&self, id: Option<&str>) -> Result<Option<Run>, Error> {
        let Some(id) = id else { return Ok(None) };
        let id = RunId::new(id).map_err(|error| Error::usage(error.to_string()))?;
        self.engine.get(&id).await.map_err(|error| engine_error(&error))
    }

    /// The engine, for everything that can be done with runs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// The directory with the files of a run.
    #[must_use]
    pub fn workspace_path(&self, run: &RunRecord) -> PathBuf {
        self.workplaces.workspace_path(run.id.as_str(), run.labels.get(PROJECT_LABEL).map(String::as_str))
    }

    /// The body of `GET /runs/{id}`; `None` when the run does not exist.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`] when the store cannot be read.
    pub async fn run_view(&self, id: &RunId) -> Result<Option<RunBody>, Error> {
        let Some(run) = self.engine.get(id).await.map_err(|error| engine_error(&error))? else { return Ok(None) };
        let mut run_view = run.view().await.map_err(|error| engine_error(&error))?;
        // A long objective is kept beside the journal.
        run_view.input = run.value(&run_view.input).await.map_err(|error| engine_error(&error))?;
        let record = run.status().await.map_err(|error| engine_error(&error))?;
        let path = self.workspace_path(&record);
        let files = tokio::task::spawn_blocking(move || files_in(&path)).await.unwrap_or_default();
        Ok(Some(RunBody::of(&run_view, files)))
    }

    /// The model that a run gets which asks for this one, or for none.
    pub async fn model(&self, name: Option<&str>) -> ModelSpec {
        self.models.resolve(name.filter(|name| !name.is_empty())).await
    }

    /// Where the commands of a run of this model are run on this machine, when its request says nothing of it.
    ///
    /// # Errors
    /// [`ErrorKind::Sandbox`] when they have nowhere to run.
    pub async fn sandbox(&self, model: &ModelSpec) -> Result<SandboxSpec, Error> {
        let sandbox = self.sandbox.resolve(model).await?;
        self.check_sandbox(&sandbox, model).await?;
        Ok(sandbox)
    }

    /// Waits until a run has ended and nothing of its agents runs any more: from then on its files do not change.
    ///
    /// # Errors
    /// [`ErrorKind::Engine`] as of [`Run::outcome`].
    pub async fn settled(&self, run: &Run) -> Result<Outcome, Error> {
        let outcome = run.outcome().await.map_err(|error| engine_error(&error));
        self.workplaces.close(run.id().as_str()).await;
        outcome
    }

    /// The directory with the files of a run that works in no project.
    #[must_use]
    pub fn workspace_of(&self, run: &str) -> PathBuf {
        self.workplaces.workspace_path(run, None)
    }

    /// Shuts down: stops the engine and closes the sandboxes. Unfinished runs continue at the next start.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
        // Waits for those that are removing a container; afterwards none of them has the store open any more.
        drop(std::mem::take(&mut *self.checker.lock().unwrap_or_else(PoisonError::into_inner)));
        let watchers = std::mem::take(&mut *self.watchers());
        watchers.join_all().await;
        self.workplaces.close_all().await;
    }

    /// Answers agents that ask whether their run may go on.
    fn check_runs(&self, mut checks: mpsc::Receiver<Check>, max: u32) {
        let engine = self.engine.clone();
        let mut checker = self.checker.lock().unwrap_or_else(PoisonError::into_inner);
        checker.spawn(async move {
            while let Some((run, done)) = checks.recv().await {
                let checked = match engine.handle(&run) {
                    Ok(run) => pause_if_lost(&run, max).await,
                    Err(error) => Err(error),
                };
                if let Err(error) = checked {
                    tracing::warn!(%run, %error, "cannot tell how often the process of a run was lost");
                }
                // It fails when the agent was stopped in the meantime.
                let _ = done.send(());
            }
        });
    }

    /// Watches the live runs that an earlier process left; returns their ids.
    async fn watch_live_runs(&self) -> Result<BTreeSet<RunId>, Error> {
        let query = RunQuery { statuses: RunStatus::LIVE.into(), ..RunQuery::default() };
        let mut records = self.engine.runs(query);
        let mut live = BTreeSet::new();
        while let Some(record) = records.next().await.map_err(|error| engine_error(&error.into()))? {
            self.close_when_done(self.engine.handle(&record.id).map_err(|error| engine_error(&error))?);
            live.insert(record.id);
        }
        Ok(live)
    }

    fn watchers(&self) -> MutexGuard<'_, JoinSet<()>> {
        // No code that holds the lock can panic in the middle of a change.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_when_done(&self, run: Run) {
        let workplaces = self.workplaces.clone();
        let mut watchers = self.watchers();
        while watchers.try_join_next().is_some() {}
        watchers.spawn(async move {
            // NOTE: an error means that this engine no longer drives the run; then it needs no sandbox here either.
            if let Err(error) = run.outcome().await {
                tracing::debug!(run = %run.id(), %error, "a run is no longer watched");
            }
            workplaces.close(run.id().as_str()).await;
        });
    }
}

/// Removes the containers of dead processes, except those of `live` runs, which continue in them.
fn reap(live: BTreeSet<RunId>) {
    // NOTE: in the background: a start must not wait for a Docker that does not answer.
    tokio::spawn(async move {
        let keep = |id: &str| live.iter().any(|run| run.as_str() == id);
        match DockerSandbox::reap(keep).await {
            Ok(reaped) if reaped.is_empty() => {}
            Ok(reaped) => tracing::info!(?reaped, "removed containers that dead processes left"),
            Err(error) => tracing::debug!(%error, "did not look for containers that dead processes left"),
        }
    });
}

fn files_in(path: &Path) -> Vec<String> {
    // NOTE: listing a run's files must not create its workspace.
    if !path.is_dir() {
        return Vec::new();
    }
    let listing = Workspace::open(path).and_then(|workspace| workspace.list());
    let entries = listing.map(|listing| listing.files).unwrap_or_default();
    entries.into_iter().map(|entry| entry.path).filter(|path| !path.starts_with(".orkestra-")).collect()
}

fn engine_error(error: &orkestra_core::Error) -> Error {
    Error::new(ErrorKind::Engine, error.to_string()).with_source(error.clone())
}

#[cfg(test)]
mod tests;
