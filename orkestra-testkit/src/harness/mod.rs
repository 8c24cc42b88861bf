//! Fault-injection harnesses for your own workflows: they crash the process at every write, fail each node, and interrupt
//! every attempt, and check how the run ends.
//!
//! ```
//! use orkestra_core::prelude::*;
//! use orkestra_testkit::{Counter, Harness, run};
//!
//! let counter = Counter::new();
//! let counting = counter.clone();
//! let charge = move |cx: Context, amount: u64| {
//!     let counter = counting.clone();
//!     async move {
//!         cx.step("charge", || async {
//!             counter.count(&cx, "charge");
//!             TaskResult::Ok(amount)
//!         })
//!         .await
//!     }
//! };
//! let harness = Harness::new(
//!     move |engine| engine.workflow(Workflow::new("buy").node("pay", charge.clone()).build().unwrap()),
//!     |engine| async move {
//!         let run = engine.run("buy").id("order-1").input(&7)?.start().await?;
//!         Ok(run)
//!     },
//! )
//! .with_counter(&counter);
//!
//! run(async {
//!     harness.crash_after_every_commit().await.assert_sound();
//!     harness.repeat_each_attempt().await.assert_sound();
//!     harness.fail_each_node().await.assert_sound();
//! });
//! ```

mod counter;
mod fail;
mod inject;
mod report;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::kernel::{Event, Outcome, RunStatus};
use orkestra_core::model::RunId;
use orkestra_core::store::{MemoryStore, Store};
use orkestra_core::{Cursor, Engine, EngineBuilder, Error, ErrorKind, Run};

use crate::faulty::{Fault, FaultyStore};
use crate::virtual_time::VirtualClock;

use self::counter::Moment;
use self::inject::{Held, InjectedTask, Injection};

pub use self::counter::Counter;
pub use self::report::{Repeat, Report};

/// How long a run may take in virtual time. A run that waits for a signal that is never sent would take forever.
const RUN_MAX: Duration = Duration::from_secs(40 * 86_400);
/// How many processes a harness starts before it gives up on a run.
const PROCESSES_MAX: usize = 10_000;

type Build = Box<dyn Fn(EngineBuilder) -> EngineBuilder>;
type Driving = Pin<Box<dyn Future<Output = Result<Run, Error>>>>;
type Drive = Box<dyn Fn(Engine) -> Driving>;

/// A workflow under test: how it is registered with an engine, and how a run of it is started and sent what it waits for.
///
/// Must be used in virtual time: in [`run`](crate::run), or in a tokio test with `start_paused = true`.
pub struct Harness {
    build: Build,
    drive: Drive,
    counter: Counter,
}

/// How a run came to rest.
pub(crate) enum Rest {
    Ended(Outcome),
    Paused,
}

