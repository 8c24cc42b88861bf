//! The process may die after any commit, acknowledged or not: the run continues, and acknowledged work is not repeated.

use std::num::NonZeroU32;
use std::sync::Arc;

use orkestra_core::prelude::*;
use orkestra_core::store::{Snapshot, StoreErrorKind};
use orkestra_testkit::{Fault, FaultyStore};

use super::world::{Effects, engine, journal};

/// A run with every feature: two branches, steps, a retry, a wait, a gate, growth, reports.
fn workflow(effects: &Effects) -> Workflow {
    let effects = effects.clone();
    let work = move |cx: Context, (): ()| {
        let effects = effects.clone();
        async move {
            for step in 0..3 {
                let key = format!("{}/{step}", cx.node());
                cx.emit("working", &key);
                cx.step(&*key, || async {
                    effects.did(&key);
                    TaskResult::Ok(step)
                })
                .await?;
            }
            cx.sleep(secs(60)).await?;
            let once = format!("{}/once", cx.node());
            let result = cx
                .step(&*once, || async {
                    effects.did(&once);
                    TaskResult::Ok(())
                })
                .at_most_once()
                .await;
            if let Err(error) = result
                && error.failure().kind != "interrupted"
            {
                return Err(error);
            }
            if cx.attempt() == 1 {
                return Err(TaskError::new("the first attempt fails"));
            }
            let name = Name::new(format!("{}-grown", cx.node()))?;
            cx.grow("more", Growth::new().with_node(NodeSpec::task(name, Name::new("leaf")?))).await?;
            Ok(())
        }
    };
    Workflow::new("all")
        .node("a", work.clone())
        .retry(Retry::exponential(2))
        .node("b", work)
        .retry(Retry::immediate(2))
        .gate::<u32>("go")
        .after("a")
        .node("end", |_cx: Context, (): ()| async { TaskResult::Ok(()) })
        .after_all(["go", "b"])
        .build()
        .expect("a workflow")
}

async fn start(store: impl Store, effects: &Effects) -> Engine {
    let leaf = |_cx: Context, (): ()| async { TaskResult::Ok(()) };
    engine(store).workflow(workflow(effects)).task("leaf", leaf).start().await.expect("an engine")
}

async fn go_on(engine: &Engine) -> Result<Run, Error> {
    let run = engine.run("all").id("r").start().await?;
    run.signal("go", &1).await?;
    Ok(run)
}

#[tokio::test(start_paused = true)]
async fn a_crash_at_any_write_repeats_nothing() {
    let effects = Effects::default();
    let counting = FaultyStore::new(Arc::new(MemoryStore::new()));
    let engine = start(counting.clone(), &effects).await;
    go_on(&engine).await.expect("a run").outcome().await.expect("an outcome");
    engine.shutdown().await;
    let writes = counting.appends();
    assert!(writes > 10, "{writes}");
    for nth in 1..=writes {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            crash_and_continue(nth, fault).await;
        }
    }
}

async fn crash_and_continue(nth: u64, fault: Fault) {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let crashing = FaultyStore::new(Arc::new(store.clone())).with_fault(nth, fault);
    let engine = start(crashing, &effects).await;
    if let Ok(run) = go_on(&engine).await {
        // Ends with the process, or with the run when only the acknowledgement of its last write was lost.
        drop(run.outcome().await);
    }
    engine.shutdown().await;
    let memo = remembered(&store).await;
    store.drop_leases();

    let engine = start(store.clone(), &effects).await;
    let run = engine.run("all").id("r").start().await.expect("the same run, or a new one");
    if !run.status().await.expect("a record").status.is_final() {
        // The signal may have arrived already: then the second one stays unread.
        run.signal("go", &1).await.expect("taken");
    }
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))), "{fault:?} at {nth}");
    for node in ["a", "b"] {
        for step in 0..3 {
            let key = format!("{node}/{step}");
            let most = if memo.contains(&key) { 1 } else { 2 };
            assert!((1..=most).contains(&effects.count(&key)), "{key}, {fault:?} at {nth}, {memo:?}");
        }
        assert!(effects.count(&format!("{node}/once")) <= 1, "at most once, {fault:?} at {nth}");
    }
    engine.shutdown().await;
}

