//! Who works on the tasks, and the engine of the benchmark.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, OrkestraBuilder, egress_of_machine};
use orkestra_bench::benchmark::Benchmarks;
use orkestra_bench::contestant::{CommandContestant, PEERS_IMAGE, PipelineContestant};
use orkestra_bench::grade::GradingPlace;
use orkestra_bench::task::Suite;
use orkestra_core::prelude::{Engine, Store};
use orkestra_tools::egress::ModelGateway;
use orkestra_tools::{DockerOptions, DockerSandbox};

use super::settings::Settings;
use crate::args::Sandbox;
use crate::exit::Failure;

/// How long an answer is waited for when an agent asks: nobody answers in a benchmark.
const NO_ANSWER_TIME: Duration = Duration::from_secs(1);
/// The key of the endpoint for another agent. It stays in this process.
const MODEL_KEY: &str = "OPENAI_API_KEY";
/// Packages are cached for all benchmarks of a directory.
const CACHE: (&str, &str) = (".orkestra", "default");

/// What a benchmark stands on.
pub(super) struct Parts<'session> {
    pub(super) directory: &'session Path,
    pub(super) settings: &'session Settings,
    pub(super) suite: Suite,
    pub(super) place: GradingPlace,
    pub(super) store: Arc<dyn Store>,
}

/// A started engine on which benchmarks run.
pub(super) struct Working {
    pub(super) benchmarks: Benchmarks,
    engine: Engine,
    orkestra: Option<Arc<Orkestra>>,
}

impl Working {
    pub(super) async fn start(parts: Parts<'_>) -> Result<Self, Failure> {
        match &parts.settings.agent {
            Some(agent) => other(agent, parts).await,
            None => pipeline(parts).await,
        }
    }

    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops the engine. An unfinished benchmark continues at the next start.
    pub(super) async fn shut_down(&self) {
        match &self.orkestra {
            Some(orkestra) => orkestra.shutdown().await,
            None => {
                self.engine.shutdown().await;
            }
        }
    }
}

async fn pipeline(parts: Parts<'_>) -> Result<Working, Failure> {
    let Parts { directory, settings, suite, place, store } = parts;
    let (sandbox, runtime) = Sandbox::choice(settings.sandbox()?);
    let choice = settings.model.as_ref().map_or_else(ModelChoice::automatic, ModelChoice::named);
    let choice = settings.base_url.iter().fold(choice, ModelChoice::with_base_url);
    let contestant = Arc::new(PipelineContestant::new(settings.model.clone()));
    let benchmarks = Benchmarks::new(suite, contestant.clone(), place, directory);
    let (registered, jobs) = (benchmarks.clone(), settings.jobs);
    let mut builder = Orkestra::builder(directory)
        .model(choice)
        .sandbox(sandbox)
        .egress(egress_of_machine(Path::new(CACHE.0), CACHE.1))
        .questions(false)
        .answer_time(NO_ANSWER_TIME)
        .engine(move |engine| registered.register(engine, jobs));
    builder = runtime.into_iter().fold(builder, OrkestraBuilder::docker_runtime);
    builder = settings.network.into_iter().fold(builder, |builder, network| builder.network(network.into()));
    if settings.accept_open_sockets {
        builder = builder.accept_open_sockets();
    }
    let orkestra = Arc::new(builder.start(store).await?);
    if let Err(error) = contestant.attach(&orkestra).await {
        orkestra.shutdown().await;
        return Err(error.into());
    }
    Ok(Working { benchmarks, engine: orkestra.engine().clone(), orkestra: Some(orkestra) })
}

/// Another agent, in a container with a gateway to the model.
async fn other(agent: &str, parts: Parts<'_>) -> Result<Working, Failure> {
    let Parts { directory, settings, suite, place, store } = parts;
    let (Some(model), Some(base_url)) = (&settings.model, &settings.base_url) else {
        return Err(Failure::usage("--agent needs --model and --base-url"));
    };
    let key = std::env::var(MODEL_KEY).ok().filter(|key| !key.trim().is_empty());
    let gateway = ModelGateway::new(base_url, key).map_err(|error| Failure::usage(format!("--base-url: {error}")))?;
    let image = settings.agent_image.as_deref().unwrap_or(PEERS_IMAGE);
    let docker = DockerOptions::default().with_image(image).with_egress(egress_of_machine(Path::new(CACHE.0), CACHE.1));
    let (_, runtime) = Sandbox::choice(settings.sandbox()?);
    let docker = runtime.into_iter().fold(docker, DockerOptions::with_runtime);
    DockerSandbox::available_with(&docker).await.map_err(|error| {
        Failure::failed(format!(
            "cannot start another agent: {error}; docker/peers/build makes the image {PEERS_IMAGE}"
        ))
    })?;
    let contestant = CommandContestant::new(agent, model, gateway, directory).with_docker(docker);
    let benchmarks = Benchmarks::new(suite, Arc::new(contestant), place, directory);
    let engine = benchmarks.register(Engine::builder().shared_store(store), settings.jobs).start().await?;
    Ok(Working { benchmarks, engine, orkestra: None })
}
