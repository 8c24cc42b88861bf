//! A fault stays local: a failed write or read ends no healthy task, a panic blocks one run, and callers only see a
//! delay.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orkestra_core::prelude::*;
use orkestra_core::store::StoreErrorKind;
use orkestra_testkit::{Fault, FaultyStore, Mishap};

use super::world::{Effects, engine, journal};

const IO: Mishap = Mishap::Failed(StoreErrorKind::Io);

fn faulty() -> FaultyStore {
    FaultyStore::new(Arc::new(MemoryStore::new()))
}

/// Two nodes side by side: one with a long step, one with short steps whose writes the tests let fail.
fn two_nodes(effects: &Effects, once: bool) -> Workflow {
    let counted = effects.clone();
    let long = move |cx: Context, _: u64| {
        let effects = counted.clone();
        async move {
            let effects = &effects;
            let step = cx.step("long", || async {
                effects.did("long");
                tokio::time::sleep(secs(600)).await;
                TaskResult::Ok(())
            });
            if once { step.at_most_once().await } else { step.await }
        }
    };
    let counted = effects.clone();
    let short = move |cx: Context, steps: u64| {
        let effects = counted.clone();
        async move {
            tokio::time::sleep(secs(1)).await;
            for number in 0..steps {
                let effects = &effects;
                let name = &format!("s{number}.");
                cx.step(name.as_str(), || async move {
                    effects.did(name);
                    TaskResult::Ok(())
                })
                .await?;
            }
            Ok::<_, TaskError>(())
        }
    };
    Workflow::new("w").node("long", long).node("short", short).build().expect("a workflow")
}

