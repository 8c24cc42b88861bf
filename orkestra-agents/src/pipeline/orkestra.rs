//! The facade: one value that the command line, the server and embedders hold. It creates runs of the pipeline, keeps their
//! workspaces and closes their sandboxes.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use orkestra_core::prelude::{Engine, Name, Run, RunId, RunQuery, RunRecord, RunStatus, Store};
use orkestra_tools::{DockerSandbox, Secrets, ToolSource, Workspace, policy::Policy};
use tokio::task::JoinSet;

use super::{AGENTS, Job, PROJECT_LABEL, PipelineRequest, SandboxChoice, graph, job, request::run_id, roles};
use crate::{
    Agent, Error, ErrorKind, USD_METER,
    model::{ModelChoice, ModelSource},
    view::RunBody,
    workplace::Workplaces,
};

/// A started Orkestra: an engine with the agents of the pipeline registered.
///
/// A crash loses nothing that was acknowledged: the next start on the same store and directory continues every run.
pub struct Orkestra {
    engine: Engine,
    models: ModelSource,
    workplaces: Workplaces,
    sandbox: SandboxChoice,
    /// One task for each live run: it closes the run's sandbox when the run ends.
    watchers: Mutex<JoinSet<()>>,
}

/// Replaces an agent of the pipeline, by its name.
type Change = (String, Box<dyn FnOnce(Agent) -> Agent + Send>);

/// Configures an [`Orkestra`] before it is started. Created by [`Orkestra::builder`].
#[must_use = "nothing runs until it is started"]
pub struct OrkestraBuilder {
    data: PathBuf,
    model: ModelChoice,
    sandbox: SandboxChoice,
    call_log: Option<PathBuf>,
    changes: Vec<Change>,
    secrets: Secrets,
    policy: Policy,
    answer_time: Option<Duration>,
    sources: Vec<Arc<dyn ToolSource>>,
}

impl OrkestraBuilder {
    /// Sets the model. The default is the best one that this machine has.
    pub fn model(mut self, model: ModelChoice) -> Self {
        self.model = model;
        self
    }

    /// Sets where commands run.
    pub fn sandbox(mut self, sandbox: SandboxChoice) -> Self {
        self.sandbox = sandbox;
        self
    }

    /// Replaces the agent `name` of the pipeline by what `change` makes of it: another duty, other tools, a model or a
    /// validator of its own. Its place in the graph stays.
    pub fn agent(mut self, name: impl Into<String>, change: impl FnOnce(Agent) -> Agent + Send + 'static) -> Self {
        self.changes.push((name.into(), Box::new(change)));
        self
    }

    /// Writes a line into this file when a model or tool call begins and one when its result is durable, so that an outside
    /// observer can count them. A diagnostic; see [`CALL_LOG_VARIABLE`](crate::CALL_LOG_VARIABLE).
    pub fn call_log(mut self, path: impl Into<PathBuf>) -> Self {
        self.call_log = Some(path.into());
        self
    }

    /// Masks these secrets, beside the keys of models, in everything that agents store, emit and send.
    pub fn secrets(mut self, secrets: Secrets) -> Self {
        self.secrets = secrets;
        self
    }

    /// Sets which tool calls the agents make by themselves, which a person decides on, and which are refused.
    pub fn policy(mut self, policy: Policy) -> Self {
        self.policy = policy;
        self
    }

    /// Sets how long an agent waits for a person's answer, 24 hours by default.
    pub fn answer_time(mut self, answer_time: Duration) -> Self {
        self.answer_time = Some(answer_time);
        self
    }

    /// Gives every agent the tools of this source, such as those of MCP servers (`orkestra_tools::mcp::McpTools`). They are the
    /// operator's choice: never take one from a tenant, a repository or a model.
    pub fn tool_source(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// Starts the engine on `store`. Runs that an earlier process left unfinished continue at once.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`] when the data directory cannot be used, [`ErrorKind::Usage`] when an agent to replace does
    /// not exist or a secret is too long, [`ErrorKind::Engine`] when the engine cannot start on the store.
    pub async fn start(self, store: Arc<dyn Store>) -> Result<Orkestra, Error> {
        let mut workplaces = Workplaces::new(&self.data)?;
        if let Some(path) = &self.call_log {
            workplaces = workplaces.with_call_log(path)?;
        }
        let models = ModelSource::new(self.model);
        let secrets = self.secrets.with(models.secrets()).map_err(|error| Error::usage(error.to_string()))?;
        for name in secrets.unmasked() {
            tracing::warn!(name, "a secret is too short to be masked; use a longer one");
        }
        workplaces = workplaces.with_secrets(secrets).with_policy(self.policy);
        if let Some(answer_time) = self.answer_time {
            workplaces = workplaces.with_answer_time(answer_time);
        }
        let mut engine = Engine::builder().shared_store(store);
        for (name, agent) in agents(&models, &workplaces, self.changes)? {
            let agent = self.sources.iter().cloned().fold(agent, Agent::with_tool_source);
            engine = engine.task(name, agent);
        }
        let engine = engine.start().await.map_err(|error| engine_error(&error))?;
        let orkestra = Orkestra { engine, models, workplaces, sandbox: self.sandbox, watchers: Mutex::default() };
        reap(orkestra.watch_live_runs().await?);
        Ok(orkestra)
    }
}

/// The agents of the pipeline with their changes, in the order in which these were asked for.
fn agents(
    models: &ModelSource,
    workplaces: &Workplaces,
    changes: Vec<Change>,
) -> Result<Vec<(&'static str, Agent)>, Error> {
    let given = AGENTS.into_iter().filter_map(|name| Some((name, roles::agent(name, models, workplaces)?)));
    let mut agents: Vec<(&'static str, Agent)> = given.collect();
    for (name, change) in changes {
        let Some(position) = agents.iter().position(|(known, _)| *known == name) else {
            return Err(graph::unknown_agents(&format!("{name:?}")));
        };
        let (known, agent) = agents.remove(position);
        agents.insert(position, (known, change(agent)));
    }
    Ok(agents)
}

impl Orkestra {
    /// Configures an Orkestra whose workspaces are below `data`.
    pub fn builder(data: impl Into<PathBuf>) -> OrkestraBuilder {
        OrkestraBuilder {
            data: data.into(),
            model: ModelChoice::automatic(),
            sandbox: SandboxChoice::default(),
            call_log: None,
            changes: Vec::new(),
            secrets: Secrets::default(),
            policy: Policy::default(),
            answer_time: None,
            sources: Vec::new(),
        }
    }

    /// Creates a run and starts it. The run is durable when this returns; the same id again is the same run.
    ///
    /// # Errors
    /// [`ErrorKind::Usage`] for an empty objective, an unknown agent, an invalid id or meter, a budget in dollars for a model
    /// without a price; [`ErrorKind::Model`] when the model's key is missing; [`ErrorKind::Sandbox`] when commands have nowhere
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
        let sandbox = self.sandbox.resolve(&model).await?;
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

    /// Shuts down: stops the engine and closes the sandboxes. Unfinished runs continue at the next start.
    pub async fn shutdown(&self) {
        self.engine.shutdown().await;
        // Waits for those that are removing a container; afterwards none of them has the store open any more.
        let watchers = std::mem::take(&mut *self.watchers());
        watchers.join_all().await;
        self.workplaces.close_all().await;
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
