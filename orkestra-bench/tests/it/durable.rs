//! A benchmark outlives its process and trouble outside: what was done is not done again, and only the agent's work counts.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use async_trait::async_trait;
use orkestra_bench::benchmark::{BenchmarkError, BenchmarkRequest, Benchmarks};
use orkestra_bench::contestant::{Assignment, Attempt, AttemptError, Contestant};
use orkestra_bench::delivery::{self, File};
use orkestra_bench::grade::GradingPlace;
use orkestra_bench::result::{AgentInfo, BenchmarkResult, Ending};
use orkestra_bench::task::Suite;
use orkestra_core::prelude::*;
use tempfile::TempDir;
use tokio::sync::{Barrier, Notify};

use crate::place::place;

const RUN: &str = "run";

/// What the contestant does in an attempt. Without a script it works.
enum Turn {
    Works,
    /// It never ends.
    Hangs,
    Fails(AttemptError),
}

/// A contestant that knows the answers and follows a script.
struct Scripted {
    data: PathBuf,
    oracle: Vec<File>,
    state: Mutex<State>,
    begun: Notify,
    /// Attempts wait here for each other.
    meeting: Option<Barrier>,
}

#[derive(Default)]
struct State {
    script: VecDeque<Turn>,
    ids: Vec<String>,
    running: usize,
    running_max: usize,
}

impl Scripted {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics with it")
    }

    fn ids(&self) -> Vec<String> {
        self.state().ids.clone()
    }
}

#[async_trait]
impl Contestant for Scripted {
    fn info(&self) -> AgentInfo {
        serde_json::from_value(serde_json::json!({"name": "scripted", "model": "none", "notice": null})).expect("valid")
    }

    fn place(&self) -> String {
        "it writes files".to_owned()
    }

    async fn attempt(&self, assignment: &Assignment) -> Result<Attempt, AttemptError> {
        let turn = {
            let mut state = self.state();
            state.ids.push(assignment.id.clone());
            state.running += 1;
            state.running_max = state.running_max.max(state.running);
            state.script.pop_front().unwrap_or(Turn::Works)
        };
        self.begun.notify_one();
        if let Some(meeting) = &self.meeting {
            meeting.wait().await;
        }
        let workspace = self.data.join("work").join(&assignment.id);
        let attempt = match turn {
            Turn::Hangs => std::future::pending().await,
            Turn::Fails(error) => Err(error),
            Turn::Works => {
                self.oracle.iter().for_each(|file| delivery::write(&workspace, file).expect("written"));
                Ok(Attempt::new(Ending::Finished, workspace))
            }
        };
        self.state().running -= 1;
        attempt
    }
}

/// A benchmark of one task whose process is an engine on this store.
struct Fixture {
    data: TempDir,
    store: MemoryStore,
    contestant: Arc<Scripted>,
    benchmarks: Benchmarks,
}

impl Fixture {
    fn new(place: GradingPlace, script: impl IntoIterator<Item = Turn>, meeting: Option<Barrier>) -> Self {
        let task = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks/hello_world");
        let suite = Suite::in_directory(&task).expect("valid");
        let data = tempfile::tempdir().expect("a directory");
        let contestant = Arc::new(Scripted {
            data: data.path().to_owned(),
            oracle: suite.tasks()[0].oracle.clone(),
            state: Mutex::new(State { script: script.into_iter().collect(), ..State::default() }),
            begun: Notify::new(),
            meeting,
        });
        let benchmarks = Benchmarks::new(suite, Arc::clone(&contestant) as Arc<dyn Contestant>, place, data.path());
        Self { data, store: MemoryStore::default(), contestant, benchmarks }
    }

    /// Starts an engine, and the benchmark unless the store has it.
    async fn start(&self, trials: u32, at_once: u32) -> (Engine, Run) {
        let builder = Engine::builder().store(self.store.clone());
        let engine = self.benchmarks.register(builder, at_once).start().await.expect("started");
        let request = BenchmarkRequest::new(trials, 60);
        let run = self.benchmarks.start(&engine, Some(RUN), request).await.expect("started");
        (engine, run)
    }

    /// Waits until the benchmark is completed.
    async fn completed(&self, run: &Run) -> BenchmarkResult {
        let outcome = run.outcome().await.expect("it ends");
        assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
        let result = Benchmarks::result(run).await.expect("read");
        assert!(result.ended_at.is_some());
        result
    }
}

/// Asserts that the trials with these numbers are solved, with these restarts.
fn assert_trials(result: &BenchmarkResult, expected: &[(u32, u32)]) {
    let trials = &result.tasks[0].trials;
    let found: Vec<(u32, u32)> = trials.iter().map(|trial| (trial.trial, trial.restarts)).collect();
    assert_eq!(found, expected);
    for trial in trials {
        assert!(trial.strict.is_solved(), "{trial:?}");
        assert_eq!(trial.documented.score(), 10.0, "{trial:?}");
    }
}