/// The steps that are durable by now.
async fn remembered(store: &MemoryStore) -> Vec<String> {
    let id = RunId::new("r").expect("an id");
    let commits = store.read(&id, Seq(1), usize::MAX).await.expect("memory");
    let events = commits.iter().flat_map(|written| {
        orkestra_core::journal::decode(&id, written.first, written.last, &written.body).expect("ours").events
    });
    let steps = events.filter_map(|event| match event {
        Event::StepCompleted { step, .. } => Some(step),
        _ => None,
    });
    steps.collect()
}

/// A task that ends its process whenever it runs, until it is mended.
#[tokio::test(start_paused = true)]
async fn a_run_that_keeps_losing_its_process_is_paused_and_told() {
    let store = MemoryStore::new();
    let lives = |fault: Option<u64>| {
        let store = FaultyStore::new(Arc::new(store.clone()));
        let store = fault.map_or(store.clone(), |nth| store.with_fault(nth, Fault::CrashBefore));
        let kills = move |cx: Context, (): ()| async move {
            cx.step(
                "kills",
                async || if fault.is_some() { Err(TaskError::new("lost with the process")) } else { Ok(7) },
            )
            .await
        };
        engine(store).workflow(Workflow::new("w").node("kills", kills).build().expect("a workflow"))
    };
    let limit = NonZeroU32::new(3).expect("not zero");
    // The first life writes the run and its attempt, the next ones that they take it over. Then comes the step's end.
    for (life, fault) in [2, 2, 2].into_iter().enumerate() {
        let engine = lives(Some(fault)).start().await.expect("an engine");
        // A later life may be lost before it answers.
        if let Ok(run) = engine.run("w").id("r").lost_processes_max(limit).start().await {
            assert!(run.outcome().await.is_err(), "life {life} is lost");
        }
        engine.shutdown().await;
        store.drop_leases();
    }
    let engine = lives(None).start().await.expect("an engine");
    let run = engine.get("r").await.expect("a store").expect("it exists");
    let mut events = run.events(Cursor::START);
    let mut lost = 0;
    let reason = loop {
        match events.next().await.expect("readable").expect("it is live").event {
            Event::Recovered => lost += 1,
            Event::RunPaused { reason } => break reason,
            _ => {}
        }
    };
    assert_eq!(lost, 3);
    assert_eq!(
        reason.to_string(),
        "the process was lost 3 times in a row while node `kills` ran; node `kills` may have ended it"
    );
    run.resume().await.expect("a person decides");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_parked_run_wakes_in_another_process() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let first = start(store.clone(), &effects).await;
    let run = first.run("all").id("r").start().await.expect("a run");
    tokio::time::sleep(days(1)).await;
    let record = run.status().await.expect("a record");
    assert_eq!(record.wake_at, None, "only the gate is left to wait for");
    first.shutdown().await;
    drop(first);

    let second = start(store, &effects).await;
    let run = second.get(run.id()).await.expect("readable").expect("there");
    run.signal("go", &1).await.expect("the parked run takes it");
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
}

