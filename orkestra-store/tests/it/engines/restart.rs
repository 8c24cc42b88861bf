//! One engine after another on the same store.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::prelude::*;

use super::stores::{TestStore, in_time};

/// Leaves tasks behind that keep the context: one waiting for a signal, one in a step, one that never used it.
async fn leaves_tasks_behind(cx: Context, (): ()) -> TaskResult<u64> {
    let (waits, works, keeps) = (cx.clone(), cx.clone(), cx.clone());
    drop(tokio::spawn(async move { waits.signal::<u64>("never").await }));
    drop(tokio::spawn(async move {
        loop {
            let work = async || {
                tokio::time::sleep(Duration::from_millis(1)).await;
                TaskResult::Ok("x".repeat(300_000))
            };
            let _large: Result<String, TaskError> = works.step("large", work).await;
        }
    }));
    drop(tokio::spawn(async move {
        std::future::pending::<()>().await;
        drop(keeps);
    }));
    cx.signal("go").await
}

async fn start(store: Arc<dyn Store>) -> Engine {
    let workflow = Workflow::new("w").node("n", leaves_tasks_behind).build().expect("a workflow");
    Engine::builder().shared_store(store).workflow(workflow).start().await.expect("an engine")
}

async fn rounds() {
    for place in TestStore::all() {
        for round in 0..5_u64 {
            let store = place.open().await.unwrap_or_else(|error| panic!("{}, {round}: {error}", place.name()));
            let engine = start(store).await;
            let run = engine.run("w").start().await.expect("a run");
            tokio::time::sleep(Duration::from_millis(10 * round)).await;
            in_time("it shuts down", engine.shutdown()).await;
            drop((engine, run));
        }
    }
}

#[tokio::test]
async fn tasks_that_outlive_their_call_do_not_keep_the_store_open() {
    rounds().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_outlive_their_call_do_not_keep_the_store_open_on_many_threads() {
    rounds().await;
}
