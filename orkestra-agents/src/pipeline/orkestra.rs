//! The facade: one value that the command line, the server and embedders hold. It makes runs of the pipeline, keeps their
//! workspaces and closes their sandboxes.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use orkestra_core::prelude::{
    Engine, Name, NodeSpec, Retry, Run, RunId, RunQuery, RunRecord, RunStatus, Store, WorkflowSpec,
};
use orkestra_tools::{DockerSandbox, Workspace};
use tokio::task::JoinSet;

use crate::{
    Error, ErrorKind, SandboxChoice, Workplaces,
    model::ModelChoice,
    pipeline::{self, Job, job},
    view::RunBody,
};

/// The name of the pipeline's workflow.
pub const PIPELINE: &str = "pipeline";
/// The label that holds a run's project.
pub const PROJECT_LABEL: &str = "project_id";
/// The label that holds the beginning of a run's objective, for lists.
pub const OBJECTIVE_LABEL: &str = "objective";
/// The label that holds the name of a run's model.
pub const MODEL_LABEL: &str = "model";

const OBJECTIVE_LABEL_CHARACTERS: usize = 200;
const RUN_ID_BYTES_MAX: usize = 100;
/// How long one attempt of an agent may take.
const ATTEMPT_TIME_MAX_MS: u64 = 30 * 60 * 1000;

/// What a run is asked for.
#[derive(Debug, Clone, Default)]
pub struct PipelineRequest {
    /// Its id, which makes asking twice one run; without one it gets a new ULID. Letters, digits, `.`, `_`, `-`.
    pub id: Option<String>,
    /// What is to be built.
    pub objective: String,
    /// The project to go on with: `[a-z0-9][a-z0-9._-]{0,63}`.
    pub project_id: Option<String>,
    /// Another model than the embedder's choice.
    pub model: Option<String>,
    /// The agents; none means all.
    pub tasks: Vec<String>,
    /// What the run can be found by, besides our own labels.
    pub labels: BTreeMap<String, String>,
}

/// Orkestra, started: the engine with the agents registered.
///
/// A crash loses nothing that was acknowledged: the next start on the same store and directory goes on with every run.
pub struct Orkestra {
    engine: Engine,
    workplaces: Arc<Workplaces>,
    sandbox: SandboxChoice,
    /// One task for each run that is under way: it closes the run's sandbox when the run ends.
    watchers: Mutex<JoinSet<()>>,
}

/// Orkestra, about to be started. Made by [`Orkestra::builder`].
#[must_use = "nothing runs until it is started"]
pub struct OrkestraBuilder {
    data: PathBuf,
    model: ModelChoice,
    sandbox: SandboxChoice,
    call_log: Option<PathBuf>,
}

impl OrkestraBuilder {
    /// The model; the best that this machine has unless said otherwise.
    pub fn model(mut self, model: ModelChoice) -> Self {
        self.model = model;
        self
    }

    /// Where commands run.
    pub fn sandbox(mut self, sandbox: SandboxChoice) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// A diagnostic: writes a line into this file when a model or tool call begins, and one when its result is durable,
    /// so that somebody outside can count them. See [`CALL_LOG_VARIABLE`](crate::CALL_LOG_VARIABLE).
    pub fn call_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.call_log = Some(path.into());
        self
    }

    /// Starts the engine on `store`; runs that a process before left unfinished go on at once.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the data directory cannot be used, [`ErrorKind::Engine`] when the store refuses.
    pub async fn start(self, store: Arc<dyn Store>) -> Result<Orkestra, Error> {
        let mut workplaces = Workplaces::new(&self.data, self.model)?;
        if let Some(path) = &self.call_log {
            workplaces = workplaces.with_call_log(path)?;
        }
        let workplaces = Arc::new(workplaces);
        let mut engine = Engine::builder().shared_store(store);
        for name in pipeline::AGENTS {
            if let Some(agent) = pipeline::agent(name, &workplaces) {
                engine = engine.task(name, agent);
            }
        }
        let engine = engine.start().await.map_err(|error| engine_error(&error))?;
        let orkestra = Orkestra { engine, workplaces, sandbox: self.sandbox, watchers: Mutex::default() };
        reap(orkestra.look_after_runs().await?);
        Ok(orkestra)
    }
}

impl Orkestra {
    /// Begins an Orkestra whose workspaces are below `data`.
    pub fn builder(data: impl Into<PathBuf>) -> OrkestraBuilder {
        OrkestraBuilder {
            data: data.into(),
            model: ModelChoice::automatic(),
            sandbox: SandboxChoice::default(),
            call_log: None,
        }
    }

