//! Engines whose clock was far ahead for a while.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_core::{Clock, SystemClock};

use super::stores::{TestStore, in_time, until_idle};

const LEASE: Duration = Duration::from_secs(1);

/// A clock that is ahead by a number of milliseconds.
#[derive(Clone, Default)]
struct Ahead(Arc<AtomicU64>);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now().saturating_add(Duration::from_millis(self.0.load(Ordering::SeqCst)))
    }
}

impl Ahead {
    fn by_a_year(&self) {
        self.0.store(365 * 86_400_000, Ordering::SeqCst);
    }

    fn put_right(&self) {
        self.0.store(0, Ordering::SeqCst);
    }
}

async fn limited(cx: Context, number: u64) -> TaskResult<u64> {
    let work = async || {
        tokio::time::sleep(Duration::from_millis(50)).await;
        TaskResult::Ok(number)
    };
    cx.step("work", work).await
}

async fn waits(cx: Context, (): ()) -> TaskResult<u64> {
    let first: u64 = cx.signal("first").await?;
    cx.signal::<u64>("second").await.map(|second| first + second)
}

fn builder(store: Arc<dyn Store>, clock: &Ahead) -> EngineBuilder {
    let builder = Engine::builder().shared_store(store).clock(clock.clone());
    builder.lease(LEASE).park_after(Duration::from_millis(1)).limit(Limit::concurrency("one", 1))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_polls_for_runs_after_its_clock_was_ahead() {
    for place in TestStore::all() {
        let [one, other] = place.open_twice().await;
        let clock = Ahead::default();
        clock.by_a_year();
        let workflow = || Workflow::new("w").node("n", limited).limit("one").build().expect("a workflow");
        let staying = builder(other, &clock).workflow(workflow()).start().await.expect("an engine");
        // It has polled for everything in that time.
        tokio::time::sleep(LEASE * 3).await;
        clock.put_right();
        let leaving = builder(one, &Ahead::default()).workflow(workflow()).start().await.expect("an engine");
        for number in 0..4_u64 {
            let request = leaving.run("w").id(format!("r{number}")).input(&number).expect("an input");
            request.start().await.expect("a run");
        }
        leaving.shutdown().await;
        for number in 0..4_u64 {
            let run = staying.handle(format!("r{number}")).expect("an id");
            let output = in_time(&format!("{}, {number}", place.name()), run.output::<u64>()).await;
            assert_eq!(output.expect("an output"), number);
        }
        staying.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_blocked_while_the_clock_was_ahead_is_retried() {
    for place in TestStore::all() {
        let [one, other] = place.open_twice().await;
        let clock = Ahead::default();
        let workflow = Workflow::new("w").node("n", waits).build().expect("a workflow");
        let engine = builder(one, &Ahead::default()).workflow(workflow).start().await.expect("an engine");
        let stranger = builder(other, &clock).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        in_time("it only waits", until_idle(&engine)).await;
        clock.by_a_year();
        stranger.handle("r").expect("an id").signal("first", &1_u64).await.expect("a signal");
        clock.put_right();
        let blocked = async {
            while !stranger.blocked().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time(&format!("{}: it is not blocked any more", place.name()), blocked).await;
        run.signal("second", &2_u64).await.expect("a signal");
        assert_eq!(in_time("it ends", run.output::<u64>()).await.expect("an output"), 3);
        engine.shutdown().await;
        stranger.shutdown().await;
    }
}
