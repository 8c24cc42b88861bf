//! Who works on the tasks, and the engine of the benchmark.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Orkestra, OrkestraBuilder, egress_of_machine};
use orkestra_bench::benchmark::Benchmarks;
use orkestra_bench::contestant::PipelineContestant;
use orkestra_bench::grade::GradingPlace;
use orkestra_bench::task::Suite;
use orkestra_core::prelude::{Engine, Store};

use super::settings::Settings;
use crate::args::Sandbox;
use crate::exit::Failure;

/// How long an answer is waited for when an agent asks: nobody answers in a benchmark.
const NO_ANSWER_TIME: Duration = Duration::from_secs(1);
/// Packages are cached for all benchmarks of a directory.
const CACHE: (&str, &str) = (".orkestra", "default");

/// A started engine on which benchmarks run.
pub(super) struct Working {
    pub(super) benchmarks: Benchmarks,
    engine: Engine,
    orkestra: Option<Arc<Orkestra>>,
}

impl Working {
    pub(super) async fn start(
        directory: &Path,
        settings: &Settings,
        suite: Suite,
        place: GradingPlace,
        store: Arc<dyn Store>,
    ) -> Result<Self, Failure> {
        pipeline(directory, settings, suite, place, store).await
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

async fn pipeline(
    directory: &Path,
    settings: &Settings,
    suite: Suite,
    place: GradingPlace,
    store: Arc<dyn Store>,
) -> Result<Working, Failure> {
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
