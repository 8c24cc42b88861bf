//! Heartbeats: a task is only silent by its own doing, not while the engine makes it wait.

use std::time::Duration;

use orkestra_core::prelude::*;

use super::moody::{Moods, MoodyStore};
use super::world::engine;

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

async fn pass(millis: u64) {
    tokio::time::sleep(ms(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn a_pause_does_not_count_as_silence() {
    async fn works(cx: Context, which: u32) -> TaskResult<()> {
        cx.heartbeat();
        let mut calls = 0;
        let call = || {
            calls += 1;
            let again = calls == 1 && which == 1;
            async move { if again { Err(TaskError::new("down")) } else { Ok(()) } }
        };
        if which == 0 {
            pass(300).await;
        }
        cx.step("call", call).retry(Retry::exponential(9).with_initial(ms(400)).with_jitter(0.0)).at_most_once().await
    }
    let mut bad = vec![];
    for which in [0_u32, 1] {
        let w = Workflow::new("w").node("works", works).heartbeat_timeout(secs(2)).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).park_after(secs(60)).workflow(w).start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&which).expect("json").start().await.expect("it goes");
        pass(200).await;
        run.pause("lunch").await.expect("it pauses");
        pass(10_000).await;
        run.resume().await.expect("it goes");
        let outcome = run.outcome().await.expect("an end");
        if !matches!(outcome, Outcome::Completed(_)) || run.view().await.expect("a view").nodes[0].attempt > 1 {
            bad.push(which);
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_does_not_count_as_silence() {
    async fn waits(cx: Context, (): ()) -> TaskResult<()> {
        cx.signal::<()>("go").await?;
        tokio::time::sleep(ms(1000)).await;
        cx.step("s", || async { TaskResult::Ok(()) }).await
    }
    async fn busy(cx: Context, (): ()) -> TaskResult<()> {
        for _ in 0..300 {
            cx.step("s", || async {
                tokio::time::sleep(ms(50)).await;
                TaskResult::Ok(())
            })
            .await?;
        }
        Ok(())
    }
    let w = Workflow::new("w")
        .node("waits", waits)
        .heartbeat_timeout(secs(2))
        .node("busy", busy)
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(secs(60)).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    pass(10_000).await;
    run.signal("go", &()).await.expect("a record");
    let outcome = run.outcome().await.expect("an end");
    assert!(matches!(outcome, Outcome::Completed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_does_not_count_as_silence() {
    let store = MoodyStore::default();
    async fn works(cx: Context, (): ()) -> TaskResult<()> {
        cx.step("s", || async { TaskResult::Ok(()) }).await?;
        cx.step("t", || async { TaskResult::Ok(()) }).await
    }
    let w = Workflow::new("w").node("works", works).heartbeat_timeout(secs(2)).build().expect("a workflow");
    store.is(Moods { appends_take: secs(5), ..Moods::default() });
    let engine = engine(store).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    let outcome = run.outcome().await.expect("an end");
    assert!(matches!(outcome, Outcome::Completed(_)));
}