async fn until(run: &Run, wanted: impl Fn(&Event) -> bool) {
    let mut events = run.events(Cursor::START);
    while let Some(event) = events.next().await.expect("read") {
        if wanted(&event.event) {
            return;
        }
    }
    panic!("the run ended before");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_dropped_while_an_agent_works_continues_the_trial() {
    let Some(place) = place().await else { return };
    let fixture = Fixture::new(place, [Turn::Hangs], None);
    let (engine, run) = fixture.start(1, 1).await;
    fixture.contestant.begun.notified().await;
    drop((engine, run));
    let (_engine, run) = fixture.start(1, 1).await;
    assert_trials(&fixture.completed(&run).await, &[(1, 1)]);
    assert_eq!(fixture.contestant.ids(), ["run.hello_world.1", "run.hello_world.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_is_dropped_while_it_grades_does_not_repeat_the_work() {
    let Some(place) = place().await else { return };
    let fixture = Fixture::new(place, [], None);
    let (engine, run) = fixture.start(1, 1).await;
    let grading = fixture.data.path().join("grading").join("run.hello_world.1");
    until(&run, |event| matches!(event, Event::StepCompleted { step, .. } if step == "work")).await;
    while !grading.exists() {
        tokio::task::yield_now().await;
    }
    drop((engine, run));
    let (_engine, run) = fixture.start(1, 1).await;
    assert_trials(&fixture.completed(&run).await, &[(1, 0)]);
    assert_eq!(fixture.contestant.ids(), ["run.hello_world.1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_passes_does_not_count() {
    let Some(place) = place().await else { return };
    let (same, anew) = (AttemptError::passing("the daemon is busy"), AttemptError::passing("the model is busy").anew());
    let fixture = Fixture::new(place, [Turn::Fails(same), Turn::Fails(anew)], None);
    let (_engine, run) = fixture.start(1, 1).await;
    assert_trials(&fixture.completed(&run).await, &[(1, 0)]);
    // After trouble that the work does not survive, the next attempt is another one.
    assert_eq!(fixture.contestant.ids(), ["run.hello_world.1", "run.hello_world.1", "run.hello_world.1_2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn trouble_that_lasts_pauses_the_benchmark_until_it_is_resumed() {
    let Some(place) = place().await else { return };
    let lasting = || Turn::Fails(AttemptError::lasting("the key is refused").anew());
    let fixture = Fixture::new(place, [Turn::Works, lasting(), lasting()], None);
    let (engine, run) = fixture.start(3, 1).await;
    until(&run, |event| matches!(event, Event::RunPaused { .. })).await;
    let trouble = Benchmarks::trouble(&run).await.expect("read");
    assert_eq!(trouble.as_deref(), Some("hello_world.2: the key is refused"));
    let so_far = Benchmarks::result(&run).await.expect("read");
    assert_eq!(so_far.ended_at, None);
    assert_trials(&so_far, &[(1, 0)]);
    assert!(!so_far.summary().is_complete());
    drop((engine, run));

    // It stays paused in the next process, and pauses again while the trouble lasts.
    let (_engine, run) = fixture.start(3, 1).await;
    assert_eq!(Benchmarks::trouble(&run).await.expect("read"), trouble);
    let last = run.view().await.expect("read").last;
    Benchmarks::resume(&run).await.expect("resumed");
    let mut events = run.events(Cursor(last.0));
    while !matches!(events.next().await.expect("read").expect("it is paused").event, Event::RunPaused { .. }) {}
    assert_eq!(Benchmarks::trouble(&run).await.expect("read"), trouble);

    Benchmarks::resume(&run).await.expect("resumed");
    assert_trials(&fixture.completed(&run).await, &[(1, 0), (2, 0), (3, 0)]);
    assert_eq!(Benchmarks::trouble(&run).await.expect("read"), None);
    let ids = fixture.contestant.ids();
    let suffixes: Vec<&str> = ids.iter().filter_map(|id| id.strip_prefix("run.hello_world.")).collect();
    assert_eq!(suffixes, ["1", "2", "2_2", "2_3", "3"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_trials_than_asked_for_are_worked_on_at_once() {
    let Some(place) = place().await else { return };
    // Each attempt waits for another one, so two are at work at once.
    let fixture = Fixture::new(place, [], Some(Barrier::new(2)));
    let (_engine, run) = fixture.start(6, 2).await;
    let expected: Vec<(u32, u32)> = (1..=6).map(|trial| (trial, 0)).collect();
    assert_trials(&fixture.completed(&run).await, &expected);
    assert_eq!(fixture.contestant.state().running_max, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_request_is_refused() {
    let fixture = Fixture::new(GradingPlace::Local, [], None);
    let builder = Engine::builder().store(fixture.store.clone());
    let engine = fixture.benchmarks.register(builder, 1).start().await.expect("started");
    for request in [
        BenchmarkRequest::new(0, 60),
        BenchmarkRequest::new(2001, 60),
        BenchmarkRequest::new(1, 0),
        BenchmarkRequest::new(1, 60).with_tokens(Some(0)),
    ] {
        let refused = fixture.benchmarks.start(&engine, None, request).await;
        assert!(matches!(refused, Err(BenchmarkError::Usage(_))), "{request:?}");
    }
    assert_eq!(fixture.contestant.ids(), Vec::<String>::new());
}
