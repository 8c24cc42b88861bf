//! A benchmark is a durable run of an engine: one node for each trial. It survives the death of its process at any instruction;
//! what was worked on is not worked on again, and what was graded is not graded again.
//!
//! ```text
//! run "benchmark":  node <task>.<trial>  =  step "work" (the contestant)  ->  step "grade" (text checks, hidden tests)
//! ```
//!
//! Every node needs a slot of the limit `benchmark_trials`, so a benchmark works on a few trials at a time.

mod clock;
mod plan;
mod trial;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orkestra_core::RunRequest;
use orkestra_core::prelude::{Engine, EngineBuilder, Limit, NodeStatus, OnFailure, PauseReason, Run};
use serde::{Deserialize, Serialize};

use self::plan::TrialSpec;
pub use self::plan::{WORKFLOW, trial_of_node};
use crate::contestant::Contestant;
use crate::grade::GradingPlace;
use crate::limits::TRIALS_MAX;
use crate::result::{AgentInfo, BenchmarkResult, RESULT_FORMAT, TaskResult, TrialLimits, TrialResult};
use crate::task::{Difficulty, Suite};

/// The task of the engine that works on a trial.
const TRIAL: &str = "benchmark_trial";
/// The limit of trials at a time.
const LIMIT: &str = "benchmark_trials";

/// Why a benchmark cannot be started or read. The message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BenchmarkError {
    /// The request is invalid.
    #[error("{0}")]
    Usage(String),
    /// The engine failed.
    #[error("the engine of the benchmark failed: {0}")]
    Engine(#[from] orkestra_core::Error),
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct BenchmarkRequest {
    /// How often each task is worked on.
    pub trials: u32,
    /// What one trial may take.
    pub limits: TrialLimits,
}

impl BenchmarkRequest {
    /// This many trials of each task, each with this time and without a limit of tokens.
    #[must_use]
    pub fn new(trials: u32, seconds: u64) -> Self {
        Self { trials, limits: TrialLimits { seconds, tokens: None } }
    }

    /// Limits the tokens of each trial.
    #[must_use]
    pub fn with_tokens(mut self, tokens: Option<u64>) -> Self {
        self.limits.tokens = tokens;
        self
    }

    /// Whether a benchmark of this suite can be started like this.
    ///
    /// # Errors
    /// [`BenchmarkError::Usage`] when it is invalid.
    pub fn check(&self, suite: &Suite) -> Result<(), BenchmarkError> {
        let tasks = suite.tasks().len();
        let trials = tasks.saturating_mul(self.trials as usize);
        if !(1..=TRIALS_MAX).contains(&trials) {
            return Err(BenchmarkError::Usage(format!(
                "cannot start a benchmark of {tasks} tasks with {} trials each: it must have 1 to {TRIALS_MAX} trials in sum",
                self.trials
            )));
        }
        if self.limits.seconds == 0 || self.limits.tokens == Some(0) {
            return Err(BenchmarkError::Usage("a trial needs some time and some tokens".to_owned()));
        }
        Ok(())
    }
}

/// What the run of a benchmark has as its input: all that is needed to report on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Job {
    agent: AgentInfo,
    trials: u32,
    limits: TrialLimits,
    places: Vec<String>,
    tasks: Vec<JobTask>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct JobTask {
    name: String,
    difficulty: Difficulty,
    fingerprint: String,
}

/// The benchmarks of one suite and one contestant on one engine. Cheap to clone.
///
/// ```no_run
/// # use std::{path::Path, sync::Arc};
/// # use orkestra_bench::{benchmark::*, contestant::Contestant, grade::GradingPlace, task::Suite};
/// # use orkestra_core::prelude::*;
/// # async fn benchmark(contestant: Arc<dyn Contestant>, store: MemoryStore) -> Result<(), Box<dyn std::error::Error>> {
/// let benchmarks = Benchmarks::new(Suite::built_in()?, contestant, GradingPlace::default(), Path::new("data"));
/// let engine = benchmarks.register(Engine::builder().store(store), 2).start().await?;
/// let run = benchmarks.start(&engine, None, BenchmarkRequest::new(10, 300)).await?;
/// run.outcome().await?;
/// let result = Benchmarks::result(&run).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Benchmarks {
    inner: Arc<Inner>,
}

struct Inner {
    suite: Suite,
    contestant: Arc<dyn Contestant>,
    place: GradingPlace,
    data: PathBuf,
}

impl Benchmarks {
    /// Benchmarks of a contestant. Files of trials that are under way are below `data`.
    #[must_use]
    pub fn new(suite: Suite, contestant: Arc<dyn Contestant>, place: GradingPlace, data: &Path) -> Self {
        Self { inner: Arc::new(Inner { suite, contestant, place, data: data.to_owned() }) }
    }