async fn all_steps_once(once: bool, steps: u64) {
    let (store, effects) = (faulty(), Effects::default());
    let engine = engine(store.clone()).workflow(two_nodes(&effects, once)).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&steps).expect("an input").start().await.expect("a run");
    for number in 0..steps {
        store.fail_body(&format!("\"step\":\"s{number}.\""));
        while store.waits_for_body() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!(effects.count("long"), 1, "a failed write of another node ends no healthy task");
    assert_eq!(effects.count("s0."), 1);
    assert!(!journal(&run).await.contains(&Event::Recovered), "no process was lost");
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_of_another_node_does_not_interrupt_a_step() {
    all_steps_once(true, 1).await;
}

#[tokio::test(start_paused = true)]
async fn failed_writes_do_not_count_as_lost_processes() {
    all_steps_once(false, 20).await;
}

#[tokio::test(start_paused = true)]
async fn a_transient_write_failure_only_delays_callers() {
    for fault in [
        Fault::UnknownWritten,
        Fault::UnknownLost,
        Fault::Conflict,
        Fault::Failed(StoreErrorKind::Io),
        Fault::Failed(StoreErrorKind::Busy),
    ] {
        let store = faulty();
        let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
        let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
        store.fail_next(fault);
        let run = engine.run("w").id("r").start().await.expect("a run");
        store.fail_next(fault);
        run.signal("go", &7_u64).await.expect("only a delay, not an error");
        store.fail_next(fault);
        assert_eq!(run.output::<u64>().await.expect("an output"), 7, "{fault:?}");
        let signals = |event: &Event| matches!(event, Event::SignalReceived { .. });
        assert_eq!(journal(&run).await.iter().filter(|event| signals(event)).count(), 1, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_unavailable_store_is_retried_for_a_minute() {
    let store = faulty();
    let effects = Effects::default();
    let engine = engine(store.clone()).workflow(two_nodes(&effects, true)).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&1_u64).expect("an input").start().await.expect("a run");
    let away = store.with_random_faults(1, 1, &[Fault::Failed(StoreErrorKind::Io)]);
    let began = tokio::time::Instant::now();
    tokio::time::sleep(secs(30)).await;
    let health = engine.health().await;
    assert!(!health.is_good() && health.commits_failing > 0 && health.blocked == 0, "{health:?}");
    let error = run.outcome().await.expect_err("no caller waits for ever");
    assert_eq!(error.kind(), ErrorKind::Store);
    let waited = began.elapsed();
    assert!((secs(60)..secs(75)).contains(&waited), "{waited:?}");
    assert_eq!(engine.blocked().len(), 1);
    let error = run.signal("hello", &1).await.expect_err("it is tried at once, and fails still");
    assert_eq!(error.kind(), ErrorKind::Store);
    away.heal();
    tokio::time::sleep(secs(60)).await;
    assert_eq!(engine.blocked().len(), 0);
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!([effects.count("long"), effects.count("s0.")], [1, 1], "no task is lost, however long it takes");
    assert!(!journal(&run).await.contains(&Event::Recovered), "no process was lost");
}

#[tokio::test(start_paused = true)]
async fn an_engine_whose_store_is_unavailable_shuts_down() {
    for minutes in [0, 1, 3] {
        let store = faulty();
        let effects = Effects::default();
        let engine = engine(store.clone()).workflow(two_nodes(&effects, false)).start().await.expect("an engine");
        engine.run("w").id("r").input(&1_u64).expect("an input").start().await.expect("a run");
        let _away = store.with_random_faults(1, 1, &[Fault::Failed(StoreErrorKind::Io)]);
        tokio::time::sleep(secs(10 + 60 * minutes)).await;
        tokio::time::timeout(secs(20), engine.shutdown()).await.expect("it ends");
    }
}

#[tokio::test(start_paused = true)]
async fn transient_read_failures_are_retried() {
    let store = faulty();
    let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    for method in ["record", "claim", "read"] {
        store.fail_calls(method, 3, IO);
    }
    let waiting = tokio::spawn({
        let run = run.clone();
        async move { run.output::<u64>().await }
    });
    run.signal("go", &7_u64).await.expect("a delay");
    store.fail_calls("record", 3, IO);
    assert_eq!(waiting.await.expect("it does not panic").expect("an output"), 7);
    store.fail_calls("record", 1, Mishap::Panic);
    assert_eq!(run.output::<u64>().await.expect("a panic of the store is a failed read"), 7);
}

#[tokio::test(start_paused = true)]
async fn other_runs_continue_while_one_write_is_retried() {
    let store = faulty();
    let engine =
        engine(store.clone()).workflow(two_nodes(&Effects::default(), false)).start().await.expect("an engine");
    let start = |id: &'static str, steps: u64| engine.run("w").id(id).input(&steps).expect("an input").start();
    let (slow, fast) = (start("slow", 1).await.expect("a run"), start("fast", 3).await.expect("a run"));
    for _ in 0..5 {
        store.fail_body("\"step\":\"s0.\"");
        while store.waits_for_body() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    for run in [slow, fast] {
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    }
}

/// A task that runs while the journal is reloaded: its requests in the meantime are decided again.
#[tokio::test(start_paused = true)]
async fn a_task_continues_while_its_driver_reloads_the_journal() {
    let (store, effects) = (faulty(), Effects::default());
    let engine = engine(store.clone()).workflow(two_nodes(&effects, true)).start().await.expect("an engine");
    let run = engine.run("w").id("r").input(&3_u64).expect("an input").start().await.expect("a run");
    tokio::time::sleep(Duration::from_millis(500)).await;
    // The store reports an invalid request, which is not retried.
    store.fail_next(Fault::Failed(StoreErrorKind::Invalid));
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!([effects.count("long"), effects.count("s0."), effects.count("s2.")], [1, 1, 1]);
    assert!(!journal(&run).await.contains(&Event::Recovered), "no process was lost");
}

/// The journal is reloaded to find the outcome, and reading fails too, after the run was claimed again.
#[tokio::test(start_paused = true)]
async fn a_task_continues_while_claims_and_reads_fail_too() {
    for (method, times) in [("claim", 3), ("read", 1), ("read", 2), ("read", 3), ("read", 9)] {
        let (store, effects) = (faulty(), Effects::default());
        let engine = engine(store.clone()).workflow(two_nodes(&effects, true)).start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&3_u64).expect("an input").start().await.expect("a run");
        tokio::time::sleep(Duration::from_millis(500)).await;
        store.fail_calls(method, times, IO);
        store.fail_next(Fault::Failed(StoreErrorKind::Invalid));
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))), "{method}");
        assert_eq!([effects.count("long"), effects.count("s0."), effects.count("s2.")], [1, 1, 1], "{method}");
        assert!(!journal(&run).await.contains(&Event::Recovered), "{method}: no process was lost");
    }
}

