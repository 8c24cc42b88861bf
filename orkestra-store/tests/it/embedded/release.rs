//! A store is unlocked when its engine has shut down, and engines of one process share a store without polling it.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::prelude::*;

use crate::support::backend::BACKENDS;

async fn work(cx: Context, (): ()) -> TaskResult<u64> {
    for step in 0..20 {
        cx.step(format!("s{step}"), || async { TaskResult::Ok(()) }).await?;
    }
    cx.signal("go").await
}

async fn start(store: Arc<dyn Store>) -> Engine {
    let workflow = Workflow::new("w").node("n", work).build().expect("a workflow");
    Engine::builder().shared_store(store).snapshot_every(2).workflow(workflow).start().await.expect("an engine")
}

#[tokio::test]
async fn a_store_is_free_when_its_engine_has_shut_down() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory");
        for round in 0..5 {
            let store = backend
                .open(directory.path())
                .unwrap_or_else(|error| panic!("{}, round {round}: {error}", backend.name()));
            let engine = start(store.shared()).await;
            let run = engine.run("w").start().await.expect("a run");
            tokio::time::sleep(Duration::from_millis(2 * round)).await;
            engine.shutdown().await;
            drop((engine, run));
        }
    }
}

#[tokio::test]
async fn engines_of_one_process_wake_each_others_waiters() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory");
        let store = backend.open(directory.path()).expect("a store").shared();
        let (a, b) = (start(Arc::clone(&store)).await, start(store).await);
        let run = a.run("w").id("r").start().await.expect("a run");
        // Until it is parked.
        tokio::time::timeout(secs(30), async {
            while a.health().await.live > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await
        .expect("it only waits");
        let waiting = tokio::spawn(async move { run.output::<u64>().await });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let theirs = b.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the run");
        theirs.signal("go", &7_u64).await.expect("a signal");
        let output = tokio::time::timeout(secs(10), waiting).await.expect("it is woken").expect("no panic");
        assert_eq!(output.expect("an output"), 7, "{}", backend.name());
        a.shutdown().await;
        b.shutdown().await;
    }
}