    /// Creates a run and starts it. It is durable when this returns; the same id again is the same run.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an empty objective, an unknown agent, a bad id; [`ErrorKind::Model`] when the model's key is
    /// missing; [`ErrorKind::Sandbox`] when commands have nowhere to run; [`ErrorKind::Engine`] when the store refuses.
    pub async fn create(&self, request: PipelineRequest) -> Result<Run, Error> {
        let objective = job::objective(&request.objective)?;
        let tasks = pipeline::select(&request.tasks)?;
        let project_id = request.project_id.as_deref().map(job::project_id).transpose()?;
        let id = request.id.as_deref().map(run_id).transpose()?;
        if let Some(run) = self.existing(id.as_deref()).await? {
            return Ok(run);
        }
        let model = self.workplaces.models().resolve(request.model.as_deref().filter(|name| !name.is_empty())).await;
        // NOTE: a missing key is told to whoever asks for the run, not by a run that fails a moment later.
        self.workplaces.models().open(&model).map_err(|error| Error::new(ErrorKind::Model, error.to_string()))?;
        let sandbox = self.sandbox.resolve(&model).await?;
        let mut labels = request.labels;
        labels.insert(OBJECTIVE_LABEL.to_owned(), objective.chars().take(OBJECTIVE_LABEL_CHARACTERS).collect());
        labels.insert(MODEL_LABEL.to_owned(), model.name.clone());
        labels.extend(project_id.clone().map(|project| (PROJECT_LABEL.to_owned(), project)));
        let workflow = workflow(&tasks)?;
        let job = Job { objective, project_id, model, sandbox, tasks };
        let mut run = self.engine.run_spec(&workflow).input(&job).map_err(|error| engine_error(&error))?;
        if let Some(id) = &id {
            run = run.id(id);
        }
        let run = labels.iter().fold(run, |run, (key, value)| run.label(key, value));
        let run = run.start().await.map_err(|error| engine_error(&error))?;
        self.close_when_done(run.clone());
        Ok(run)
    }

    async fn existing(&self, id: Option<&str>) -> Result<Option<Run>, Error> {
        let Some(id) = id else { return Ok(None) };
        let id = RunId::new(id).map_err(|error| Error::usage(error.to_string()))?;
        self.engine.get(&id).await.map_err(|error| engine_error(&error))
    }

    /// The engine, for all that can be done with runs.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Where the files of a run are.
    #[must_use]
    pub fn workspace_path(&self, run: &RunRecord) -> PathBuf {
        self.workplaces.workspace_path(run.id.as_str(), run.labels.get(PROJECT_LABEL).map(String::as_str))
    }

    /// The body of `GET /runs/{id}`; nothing when there is no such run.
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

    /// Leaves everything in good order: runs go on at the next start, sandboxes are closed.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
        // Those that are removing a container are waited for, and none holds the store any more afterwards.
        let watchers = std::mem::take(&mut *self.watchers());
        watchers.join_all().await;
        self.workplaces.close_all().await;
    }

    /// Watches the runs that a process before left; answers which they are.
    async fn look_after_runs(&self) -> Result<BTreeSet<RunId>, Error> {
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
        // Nothing that holds it can panic half-way through a change.
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_when_done(&self, run: Run) {
        let workplaces = Arc::clone(&self.workplaces);
        let mut watchers = self.watchers();
        while watchers.try_join_next().is_some() {}
        watchers.spawn(async move {
            // NOTE: an error means that this engine drives the run no more; then its sandbox is of no use here either.
            if let Err(error) = run.outcome().await {
                tracing::debug!(run = %run.id(), %error, "a run is no longer watched");
            }
            workplaces.close(run.id().as_str()).await;
        });
    }
}

/// Removes containers of dead processes, but for those of `live` runs: these go on in them.
fn reap(live: BTreeSet<RunId>) {
    // NOTE: beside the start: nobody should wait for a Docker that does not answer.
    tokio::spawn(async move {
        let keep = |id: &str| live.iter().any(|run| run.as_str() == id);
        match DockerSandbox::reap(keep).await {
            Ok(reaped) if reaped.is_empty() => {}
            Ok(reaped) => tracing::info!(?reaped, "removed containers that dead processes left"),
            Err(error) => tracing::debug!(%error, "no leftovers of containers were looked for"),
        }
    });
}

/// The pipeline for these agents, as data: nodes that name the registered agents.
fn workflow(tasks: &[String]) -> Result<WorkflowSpec, Error> {
    let name = |text: &str| Name::new(text).map_err(|error| Error::usage(error.to_string()));
    let mut nodes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let retry = Retry::immediate(pipeline::ATTEMPTS_MAX);
        let mut node = NodeSpec::task(name(task)?, name(task)?).with_retry(retry);
        node.timeout_ms = Some(ATTEMPT_TIME_MAX_MS);
        for before in pipeline::waits_for(task, tasks) {
            node = node.with_after(name(&before)?);
        }
        nodes.push(node);
    }
    Ok(WorkflowSpec { name: name(PIPELINE)?, version: None, nodes })
}

fn run_id(text: &str) -> Result<String, Error> {
    let first = |one: char| one.is_ascii_alphanumeric();
    let rest = |one: char| first(one) || "._-".contains(one);
    if text.len() <= RUN_ID_BYTES_MAX && text.starts_with(first) && text.chars().all(rest) {
        return Ok(text.to_owned());
    }
    let shown: String = text.chars().take(80).collect();
    Err(Error::usage(format!("{shown:?} is no run id: 1 to {RUN_ID_BYTES_MAX} letters, digits, '.', '_' and '-'")))
}

fn files_in(path: &Path) -> Vec<String> {
    // NOTE: asking for a run's files must not make its workspace.
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
