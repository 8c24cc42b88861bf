//! Measures whether steps get slower as their run gets longer.

use std::error::Error;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use orkestra::prelude::*;
use tokio::runtime::Runtime;
use tokio::sync::Semaphore;

/// How many steps are measured per turn.
const STEPS: u32 = 50;
/// How often the two runs take turns.
const TURNS: u32 = 20;

/// Median times of a step.
pub(crate) struct Times {
    /// Near the start of a run.
    pub(crate) early: Duration,
    /// After many events.
    pub(crate) late: Duration,
}

/// The times that tasks measure, and the signals to take turns.
#[derive(Clone)]
struct Track(Arc<Inner>);

struct Inner {
    times: Mutex<Vec<Duration>>,
    /// Permits for turns.
    turns: Semaphore,
    /// Turns that have been taken.
    taken: Semaphore,
}

impl Track {
    fn new() -> Self {
        let (times, turns, taken) = (Mutex::default(), Semaphore::new(0), Semaphore::new(0));
        Self(Arc::new(Inner { times, turns, taken }))
    }

    /// A task with `before` steps, then `turns` turns of measured steps.
    async fn steps(self, cx: Context, before: u32, turns: u32) -> TaskResult<()> {
        for _ in 0..before {
            cx.step("step", || async { TaskResult::Ok(()) }).await?;
        }
        self.0.taken.add_permits(1);
        for _ in 0..turns {
            self.0.turns.acquire().await.map_err(|error| Failure::permanent("closed", error.to_string()))?.forget();
            let mut times = Vec::new();
            for _ in 0..STEPS {
                let begun = now();
                cx.step("step", || async { TaskResult::Ok(()) }).await?;
                times.push(begun.elapsed());
            }
            self.0.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner).extend(times);
            self.0.taken.add_permits(1);
        }
        Ok(())
    }

    async fn take_turn(&self) -> Result<(), Box<dyn Error>> {
        self.0.turns.add_permits(1);
        self.taken().await
    }

    async fn taken(&self) -> Result<(), Box<dyn Error>> {
        self.0.taken.acquire().await?.forget();
        Ok(())
    }

    fn median(&self) -> Duration {
        let mut times = self.0.times.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        times.sort_unstable();
        times[times.len() / 2]
    }
}

#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn now() -> Instant {
    Instant::now()
}

/// Measures steps of a run around event number `events`, alternating with steps of fresh runs.
pub(crate) fn compare(runtime: &Runtime, place: &Path, events: u32) -> Result<Times, Box<dyn Error>> {
    let (early, late) = (Track::new(), Track::new());
    let task = |track: &Track, before: u32, turns: u32| {
        let track = track.clone();
        move |cx: Context, (): ()| track.clone().steps(cx, before, turns)
    };
    let before = events.saturating_sub(STEPS * TURNS / 2);
    let fresh = Workflow::new("fresh").node("steps", task(&early, 8, 1)).build()?;
    let aged = Workflow::new("aged").node("steps", task(&late, before, TURNS)).build()?;
    runtime.block_on(async {
        let engine = Engine::builder().store(SledStore::open(place)?).workflow(fresh).workflow(aged).start().await?;
        let long = engine.run("aged").start().await?;
        late.taken().await?;
        for _ in 0..TURNS {
            let short = engine.run("fresh").start().await?;
            early.taken().await?;
            early.take_turn().await?;
            short.outcome().await?;
            late.take_turn().await?;
        }
        long.outcome().await?;
        engine.shutdown().await;
        Ok(Times { early: early.median(), late: late.median() })
    })
}