    /// Registers what the engine needs to run benchmarks, this many trials at a time. Unfinished benchmarks of its store continue
    /// when it is started.
    pub fn register(&self, engine: EngineBuilder, trials_at_once: u32) -> EngineBuilder {
        let inner = Arc::clone(&self.inner);
        let limit = Limit::concurrency(LIMIT, trials_at_once.max(1));
        engine.limit(limit).task(TRIAL, trial::TrialTask::new(inner))
    }

    /// Starts a benchmark of the suite; the same id again is the same benchmark. It is durable when this returns.
    ///
    /// # Errors
    /// [`BenchmarkError::Usage`] for an invalid request, [`BenchmarkError::Engine`] when the store fails.
    pub async fn start(
        &self,
        engine: &Engine,
        id: Option<&str>,
        request: BenchmarkRequest,
    ) -> Result<Run, BenchmarkError> {
        request.check(&self.inner.suite)?;
        let tasks = self.inner.suite.tasks();
        let job = Job {
            agent: self.inner.contestant.info(),
            trials: request.trials,
            limits: request.limits,
            places: vec![self.inner.contestant.place(), self.inner.place.describe()],
            tasks: tasks
                .iter()
                .map(|task| JobTask {
                    name: task.name.clone(),
                    difficulty: task.difficulty,
                    fingerprint: task.fingerprint.clone(),
                })
                .collect(),
        };
        let workflow = plan::workflow(tasks, request)?;
        let run = engine.run_spec(&workflow).input(&job)?;
        let run = id.into_iter().fold(run, RunRequest::id);
        Ok(run.start().await?)
    }

    /// Goes on with a benchmark that is paused because a trial could not be worked on: its failed trials are tried again.
    ///
    /// # Errors
    /// [`BenchmarkError::Engine`] when the store fails.
    pub async fn resume(run: &Run) -> Result<(), BenchmarkError> {
        let view = run.view().await?;
        for node in &view.undecided {
            run.retry(node).await?;
        }
        // IMPORTANT: a retry ends the pause of a failed trial. A resume would give the trial up if it has failed again by now.
        if view.pause.is_some_and(|reason| !matches!(reason, PauseReason::NodeFailed { .. })) {
            run.resume().await?;
        }
        Ok(())
    }

    /// Why a benchmark waits for a person, if it does: what a trial failed of.
    ///
    /// # Errors
    /// [`BenchmarkError::Engine`] when the store fails.
    pub async fn trouble(run: &Run) -> Result<Option<String>, BenchmarkError> {
        let view = run.view().await?;
        let Some(PauseReason::NodeFailed { node }) = &view.pause else {
            return Ok(view.pause.map(|reason| reason.to_string()));
        };
        let failed = view.nodes.iter().find(|one| one.name == *node).and_then(|one| one.failure.as_ref());
        Ok(Some(failed.map_or_else(|| format!("{node} failed"), |failure| format!("{node}: {}", failure.message))))
    }

    /// What the benchmark has found, complete or so far.
    ///
    /// # Errors
    /// [`BenchmarkError::Engine`] when the store fails or the run is not that of a benchmark.
    pub async fn result(run: &Run) -> Result<BenchmarkResult, BenchmarkError> {
        let view = run.view().await?;
        let job: Job = run.value(&view.input).await?;
        let mut tasks: Vec<TaskResult> = job
            .tasks
            .into_iter()
            .map(|task| TaskResult {
                name: task.name,
                difficulty: task.difficulty,
                fingerprint: task.fingerprint,
                trials: Vec::new(),
            })
            .collect();
        for node in view.nodes.iter().filter(|node| node.status == NodeStatus::Completed) {
            let (Some((name, _)), Some(output)) = (trial_of_node(&node.name), &node.output) else { continue };
            let trial: TrialResult = run.value(output).await?;
            if let Some(task) = tasks.iter_mut().find(|task| task.name == name) {
                task.trials.push(trial);
            }
        }
        for task in &mut tasks {
            task.trials.sort_by_key(|trial| trial.trial);
        }
        Ok(BenchmarkResult {
            format: RESULT_FORMAT,
            id: run.id().to_string(),
            agent: job.agent,
            started_at: view.created_at.to_string(),
            ended_at: view.outcome.is_some().then(|| view.updated_at.to_string()),
            trials: job.trials,
            limits: job.limits,
            places: job.places,
            tasks,
        })
    }
}

/// What happens when a trial cannot be worked on: a person decides, and nothing that was done is lost.
const ON_FAILURE: OnFailure = OnFailure::Pause;