#[tokio::test(start_paused = true)]
async fn limits_hold_when_the_first_read_of_holders_fails() {
    static NOW: AtomicUsize = AtomicUsize::new(0);
    static MOST: AtomicUsize = AtomicUsize::new(0);
    async fn work(cx: Context, (): ()) -> TaskResult<()> {
        cx.step("x", || async {
            MOST.fetch_max(NOW.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(secs(100)).await;
            NOW.fetch_sub(1, Ordering::SeqCst);
            TaskResult::Ok(())
        })
        .await
    }
    for (failures, mishap) in [(0, IO), (1, IO), (5, IO), (1, Mishap::Panic)] {
        let store = faulty();
        let workflow = Workflow::new("w").node("n", work).limit("db").build().expect("a workflow");
        let start = || {
            let limit = Limit::concurrency("db", 1);
            engine(store.clone()).worker("me").limit(limit).workflow(workflow.clone()).start()
        };
        let first = start().await.expect("an engine");
        first.run("w").id("r1").start().await.expect("a run");
        tokio::time::sleep(secs(1)).await;
        first.shutdown().await;
        NOW.store(0, Ordering::SeqCst);
        MOST.store(0, Ordering::SeqCst);
        store.fail_calls("due", failures, mishap);
        let second = start().await.expect("an engine anyway");
        let late = second.run("w").id("r2").start().await.expect("a run");
        let early = second.get(&RunId::new("r1").expect("an id")).await.expect("a store").expect("the run");
        for run in [early, late] {
            assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
        }
        assert_eq!(MOST.load(Ordering::SeqCst), 1, "{failures} failed looks: {mishap:?}");
        second.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_driver_blocks_its_run_with_the_message() {
    let store = faulty();
    let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    let other = engine.run("w").id("other").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    assert_eq!(engine.health().await.live, 0, "they are parked");
    let waiting = tokio::spawn({
        let run = run.clone();
        async move { run.outcome().await }
    });
    // Waiting callers also read the journal from time to time, to check that it is readable.
    tokio::time::sleep(Duration::from_millis(500)).await;
    store.fail_calls("read", 1, Mishap::Panic);
    let message = "the run's driver panicked: the faulty store panics";
    let error = run.signal("go", &7_u64).await.expect_err("it was not decided");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Internal, message));
    let error = waiting.await.expect("it does not panic").expect_err("no engine drives it");
    assert_eq!(error.to_string(), message);
    assert_eq!(
        engine.blocked().iter().map(|(run, why)| format!("{run}: {why}")).collect::<Vec<_>>(),
        [format!("r: {message}")]
    );
    assert_eq!(engine.health().await.live, 0, "its lease is released");

    other.signal("go", &8_u64).await.expect("other runs continue");
    assert_eq!(other.output::<u64>().await.expect("an output"), 8);
    run.signal("go", &7_u64).await.expect("a new request is tried again");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
    engine.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn a_panicking_store_stops_no_part_of_the_engine() {
    async fn rests(cx: Context, (): ()) -> TaskResult<()> {
        cx.sleep(secs(100)).await
    }
    for method in ["append", "claim", "release", "due", "renew", "keys", "letters", "list", "discard", "put_snapshot"] {
        let store = FaultyStore::new(Arc::new(MemoryStore::new().between_engines()));
        let workflow = Workflow::new("w").node("n", rests).build().expect("a workflow");
        let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
        store.fail_calls(method, 1, Mishap::Panic);
        let run = engine.run("w").id("r").start().await.expect("a run");
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))), "{method}");
        engine.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn unreadable_letters_end_no_task() {
    let (disk, effects) = (MemoryStore::new().between_engines(), Effects::default());
    let store = FaultyStore::new(Arc::new(disk.clone()));
    let driving = engine(store.clone()).workflow(two_nodes(&effects, true)).start().await.expect("an engine");
    let other = engine(disk).runs_max(0).workflow(two_nodes(&effects, true)).start().await.expect("an engine");
    let run = driving.run("w").id("r").input(&0_u64).expect("an input").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    store.fail_calls("letters", 3, IO);
    let told = other.get(run.id()).await.expect("a store").expect("the run");
    told.signal("hello", &1_u64).await.expect("a letter");
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
    assert_eq!(effects.count("long"), 1);
    assert!(journal(&run).await.iter().any(|event| matches!(event, Event::SignalReceived { .. })));
}

