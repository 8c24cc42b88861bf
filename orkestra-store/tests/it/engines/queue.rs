//! Runs that wait for slots of an engine that shuts down.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::prelude::*;

use super::stores::{TestStore, in_time};

async fn hold(cx: Context, number: u64) -> TaskResult<u64> {
    let work = async || {
        tokio::time::sleep(Duration::from_millis(100)).await;
        TaskResult::Ok(number)
    };
    cx.step("work", work).await
}

async fn start(store: Arc<dyn Store>) -> Engine {
    let workflow = Workflow::new("w").node("n", hold).limit("one").build().expect("a workflow");
    let builder = Engine::builder().shared_store(store).limit(Limit::concurrency("one", 1));
    builder.workflow(workflow).start().await.expect("an engine")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_engine_takes_over_runs_waiting_for_slots_at_once() {
    for place in TestStore::all() {
        let [one, other] = place.open_twice().await;
        let (leaving, staying) = (start(one).await, start(other).await);
        for number in 0..5_u64 {
            let request = leaving.run("w").id(format!("r{number}")).input(&number).expect("an input");
            request.start().await.expect("a run");
        }
        in_time("it shuts down", leaving.shutdown()).await;
        // Much faster than the regular poll for runs.
        in_time("all of them end", async {
            for number in 0..5_u64 {
                let run = staying.handle(format!("r{number}")).expect("an id");
                let output = run.output::<u64>().await;
                assert_eq!(output.unwrap_or_else(|error| panic!("{}: {error}", place.name())), number);
            }
        })
        .await;
        in_time("it shuts down", staying.shutdown()).await;
    }
}
