//! Found by the simulator: two concurrent starts of one run, a store that is unavailable for longer than a driver's
//! patience, slots that were never released.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::OnFailure;
use orkestra_core::prelude::*;
use orkestra_core::store::StoreErrorKind;
use orkestra_testkit::{Fault, FaultyStore};

use super::world::engine;

async fn rest(cx: Context, (): ()) -> TaskResult<()> {
    cx.sleep(secs(1)).await
}

fn workflow() -> Workflow {
    Workflow::new("w").node("a", rest).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn two_concurrent_starts_get_the_same_run() {
    // Found as seed 8.
    let engine = engine(MemoryStore::new()).workflow(workflow()).start().await.expect("an engine");
    let (one, other) = tokio::join!(engine.run("w").id("r").start(), engine.run("w").id("r").start());
    assert_eq!(one.expect("started").id(), other.expect("there already").id());
}

#[tokio::test(start_paused = true)]
async fn a_run_continues_by_itself_when_its_store_is_back() {
    // Found as seed 4087.
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let engine = engine(store.clone()).workflow(workflow()).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    let away = store.with_random_faults(1, 1, &[Fault::Failed(StoreErrorKind::Io)]);
    tokio::time::sleep(secs(60)).await;
    assert!(!run.status().await.expect("a record").status.is_final());
    away.heal();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!(engine.blocked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_failure_pauses_the_run_releases_its_slots() {
    // Found as seed 19455.
    let fails = |_cx: Context, (): ()| async { Err::<(), _>(TaskError::permanent("no")) };
    let workflow = Workflow::new("w")
        .node("a", fails)
        .limit("one")
        .on_failure(OnFailure::Pause)
        .node("b", rest)
        .limit("one")
        .build()
        .expect("a workflow");
    let limit = Limit::concurrency("one", 1);
    let engine = engine(MemoryStore::new()).limit(limit).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    run.resume().await.expect("it was paused");
    tokio::time::timeout(secs(60), run.outcome()).await.expect("`b` gets its slot").expect("an outcome");
}

#[tokio::test(start_paused = true)]
async fn a_run_deleted_and_begun_again_during_an_outage_has_its_own_input() {
    let inner = Arc::new(MemoryStore::new());
    let store = FaultyStore::new(Arc::clone(&inner) as Arc<dyn Store>);
    let reads = async |cx: Context, (): ()| {
        let given: u32 = cx.run_input()?;
        tokio::time::sleep(mins(5)).await;
        TaskResult::Ok(given)
    };
    let workflow = Workflow::new("w").node("n", reads).build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&1_u32).expect("json").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    // The driver keeps the running task and tries to read its journal again.
    let away = store.with_random_faults(1, 1, &[Fault::Failed(StoreErrorKind::Io)]);
    let signalled = tokio::spawn({
        let run = run.clone();
        async move { run.signal("news", &1).await }
    });
    tokio::time::sleep(secs(65)).await;
    inner.delete(run.id()).await.expect("it is deleted by another process");
    away.heal();
    let again = engine.run("w").id("r").input(&2_u32).expect("json").start().await.expect("a run");
    assert_eq!(again.output::<u32>().await.expect("an output"), 2);
    assert!(signalled.await.expect("it is answered").is_err());
}
