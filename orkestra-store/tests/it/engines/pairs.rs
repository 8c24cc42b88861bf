//! Two engines of one process on one store.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::prelude::*;

use super::stores::{TestStore, in_time, until_idle};

fn builder(store: Arc<dyn Store>) -> EngineBuilder {
    Engine::builder().shared_store(store).park_after(Duration::from_millis(1))
}

async fn two_signals(cx: Context, (): ()) -> TaskResult<u64> {
    let first: u64 = cx.signal("first").await?;
    let second: u64 = cx.signal("second").await?;
    Ok(first + second)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_engine_without_the_workflow_can_signal_a_run_and_wait_for_it() {
    for place in TestStore::all() {
        let [one, other] = place.open_twice().await;
        let workflow = Workflow::new("twice").node("n", two_signals).build().expect("a workflow");
        let lease = Duration::from_secs(1);
        let stranger = builder(other).lease(lease).start().await.expect("an engine");
        let engine = builder(one).lease(lease).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("twice").id("r").start().await.expect("a run");
        in_time("it only waits", until_idle(&engine)).await;
        let theirs = stranger.handle("r").expect("an id");
        let signalled = in_time("it is signalled", theirs.signal("first", &1_u64)).await;
        signalled.unwrap_or_else(|error| panic!("{}: {error}", place.name()));
        let waiting = tokio::spawn(async move { theirs.output::<u64>().await });
        let blocked = async {
            while !stranger.blocked().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        in_time("what another engine drives is not held up for ever", blocked).await;
        run.signal("second", &2_u64).await.expect("a signal");
        let output = in_time("it ends", waiting).await.expect("no panic");
        assert_eq!(output.unwrap_or_else(|error| panic!("{}: {error}", place.name())), 3);
        engine.shutdown().await;
        stranger.shutdown().await;
    }
}
