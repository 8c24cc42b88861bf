//! Limits: attempts wait for their slots without a task in memory, also when their run is parked or moves to another
//! process.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orkestra_core::Limit;
use orkestra_core::prelude::*;
use orkestra_core::store::StoreErrorKind;
use orkestra_testkit::{Fault, FaultyStore, Mishap};

use super::moody::{Moods, MoodyStore};
use super::world::{engine, journal};

/// A task that works for a minute and records how many do so at once.
fn minute(now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> impl IntoMinute {
    let (now, most) = (Arc::clone(now), Arc::clone(most));
    move |_cx: Context, (): ()| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        Box::pin(async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            TaskResult::Ok(())
        }) as std::pin::Pin<Box<dyn Future<Output = TaskResult<()>> + Send>>
    }
}

trait IntoMinute:
    Fn(Context, ()) -> std::pin::Pin<Box<dyn Future<Output = TaskResult<()>> + Send>> + Send + Sync + 'static
{
}

impl<F> IntoMinute for F where
    F: Fn(Context, ()) -> std::pin::Pin<Box<dyn Future<Output = TaskResult<()>> + Send>> + Send + Sync + 'static
{
}

#[tokio::test(start_paused = true)]
async fn a_limit_holds_and_queued_runs_are_parked() {
    let (now, most) = (Arc::default(), Arc::default());
    let workflow = Workflow::new("w").node("n", minute(&now, &most)).limit("cpu").build().expect("a workflow");
    let store = MemoryStore::new();
    let start =
        |store: MemoryStore| engine(store).limit(Limit::concurrency("cpu", 2)).workflow(workflow.clone()).start();
    let first = start(store.clone()).await.expect("an engine");
    let mut runs = Vec::new();
    for number in 0..6 {
        runs.push(first.run("w").id(format!("r{number}")).start().await.expect("a run"));
    }
    tokio::time::sleep(Duration::from_secs(90)).await;
    let queued = runs[5].status().await.expect("a record");
    assert_eq!(queued.wake_at, Some(Timestamp::from_millis(1)), "it waits for its slot");
    assert_eq!(most.load(Ordering::SeqCst), 2);
    first.shutdown().await;
    // The runs of the first process ended in the middle of their minute.
    now.store(0, Ordering::SeqCst);

    let second = start(store).await.expect("an engine");
    for run in runs {
        let run = second.get(run.id()).await.expect("a store").expect("the run");
        run.output::<()>().await.expect("an end");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2, "what was held by the first process is held in the second");
    assert!(second.stuck().await.expect("a store").is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own_slots_and_priority_goes_first() {
    let (now, most) = (Arc::default(), Arc::default());
    let workflow = Workflow::new("w")
        .node("n", minute(&now, &most))
        .limit_by("project", SlotBy::Label("project".into()))
        .build()
        .expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("project", 1)).workflow(workflow);
    let engine = engine.start().await.expect("an engine");
    let start = |id: &'static str, project: &'static str, priority| {
        engine.run("w").id(id).label("project", project).priority(priority).start()
    };
    let first = start("first", "x", 0).await.expect("a run");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let low = start("low", "x", 0).await.expect("a run");
    let high = start("high", "x", 9).await.expect("a run");
    let other = start("other", "y", 0).await.expect("a run");
    for run in [&first, &low, &high, &other] {
        run.output::<()>().await.expect("an end");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2, "one of each project");
    let ended = async |run: &Run| run.status().await.expect("a record").updated_at;
    assert!(ended(&high).await < ended(&low).await);
    assert!(ended(&other).await < ended(&high).await);
}

#[tokio::test(start_paused = true)]
async fn a_paused_run_takes_no_slot_and_requests_it_again() {
    let (now, most) = (Arc::default(), Arc::default());
    let workflow = Workflow::new("w").node("n", minute(&now, &most)).limit("cpu").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("cpu", 1)).workflow(workflow);
    let engine = engine.start().await.expect("an engine");
    let first = engine.run("w").start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let waits = engine.run("w").start().await.expect("a run");
    let third = engine.run("w").start().await.expect("a run");
    waits.pause("not now").await.expect("it pauses");
    first.output::<()>().await.expect("an end");
    third.output::<()>().await.expect("an end");
    waits.resume().await.expect("it continues");
    waits.output::<()>().await.expect("an end");
    let began = journal(&waits).await.iter().filter(|event| matches!(event, Event::AttemptStarted { .. })).count();
    assert_eq!(began, 1);
}

#[tokio::test(start_paused = true)]
async fn an_undefined_limit_is_refused() {
    let workflow = Workflow::new("w").node("n", async |_: Context, (): ()| Ok(())).limit("gpu");
    let workflow = workflow.build().expect("a workflow");
    let none = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let error = none.run("w").start().await.expect_err("there is no such limit");
    assert_eq!(error.to_string(), "workflow `w` needs limit `gpu`, which is not defined");
    let twice = engine(MemoryStore::new()).limit(Limit::concurrency("a", 1)).limit(Limit::concurrency("a", 2));
    assert_eq!(twice.start().await.expect_err("twice").to_string(), "two limits are named `a`");
}