#[tokio::test(start_paused = true)]
async fn cancelling_does_not_wait_for_tasks_that_are_not_running() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let first = start(store.clone(), &effects).await;
    let run = first.run("all").id("r").start().await.expect("a run");
    first.shutdown().await;

    let second = start(store, &effects).await;
    let begun = tokio::time::Instant::now();
    let run = second.get(run.id()).await.expect("readable").expect("there");
    run.cancel("enough").await.expect("asked");
    assert_eq!(run.outcome().await.expect("an outcome"), Outcome::Cancelled("enough".into()));
    assert!(begun.elapsed() < secs(1), "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_run_without_its_task_is_blocked_with_a_reason() {
    let (store, effects) = (MemoryStore::new(), Effects::default());
    let first = start(store.clone(), &effects).await;
    let run = first.run("all").id("r").start().await.expect("a run");
    first.shutdown().await;

    let second = engine(store.clone()).start().await.expect("an engine that knows nothing");
    let run = second.get(run.id()).await.expect("readable").expect("there");
    let error = run.outcome().await.expect_err("no engine can continue it");
    assert_eq!(error.to_string(), "workflow `all` needs task `a`, which is not registered with this engine");
    assert_eq!(second.blocked().len(), 1);
    second.shutdown().await;

    let third = start(store, &effects).await;
    let run = go_on(&third).await.expect("nothing was lost");
    assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))));
}

#[tokio::test(start_paused = true)]
async fn a_failed_write_anywhere_repeats_and_interrupts_nothing() {
    let passing = [Fault::UnknownWritten, Fault::UnknownLost, Fault::Conflict, Fault::Failed(StoreErrorKind::Io)];
    // The last fault is not retried: the driver reloads its journal and decides again.
    for fault in passing.into_iter().chain([Fault::Failed(StoreErrorKind::Invalid)]) {
        for nth in 1..40 {
            let effects = Effects::default();
            let store = FaultyStore::new(Arc::new(MemoryStore::new())).with_fault(nth, fault);
            let engine = start(store, &effects).await;
            let run = go_on(&engine).await.expect("a delay");
            assert!(matches!(run.outcome().await, Ok(Outcome::Completed(_))), "{fault:?} at {nth}");
            for node in ["a", "b"] {
                for step in ["0", "1", "2", "once"] {
                    assert_eq!(effects.count(&format!("{node}/{step}")), 1, "{fault:?} at {nth}: {node}/{step}");
                }
            }
            let events = journal(&run).await;
            assert!(!events.contains(&Event::Recovered), "{fault:?} at {nth}: no process was lost");
            let signals = |event: &&Event| matches!(event, Event::SignalReceived { .. });
            assert_eq!(events.iter().filter(signals).count(), 1, "{fault:?} at {nth}");
            let reports = |event: &&Event| matches!(event, Event::Emitted { .. });
            assert_eq!(events.iter().filter(reports).count(), 18, "{fault:?} at {nth}: two nodes, called three times");
            engine.shutdown().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_run_continues_from_its_snapshot() {
    let effects = Effects::default();
    let counted = effects.clone();
    let counts = move |cx: Context, (): ()| {
        let effects = counted.clone();
        async move {
            for number in 0..40 {
                let effects = &effects;
                cx.step("count", || async {
                    effects.did("count");
                    TaskResult::Ok(number)
                })
                .await?;
            }
            cx.signal::<u64>("go").await
        }
    };
    let workflow = Workflow::new("w").node("n", counts).build().expect("a workflow");
    let store = MemoryStore::new();
    let start = || engine(store.clone()).snapshot_every(8).workflow(workflow.clone());
    let first = start().start().await.expect("an engine");
    let run = first.run("w").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    first.shutdown().await;
    let snapshot = store.snapshot(run.id()).await.expect("a store").expect("a snapshot");
    assert!(snapshot.last >= Seq(24), "they are at most half a journal apart: {}", snapshot.last);

    let second = start().start().await.expect("an engine");
    tokio::time::sleep(secs(5)).await;
    second.shutdown().await;
    let damaged = Snapshot { bytes: b"no snapshot"[..].into(), ..snapshot };
    store.put_snapshot(run.id(), &damaged).await.expect("a store");
    let third = start().start().await.expect("an engine");
    let run = third.get(run.id()).await.expect("a store").expect("the run");
    run.signal("go", &7_u64).await.expect("it continues from its journal");
    assert_eq!(run.output::<u64>().await.expect("an output"), 7);
    assert_eq!(effects.count("count"), 40);
}