impl Harness {
    /// Creates a harness. `build` registers workflows and tasks. `drive` starts one run and sends it the signals that it
    /// waits for; it must give the run a fixed id, so that starting it again finds the same run. Both are called for every
    /// process, so signals are sent again.
    pub fn new<D, F>(build: impl Fn(EngineBuilder) -> EngineBuilder + 'static, drive: D) -> Self
    where
        D: Fn(Engine) -> F + 'static,
        F: Future<Output = Result<Run, Error>> + 'static,
    {
        Self { build: Box::new(build), drive: Box::new(move |engine| Box::pin(drive(engine))), counter: Counter::new() }
    }

    /// Checks the effects that `counter` counts.
    #[must_use]
    pub fn with_counter(self, counter: &Counter) -> Self {
        Self { counter: counter.clone(), ..self }
    }

    async fn engine(&self, store: impl Store, clock: VirtualClock, injection: Option<Injection>) -> Engine {
        let mut builder = (self.build)(Engine::builder().store(store).clock(clock));
        if let Some(injection) = injection.map(Arc::new) {
            builder = builder.around(move |task| Arc::new(InjectedTask { task, injection: Arc::clone(&injection) }));
        }
        builder.start().await.expect("the engine under test starts")
    }

    /// Starts the run, or finds it if it has already ended.
    async fn begin(&self, engine: &Engine, known: Option<&RunId>) -> Result<Run, String> {
        match (self.drive)(engine.clone()).await {
            Ok(run) => Ok(run),
            Err(error) => match known {
                // A signal that is sent again may find the run ended.
                Some(id) if error.kind() == ErrorKind::Conflict => {
                    let found = engine.get(id).await.map_err(|error| error.to_string())?;
                    found.ok_or_else(|| format!("there is no run `{id}`"))
                }
                _ => Err(error.to_string()),
            },
        }
    }

    /// Runs the workflow with nothing injected.
    async fn run_undisturbed(&self) -> (RunId, Outcome, Moment, u64) {
        self.counter.clear();
        let store = MemoryStore::new();
        let counting = FaultyStore::new(Arc::new(store.clone()));
        let engine = self.engine(counting.clone(), VirtualClock::new(), None).await;
        let run = self.begin(&engine, None).await.expect("the run starts when nothing is injected");
        let outcome = match rest(&run).await.expect("the run comes to rest when nothing is injected") {
            Rest::Ended(outcome) => outcome,
            Rest::Paused => panic!("the run pauses although nothing is injected: `drive` must resume it"),
        };
        engine.shutdown().await;
        (run.id().clone(), outcome, Moment::now(&self.counter, &store).await, counting.appends())
    }

    /// Crashes the process before and after each of its writes, and lets another process continue the run: the run must have
    /// the same outcome and must not repeat a durable step.
    ///
    /// # Panics
    /// When the run does not end without crashes.
    pub async fn crash_after_every_commit(&self) -> Report {
        let (id, outcome, plain, writes) = self.run_undisturbed().await;
        let mut report = Report::new(outcome);
        for nth in 1..=writes {
            for (fault, side) in [(Fault::CrashBefore, "before"), (Fault::CrashAfter, "after")] {
                self.counter.clear();
                let (store, clock) = (MemoryStore::new(), VirtualClock::new());
                let crashing = FaultyStore::new(Arc::new(store.clone())).with_fault(nth, fault);
                let engine = self.engine(crashing.clone(), clock, None).await;
                if let Ok(run) = self.begin(&engine, Some(&id)).await {
                    // Ends with an error when the process crashes.
                    rest(&run).await.ok();
                }
                engine.shutdown().await;
                store.drop_leases();
                let when = format!("crash {side} write {nth}");
                if !crashing.crashed() {
                    report.problems.push(format!("{when}: there was no such write"));
                }
                let crash = Moment::now(&self.counter, &store).await;
                let ended = self.resume_until_end(&store, clock, None, &id).await;
                report.trials += 1;
                report.compare(&when, ended);
                let end = Moment::now(&self.counter, &store).await;
                report.judge(&when, &plain, &[crash], &end);
            }
        }
        report
    }

    /// Interrupts every attempt when it is about to end, and lets another process call it again: its steps must not run
    /// twice, and the run must have the same outcome.
    ///
    /// # Panics
    /// When the run does not end without interruptions.
    pub async fn repeat_each_attempt(&self) -> Report {
        let (id, outcome, plain, _) = self.run_undisturbed().await;
        let mut report = Report::new(outcome);
        self.counter.clear();
        let (store, clock, held) = (MemoryStore::new(), VirtualClock::new(), Arc::<Held>::default());
        let mut moments = Vec::new();
        let ended = loop {
            let engine = self.engine(store.clone(), clock, Some(Injection::Hold(Arc::clone(&held)))).await;
            // `drive` itself may wait for an attempt that is held back.
            let resting = tokio::select! {
                biased;
                rested = async { rest(&self.begin(&engine, Some(&id)).await?).await } => Some(rested),
                () = held.news.notified() => None,
            };
            engine.shutdown().await;
            moments.push(Moment::now(&self.counter, &store).await);
            match resting {
                Some(rested) => break rested.and_then(ended),
                None if moments.len() > PROCESSES_MAX => {
                    break Err("it never ends, however often it is interrupted".to_owned());
                }
                None => {}
            }
        };
        report.trials = moments.len();
        report.compare("every attempt interrupted", ended);
        let end = Moment::now(&self.counter, &store).await;
        report.judge("every attempt interrupted", &plain, &moments, &end);
        report
    }

    /// Continues the run in another process until it ends.
    async fn resume_until_end(
        &self,
        store: &MemoryStore,
        clock: VirtualClock,
        injection: Option<Injection>,
        id: &RunId,
    ) -> Result<Outcome, String> {
        let engine = self.engine(store.clone(), clock, injection).await;
        let run = self.begin(&engine, Some(id)).await?;
        let rested = rest(&run).await;
        engine.shutdown().await;
        rested.and_then(ended)
    }
}

impl std::fmt::Debug for Harness {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Harness").finish_non_exhaustive()
    }
}

fn ended(rest: Rest) -> Result<Outcome, String> {
    match rest {
        Rest::Ended(outcome) => Ok(outcome),
        Rest::Paused => Err("it pauses".to_owned()),
    }
}

async fn is_paused(run: &Run) -> bool {
    run.status().await.is_ok_and(|record| record.status == RunStatus::Paused)
}

/// Waits until the run ends or pauses.
async fn rest(run: &Run) -> Result<Rest, String> {
    let mut events = run.events(Cursor::START);
    let reading = async {
        loop {
            match events.next().await {
                // `drive` may have resumed it already.
                Ok(Some(event)) if matches!(event.event, Event::RunPaused { .. }) && is_paused(run).await => {
                    return Ok(Rest::Paused);
                }
                Ok(Some(event)) if event.event.ends_run() => {
                    return run.outcome().await.map(Rest::Ended).map_err(|error| error.to_string());
                }
                Ok(Some(_)) => {}
                Ok(None) => return Err("its events end before the run does".to_owned()),
                Err(error) => return Err(error.to_string()),
            }
        }
    };
    tokio::time::timeout(RUN_MAX, reading).await.unwrap_or_else(|_| Err("it does not end".to_owned()))
}
