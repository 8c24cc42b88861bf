//! An engine shuts down at any moment: nothing counts as started that did not start, and completed work stays
//! completed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use orkestra_core::prelude::*;
use tokio::sync::Notify;

use super::moody::{Moods, MoodyStore};
use super::world::{engine, journal};

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn slow() -> MoodyStore {
    let store = MoodyStore::default();
    store.is(Moods { appends_take: ms(40), ..Moods::default() });
    store
}

/// How often the work started, and how often it ended.
static BEGUN: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(0);

fn paying() -> Workflow {
    async fn pays(cx: Context, (): ()) -> TaskResult<String> {
        tokio::time::sleep(ms(20)).await;
        let pay = || async {
            BEGUN.fetch_add(1, SeqCst);
            tokio::time::sleep(ms(30)).await;
            DONE.fetch_add(1, SeqCst);
            TaskResult::Ok("paid".to_owned())
        };
        Ok(cx.step("pay", pay).at_most_once().await.unwrap_or_else(|error| error.failure().kind.clone()))
    }
    Workflow::new("w").node("pays", pays).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn an_at_most_once_step_is_interrupted_only_while_it_runs() {
    let mut said = BTreeMap::<String, u32>::new();
    for pauses in [None, Some(10), Some(45)] {
        for after in (0..260).step_by(3) {
            BEGUN.store(0, SeqCst);
            DONE.store(0, SeqCst);
            let store = slow();
            let first = engine(store.clone()).workflow(paying()).start().await.expect("an engine");
            let run = first.run("w").id("r").start().await.expect("a run");
            if let Some(at) = pauses {
                let run = run.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(ms(at)).await;
                    run.pause("lunch").await
                });
            }
            tokio::time::sleep(ms(after)).await;
            first.shutdown().await;
            let (begun, done) = (BEGUN.load(SeqCst), DONE.load(SeqCst));
            let second = engine(store).workflow(paying()).start().await.expect("an engine");
            let run = second.get("r").await.expect("a store").expect("a run");
            drop(run.resume().await);
            let output = run.output::<String>().await.expect("an output");
            let wanted = if begun > done { "interrupted" } else { "paid" };
            let when = format!("paused at {pauses:?}, shut down after {after} ms");
            assert_eq!(output, wanted, "{when}: {begun} began, {done} ended: {:?}", journal(&run).await);
            assert_eq!(BEGUN.load(SeqCst), 1, "{when}");
            *said.entry(output).or_default() += 1;
        }
    }
    assert_eq!(said.keys().collect::<Vec<_>>(), ["interrupted", "paid"]);
}

/// The engine is shut down at the exact moment when the work has ended.
#[tokio::test(start_paused = true)]
async fn requests_made_before_a_task_was_ended_are_recorded() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    let ends = Arc::new(Notify::new());
    let waits = Arc::clone(&ends);
    let pays = move |cx: Context, (): ()| {
        let waits = Arc::clone(&waits);
        async move {
            let pay = || async {
                CALLS.fetch_add(1, SeqCst);
                waits.notified().await;
                TaskResult::Ok("paid".to_owned())
            };
            Ok(cx.step("pay", pay).at_most_once().await.unwrap_or_else(|error| error.failure().kind.clone()))
        }
    };
    let workflow = Workflow::new("w").node("pays", pays).build().expect("a workflow");
    let store = MemoryStore::new();
    let first = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
    first.run("w").id("r").start().await.expect("a run");
    // Not when the driver checks whether the run only waits.
    tokio::time::sleep(ms(1500)).await;
    ends.notify_one();
    first.shutdown().await;
    let second = engine(store).workflow(workflow).start().await.expect("an engine");
    let run = second.get("r").await.expect("a store").expect("a run");
    assert_eq!(run.output::<String>().await.expect("an output"), "paid");
    assert_eq!(CALLS.load(SeqCst), 1);
}

/// An attempt times out at the moment when one of its steps is about to start.
#[tokio::test(start_paused = true)]
async fn a_step_not_started_when_its_attempt_ended_starts_in_the_next() {
    async fn pays(cx: Context, (): ()) -> TaskResult<String> {
        if cx.attempt() == 1 {
            tokio::time::sleep(ms(20)).await;
        }
        let pay = || async {
            BEGUN.fetch_add(1, SeqCst);
            TaskResult::Ok("paid".to_owned())
        };
        Ok(cx.step("pay", pay).at_most_once().await.unwrap_or_else(|error| error.failure().kind.clone()))
    }
    for timeout in 1..200 {
        BEGUN.store(0, SeqCst);
        let workflow = Workflow::new("w").node("pays", pays).retry(Retry::immediate(3)).timeout(ms(timeout));
        let workflow = workflow.build().expect("a workflow");
        let engine = engine(slow()).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").start().await.expect("a run");
        let output = run.output::<String>().await;
        let begun = BEGUN.load(SeqCst);
        assert!(begun <= 1);
        if output.as_ref().is_ok_and(|output| output == "interrupted") {
            assert_eq!(begun, 1, "after {timeout} ms: {:?}", journal(&run).await);
        }
    }
}

/// An engine without free capacity leaves a run that it starts to other engines: requests in the meantime are answered.
#[tokio::test(start_paused = true)]
async fn requests_to_a_run_starting_on_a_full_engine_are_answered() {
    let busy = async |_: Context, (): ()| {
        tokio::time::sleep(secs(100)).await;
        Ok::<_, TaskError>(())
    };
    let busy = Workflow::new("busy").node("n", busy).build().expect("a workflow");
    let gate = Workflow::new("gate").gate::<u64>("go").build().expect("a workflow");
    for after in (1..120).step_by(3) {
        let builder = engine(slow()).runs_max(1).workflow(busy.clone()).workflow(gate.clone());
        let engine = builder.start().await.expect("an engine");
        engine.run("busy").start().await.expect("a run");
        let starting = tokio::spawn(engine.run("gate").id("r").start());
        tokio::time::sleep(ms(after)).await;
        let run = engine.handle("r").expect("a handle");
        let told = run.signal("go", &7_u64).await;
        starting.await.expect("no panic").expect("a run");
        told.unwrap_or_else(|error| panic!("after {after} ms: {error}"));
        assert_eq!(run.output::<u64>().await.expect("an output"), 7, "after {after} ms");
    }
}
