//! What an [`Orkestra`] is configured with, and its start.

use std::{
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use orkestra_core::prelude::{Engine, EngineBuilder, Store};
use orkestra_tools::egress::EgressOptions;
use orkestra_tools::web::SearchEngine;
use orkestra_tools::{Github, Network, Secrets, ToolSource, policy::Policy};

use super::{Orkestra, engine_error, reap};
use crate::pipeline::{
    AGENTS, SandboxChoice,
    desk::{Desk, Kit},
    graph, machine, roles,
    sandbox_choice::SandboxWish,
};
use crate::{
    Agent, Error,
    model::{ModelChoice, ModelSource},
    workplace::{LOST_HOSTS_MAX, Workplaces},
};

/// Replaces an agent of the pipeline, by its name.
type Change = (String, Box<dyn FnOnce(Agent) -> Agent + Send>);
type EngineChange = Box<dyn FnOnce(EngineBuilder) -> EngineBuilder + Send>;

/// Configures an [`Orkestra`] before it is started. Created by [`Orkestra::builder`].
#[must_use = "nothing runs until it is started"]
pub struct OrkestraBuilder {
    data: PathBuf,
    model: ModelChoice,
    sandbox: SandboxWish,
    egress: Option<EgressOptions>,
    call_log: Option<PathBuf>,
    changes: Vec<Change>,
    secrets: Secrets,
    policy: Policy,
    answer_time: Option<Duration>,
    accepts_open_sockets: bool,
    lost_hosts_max: u32,
    kit: Kit,
    sources: Vec<Arc<dyn ToolSource>>,
    engine_changes: Vec<EngineChange>,
}

impl OrkestraBuilder {
    pub(super) fn new(data: PathBuf) -> Self {
        Self {
            data,
            model: ModelChoice::automatic(),
            sandbox: SandboxWish::default(),
            egress: None,
            call_log: None,
            changes: Vec::new(),
            secrets: Secrets::default(),
            policy: Policy::default(),
            answer_time: None,
            accepts_open_sockets: false,
            lost_hosts_max: LOST_HOSTS_MAX,
            kit: Kit::default(),
            sources: Vec::new(),
            engine_changes: Vec::new(),
        }
    }

    /// Sets the model. The default is the best one that this machine has.
    pub fn model(mut self, model: ModelChoice) -> Self {
        self.model = model;
        self
    }

    /// Sets where commands run.
    pub fn sandbox(mut self, sandbox: SandboxChoice) -> Self {
        self.sandbox.choice = sandbox;
        self
    }

    /// Sets the runtime of containers, such as `runsc` (gVisor). The Docker daemon must have it.
    pub fn docker_runtime(mut self, runtime: impl Into<String>) -> Self {
        self.sandbox.runtime = Some(runtime.into());
        self
    }

    /// Sets the network of commands for runs that do not choose one. Without it, a real model's run in Docker has
    /// [`Network::Registries`], the demo model's [`Network::None`], and a run in the local sandbox [`Network::Open`].
    pub fn network(mut self, network: Network) -> Self {
        self.sandbox.network = Some(network);
        self
    }

    /// Sets what the network [`Network::Registries`] lets through, besides the hosts that a run allows. The default is
    /// [`egress_of_machine`](crate::egress_of_machine) with one cache for the data directory.
    pub fn egress(mut self, egress: EgressOptions) -> Self {
        self.egress = Some(egress);
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

    /// Accepts that, on machines where the local sandbox cannot prevent it, commands of a real model reach the unix sockets of
    /// other programs, Docker's among them. Without it, such runs are refused.
    pub fn accept_open_sockets(mut self) -> Self {
        self.accepts_open_sockets = true;
        self
    }

    /// Sets how many processes in a row a run may lose while it is under way, 3 by default. Then it is paused, because what its
    /// agents run may be what ends them; [`Run::resume`](orkestra_core::Run::resume) continues it. Progress, which is the end of a tool call, begins the count
    /// again.
    pub fn lost_hosts_max(mut self, processes: u32) -> Self {
        self.lost_hosts_max = processes.max(1);
        self
    }

    /// Gives the agents of real models `ask_human`. Choose it when somebody answers; questions wait for
    /// [`OrkestraBuilder::answer_time`].
    pub fn questions(mut self, has_answers: bool) -> Self {
        self.kit.has_answers = has_answers;
        self
    }

    /// Gives every agent the tools of this source, such as those of MCP servers (`orkestra_tools::mcp::McpTools`). They are the
    /// operator's choice: never take one from a tenant, a repository or a model.
    pub fn tool_source(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.sources.push(source);
        self
    }

    /// Lets the agents of real models open pull requests. The built-in policy asks a person before each.
    pub fn github(mut self, github: Github) -> Self {
        self.kit.github = Some(github);
        self
    }

    /// Adds a search engine, which is asked when those before it do not answer. DuckDuckGo is the first.
    pub fn search_engine(mut self, engine: Arc<dyn SearchEngine>) -> Self {
        self.kit.engines.push(engine);
        self
    }

    /// Opens pages in Chromium, with scripts and screenshots, instead of over plain HTTP.
    #[cfg(all(unix, feature = "chromium"))]
    pub fn chromium(mut self, options: orkestra_tools::web::ChromiumOptions) -> Self {
        self.kit.chromium = Some(options);
        self
    }

    /// Changes the engine before it is started, such as `|engine| engine.workflow(mine)`: workflows and tasks of your own beside
    /// the pipeline, limits, leases. The names of the pipeline's agents are taken.
    pub fn engine(mut self, change: impl FnOnce(EngineBuilder) -> EngineBuilder + Send + 'static) -> Self {
        self.engine_changes.push(Box::new(change));
        self
    }

    /// Starts the engine on `store`. Runs that an earlier process left unfinished continue at once.
    ///
    /// # Errors
    /// [`ErrorKind::Workspace`](crate::ErrorKind::Workspace) when the data directory cannot be used, [`ErrorKind::Usage`](crate::ErrorKind::Usage) when an agent to replace does
    /// not exist or a secret is too long, [`ErrorKind::Engine`](crate::ErrorKind::Engine) when the engine cannot start on the store.
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
        let detected = || machine::egress_of_machine(&self.data, machine::NAMESPACE_DEFAULT);
        let egress = self.egress.unwrap_or_else(detected);
        workplaces = workplaces.with_secrets(secrets).with_policy(self.policy).with_egress(egress.clone());
        if let Some(answer_time) = self.answer_time {
            workplaces = workplaces.with_answer_time(answer_time);
        }
        let mut engine = Engine::builder().shared_store(store);
        let (workplaces, checks) = workplaces.with_checks();
        let desk = Desk::new(self.kit, &egress)?;
        for (name, agent) in agents(&models, &workplaces, &desk, self.changes)? {
            let agent = self.sources.iter().cloned().fold(agent, Agent::with_tool_source);
            engine = engine.task(name, agent);
        }
        let engine = self.engine_changes.into_iter().fold(engine, |engine, change| change(engine));
        let engine = engine.start().await.map_err(|error| engine_error(&error))?;
        let orkestra = Orkestra {
            engine,
            models,
            workplaces,
            sandbox: self.sandbox,
            accepts_open_sockets: self.accepts_open_sockets,
            watchers: Mutex::default(),
            checker: Mutex::default(),
        };
        orkestra.check_runs(checks, self.lost_hosts_max);
        reap(orkestra.watch_live_runs().await?);
        Ok(orkestra)
    }
}

/// The agents of the pipeline with their changes, in the order in which these were asked for.
fn agents(
    models: &ModelSource,
    workplaces: &Workplaces,
    desk: &Desk,
    changes: Vec<Change>,
) -> Result<Vec<(&'static str, Agent)>, Error> {
    let given = AGENTS.into_iter().filter_map(|name| Some((name, roles::agent(name, models, workplaces, desk)?)));
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