/// A task of two long steps that records how many of them run at once, also when one is dropped.
fn two_steps(now: &Arc<AtomicUsize>, most: &Arc<AtomicUsize>) -> Workflow {
    struct Here(Arc<AtomicUsize>);
    impl Drop for Here {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (now, most) = (Arc::clone(now), Arc::clone(most));
    let work = move |cx: Context, (): ()| {
        let (now, most) = (Arc::clone(&now), Arc::clone(&most));
        async move {
            for key in ["a", "b"] {
                cx.step(key, || async {
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    let _here = Here(Arc::clone(&now));
                    tokio::time::sleep(Duration::from_secs(100)).await;
                    TaskResult::Ok(())
                })
                .await?;
            }
            TaskResult::Ok(())
        }
    };
    Workflow::new("w").node("n", work).limit("db").build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_paused_attempt_that_another_process_resumes_waits_for_its_slot() {
    let (now, most) = (Arc::default(), Arc::default());
    let (store, workflow) = (MemoryStore::new(), two_steps(&now, &most));
    let start = || {
        let limit = Limit::concurrency("db", 1);
        engine(store.clone()).worker("me").limit(limit).workflow(workflow.clone()).start()
    };
    let first = start().await.expect("an engine");
    let run = first.run("w").id("r1").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    run.pause("wait").await.expect("it pauses");
    tokio::time::sleep(secs(200)).await;
    first.shutdown().await;
    let second = start().await.expect("an engine");
    let late = second.run("w").id("r2").start().await.expect("a run");
    let early = second.handle("r1").expect("a handle");
    tokio::time::sleep(secs(10)).await;
    early.resume().await.expect("it continues");
    for run in [early, late] {
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

/// Seed 25605 of the simulator: the slot of a paused run was kept by an engine that had dropped the run from memory,
/// even after another engine had driven it to its end.
#[tokio::test(start_paused = true)]
async fn a_paused_run_dropped_from_memory_releases_its_slots() {
    let (now, most) = (Arc::default(), Arc::default());
    let (store, workflow) = (MemoryStore::new().between_engines(), two_steps(&now, &most));
    let start = |worker: &str| {
        let limit = Limit::concurrency("db", 1);
        engine(store.clone()).worker(worker).limit(limit).workflow(workflow.clone()).start()
    };
    let first = start("first").await.expect("an engine");
    let paused = first.run("w").id("r1").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    paused.pause("wait").await.expect("it pauses");
    tokio::time::sleep(secs(200)).await;
    let late = first.run("w").id("r2").start().await.expect("a run");
    let outcome = tokio::time::timeout(secs(300), late.outcome()).await.expect("it has the slot");
    assert!(matches!(outcome, Ok(Outcome::Completed(_))));
    let second = start("second").await.expect("an engine");
    first.shutdown().await;
    let paused = second.handle("r1").expect("a handle");
    paused.resume().await.expect("it continues");
    assert!(matches!(paused.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_whose_driver_panicked_waits_for_its_slot() {
    let (now, most) = (Arc::default(), Arc::default());
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let (limit, workflow) = (Limit::concurrency("db", 1), two_steps(&now, &most));
    let engine = engine(store.clone()).limit(limit).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r1").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    let late = engine.run("w").id("r2").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    store.fail_calls("read", 1, Mishap::Panic);
    store.fail_next(Fault::Failed(StoreErrorKind::Invalid));
    run.signal("x", &1).await.expect_err("it was not decided");
    tokio::time::sleep(secs(10)).await;
    assert_eq!(engine.blocked().len(), 1, "its driver panicked");
    assert_eq!(now.load(Ordering::SeqCst), 1, "the slot went to the other run");
    run.signal("x", &1).await.expect("it is driven again");
    for run in [run, late] {
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    }
    assert_eq!(most.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_task_keeps_its_slot_while_its_journal_is_unavailable() {
    let (now, most): (Arc<AtomicUsize>, Arc<AtomicUsize>) = Default::default();
    let (counted, highest) = (Arc::clone(&now), Arc::clone(&most));
    let long = move |_cx: Context, (): ()| {
        let (counted, highest) = (Arc::clone(&counted), Arc::clone(&highest));
        async move {
            highest.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(mins(5)).await;
            counted.fetch_sub(1, Ordering::SeqCst);
            TaskResult::Ok(())
        }
    };
    let workflow = Workflow::new("w").node("n", long).limit("cpu").build().expect("a workflow");
    let store = MoodyStore::default();
    let limit = Limit::concurrency("cpu", 1);
    let engine = engine(store.clone()).limit(limit).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r1").start().await.expect("a run");
    let waiting = engine.run("w").id("r2").start().await.expect("a run");
    tokio::time::sleep(Duration::from_secs(1)).await;
    store.is(Moods { away: Some("r1".into()), ..Moods::default() });
    let sent = tokio::spawn(async move { drop(run.signal("news", &1).await) });
    // After `STORE_PATIENCE` the committer gives the write up, and the driver fails to read its journal again and again.
    tokio::time::sleep(Duration::from_secs(150)).await;
    assert_eq!(now.load(Ordering::SeqCst), 1, "the task of the first run goes on, and no other has started");
    store.is(Moods::default());
    sent.await.expect("it is answered");
    waiting.outcome().await.expect("an end");
    assert_eq!(most.load(Ordering::SeqCst), 1);
}