#[tokio::test(start_paused = true)]
async fn events_end_only_when_the_run_has_ended() {
    // So many steps that the end of the first failure is the last event of a page, or close to it.
    for steps in 508..514_u64 {
        let fails = Arc::new(AtomicUsize::new(0));
        let work = move |cx: Context, steps: u64| {
            let fails = Arc::clone(&fails);
            async move {
                for number in 0..steps {
                    cx.step(format!("s{number}"), || async { TaskResult::Ok(()) }).await?;
                }
                if fails.fetch_add(1, Ordering::SeqCst) == 0 { Err(TaskError::permanent("no")) } else { Ok(()) }
            }
        };
        let workflow = Workflow::new("w").node("n", work).build().expect("a workflow");
        let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
        let run = engine.run("w").id("r").input(&steps).expect("an input").start().await.expect("a run");
        assert!(matches!(run.outcome().await, Ok(Outcome::Failed { .. })));
        run.retry("n").await.expect("it continues");
        assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
        let events = journal(&run).await;
        assert!(matches!(events.last(), Some(Event::RunCompleted { .. })), "{steps} steps: {:?}", events.last());
    }
}

#[tokio::test(start_paused = true)]
async fn transient_failures_of_large_payloads_are_retried() {
    let effects = Effects::default();
    let counted = effects.clone();
    let large = move |cx: Context, text: String| {
        let effects = counted.clone();
        async move {
            let (effects, text) = (&effects, &text);
            effects.did("call");
            cx.step("large", || async move {
                effects.did("step");
                TaskResult::Ok(text.clone())
            })
            .await
        }
    };
    let store = faulty();
    let workflow = Workflow::new("w").node("n", large).build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    for method in ["put_blob", "blob"] {
        store.fail_calls(method, 3, IO);
    }
    let text = "x".repeat(400_000);
    let run = engine.run("w").id("r").input(&text).expect("an input").start().await.expect("a delay");
    run.outcome().await.expect("an outcome");
    store.fail_calls("blob", 3, IO);
    assert_eq!(run.output::<String>().await.expect("an output").len(), 400_000);
    assert_eq!([effects.count("call"), effects.count("step")], [1, 1], "no attempt was lost");
}

#[tokio::test(start_paused = true)]
async fn a_failed_release_of_a_lease_is_retried() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()));
    let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
    let start = || engine(store.clone()).workflow(workflow.clone()).start();
    let first = start().await.expect("an engine");
    first.run("w").id("r").start().await.expect("a run");
    store.fail_calls("release", 2, IO);
    first.shutdown().await;
    let second = start().await.expect("an engine");
    let run = second.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the run");
    let began = tokio::time::Instant::now();
    run.signal("go", &7_u64).await.expect("a signal");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
    assert!(began.elapsed() < secs(1), "no engine waits for a lease to expire");
}

#[tokio::test(start_paused = true)]
async fn a_panic_during_a_delete_is_reported_and_releases_the_run() {
    let store = faulty();
    let workflow = Workflow::new("w").node("n", |_: Context, (): ()| async { TaskResult::Ok(1_u64) }).build();
    let engine = engine(store.clone()).workflow(workflow.expect("a workflow")).start().await.expect("an engine");
    for (number, (method, nth)) in [("record", 0), ("record", 1), ("delete", 0)].into_iter().enumerate() {
        let run = engine.run("w").id(format!("r{number}")).start().await.expect("a run");
        run.outcome().await.expect("an outcome");
        // The second read of the record is made under the run's lease, which is then released.
        let error = if nth == 0 {
            store.fail_calls(method, 1, Mishap::Panic);
            run.delete().await.expect_err("the store panics")
        } else {
            let deleting = run.delete();
            tokio::pin!(deleting);
            assert!(futures_util::poll!(&mut deleting).is_pending());
            store.fail_calls(method, 1, Mishap::Panic);
            deleting.await.expect_err("the store panics")
        };
        assert!(error.to_string().contains("the faulty store panics"), "{method} {nth}: {error}");
        run.delete().await.expect("the run is free again");
        assert!(engine.get(run.id()).await.expect("a store").is_none(), "{method} {nth}");
    }
}
