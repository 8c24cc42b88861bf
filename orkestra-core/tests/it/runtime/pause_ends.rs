//! Pauses that end in other ways than by resuming, and what tasks learn afterwards.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
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
async fn work_held_back_by_a_pause_never_starts_when_the_run_is_cancelled() {
    static DID: AtomicU32 = AtomicU32::new(0);
    async fn plain(cx: Context, which: u32) -> TaskResult<()> {
        tokio::time::sleep(ms(300)).await;
        let work = || async {
            DID.fetch_add(1, SeqCst);
            TaskResult::Ok(())
        };
        match which {
            0 => cx.step("a", work).await,
            1 => cx.step("a", work).at_most_once().await,
            2 => cx.ask::<()>("well?").await,
            _ => {
                let call = || async {
                    DID.fetch_add(1, SeqCst);
                    Err::<(), _>(TaskError::new("down"))
                };
                cx.step("c", call).retry(Retry::exponential(9).with_initial(ms(400)).with_jitter(0.0)).await
            }
        }
    }
    let mut bad = Vec::new();
    for which in 0..4_u32 {
        for after in [600_u64, 5000] {
            for park in [100_u64, 60_000] {
                DID.store(0, SeqCst);
                let w = Workflow::new("w").node("n", plain).build().expect("a workflow");
                let engine =
                    engine(MemoryStore::new()).park_after(ms(park)).workflow(w).start().await.expect("an engine");
                let run = engine.run("w").input(&which).expect("json").start().await.expect("it goes");
                pass(if which == 3 { 350 } else { 100 }).await;
                run.pause("lunch").await.expect("it pauses");
                pass(after).await;
                let (before, at) = (DID.load(SeqCst), tokio::time::Instant::now());
                run.cancel("enough").await.expect("it runs");
                run.outcome().await.expect("an end");
                let took = at.elapsed();
                if took > ms(100) || DID.load(SeqCst) != before {
                    bad.push((which, after, park, took));
                }
            }
        }
    }
    assert!(bad.is_empty(), "{bad:?}");
}

#[tokio::test(start_paused = true)]
async fn a_task_can_clean_up_when_its_run_is_cancelled_during_a_pause() {
    static CLEANED: AtomicU32 = AtomicU32::new(0);
    async fn works(cx: Context, (): ()) -> TaskResult<()> {
        cx.cancelled().await;
        cx.step("clean", || async {
            CLEANED.fetch_add(1, SeqCst);
            TaskResult::Ok(())
        })
        .await
    }
    let w = Workflow::new("w").node("works", works).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    pass(100).await;
    run.pause("lunch").await.expect("it pauses");
    pass(1_000).await;
    let at = tokio::time::Instant::now();
    run.cancel("enough").await.expect("it runs");
    run.outcome().await.expect("an end");
    assert!(at.elapsed() < ms(100), "{:?}", at.elapsed());
    assert_eq!(CLEANED.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_step_that_ended_during_a_pause_is_recorded_when_the_run_is_cancelled() {
    async fn works(cx: Context, (): ()) -> TaskResult<()> {
        cx.step("s", || async {
            tokio::time::sleep(ms(500)).await;
            TaskResult::Ok(())
        })
        .await
    }
    let w = Workflow::new("w").node("works", works).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(secs(60)).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    pass(100).await;
    run.pause("lunch").await.expect("it pauses");
    pass(1_000).await;
    let at = tokio::time::Instant::now();
    run.cancel("enough").await.expect("it runs");
    run.outcome().await.expect("an end");
    assert!(at.elapsed() < ms(100), "{:?}", at.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_terminated_while_paused_continues_when_retried_at_once() {
    async fn x(cx: Context, (): ()) -> TaskResult<()> {
        if cx.attempt() == 1 {
            return Err(TaskError::permanent("x"));
        }
        cx.step("s", || async { TaskResult::Ok(()) }).await
    }
    let w = Workflow::new("w").node("x", x).on_failure(OnFailure::Pause).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).park_after(secs(60)).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    pass(1_000).await;
    let (ended, retried) = tokio::join!(run.terminate("enough"), run.retry("x"));
    ended.expect("it is ended");
    retried.expect("it is retried");
    pass(10_000).await;
    assert!(matches!(run.status().await.expect("a record").outcome, Some(Outcome::Completed(_))));
}

#[tokio::test(start_paused = true)]
async fn results_given_to_a_task_after_a_pause_are_durable() {
    static AFTER: AtomicU64 = AtomicU64::new(0);
    let store = MoodyStore::default();
    let began = tokio::time::Instant::now();
    let works = move |cx: Context, (): ()| async move {
        cx.step("s", || async {
            tokio::time::sleep(ms(3_500)).await;
            TaskResult::Ok(())
        })
        .await?;
        AFTER.store(u64::try_from(began.elapsed().as_millis()).expect("short"), SeqCst);
        Ok(())
    };
    let w = Workflow::new("w").node("works", works).build().expect("a workflow");
    let engine = engine(store.clone()).workflow(w).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("it goes");
    pass(100).await;
    run.pause("lunch").await.expect("it pauses");
    pass(2_900).await;
    store.is(Moods { appends_take: secs(2), ..Moods::default() });
    // From 3.0 to 5.0 s; the step ends at 3.5 and is durable at 7.0.
    run.resume().await.expect("it goes");
    run.outcome().await.expect("an end");
    assert!(AFTER.load(SeqCst) >= 7_000);
}
