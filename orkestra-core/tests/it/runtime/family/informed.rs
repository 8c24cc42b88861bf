//! Parents and children are informed of each other, whichever engine drives them, and a dropped child does not run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use orkestra_core::Clock;
use orkestra_core::model::{Amount, WorkerId};
use orkestra_core::prelude::*;
use orkestra_core::store::LetterId;
use orkestra_testkit::{FaultyStore, Mishap, VirtualClock};

use super::super::moody::{Moods, MoodyStore};
use super::super::world::{Effects, children, engine, only_child};
use super::{ms, parent_of, waiting, within};

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_know_the_parent_leaves_a_letter() {
    let store = MemoryStore::new().between_engines();
    let clock = VirtualClock::new();
    let builder = |worker: &str| {
        let engine = Engine::builder().store(store.clone()).clock(clock).worker(worker);
        engine.lease(secs(1)).park_after(ms(100)).workflow(waiting())
    };
    let knows = builder("a").workflow(parent_of("wait")).start().await.expect("an engine");
    let other = builder("b").start().await.expect("an engine");
    let run = knows.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(1500)).await;
    let child = only_child(&other, "r").await.expect("the child");
    child.signal("go", &true).await.expect("it is delivered");
    assert!(within(secs(30), run.output::<bool>()).await.expect("an output"));
    tokio::time::sleep(secs(5)).await;
    assert_eq!(child.status().await.expect("a record").wake_at, None, "it owes nothing");
    assert_eq!(store.letters(run.id(), LetterId::ZERO, 9).await.expect("a store").len(), 0);
}

#[tokio::test(start_paused = true)]
async fn verbs_reach_a_run_whose_tasks_another_engine_knows() {
    let store = MemoryStore::new().between_engines();
    let clock = VirtualClock::new();
    let builder = |worker: &str| {
        let engine = Engine::builder().store(store.clone()).clock(clock).worker(worker);
        engine.lease(secs(1)).park_after(ms(100))
    };
    async fn asks(cx: Context, (): ()) -> TaskResult<String> {
        cx.signal("go").await
    }
    let workflow = Workflow::new("asks").node("n", asks).build().expect("a workflow");
    let knows = builder("a").workflow(workflow).start().await.expect("an engine");
    let other = builder("b").start().await.expect("an engine");
    for (id, verb) in [("r", "signal"), ("s", "cancel"), ("t", "terminate")] {
        let run = knows.run("asks").id(id).start().await.expect("a run");
        tokio::time::sleep(ms(1500)).await;
        let there = other.get(run.id()).await.expect("a store").expect("the run");
        match verb {
            "signal" => there.signal("go", "yes").await.expect("it is delivered"),
            "cancel" => there.cancel("enough").await.expect("it is delivered"),
            _ => there.terminate("now").await.expect("it is delivered"),
        }
        let outcome = within(secs(30), run.outcome()).await.expect("an end");
        let heard = match verb {
            "signal" => Outcome::Completed(Payload::of("yes").expect("json")),
            "cancel" => Outcome::Cancelled("enough".into()),
            _ => Outcome::Terminated("now".into()),
        };
        assert_eq!(outcome, heard);
    }
}

/// A workflow that counts its work, which it does once it has the signal `go`.
fn kid_behind_a_gate(effects: &Effects) -> Workflow {
    let effects = effects.clone();
    let work = move |_cx: Context, (): ()| {
        effects.did("work");
        async { TaskResult::Ok(true) }
    };
    Workflow::new("kid").gate::<bool>("go").node("w", work).after("go").build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_child_ends_without_its_ended_parent() {
    let effects = Effects::default();
    let kid = kid_behind_a_gate(&effects);
    let engine = engine(MemoryStore::new()).workflow(kid).workflow(parent_of("kid")).start().await.expect("an engine");
    let ends = ["cancel", "terminate"];
    for id in ends {
        let run = engine.run("parent").id(id).start().await.expect("a run");
        tokio::time::sleep(secs(3)).await;
        let child = only_child(&engine, id).await.expect("the child");
        match id {
            "cancel" => run.cancel("enough").await.expect("it is accepted"),
            _ => run.terminate("now").await.expect("it is ended"),
        }
        assert!(matches!(child.outcome().await.expect("an end"), Outcome::Cancelled(_)));
        tokio::time::sleep(secs(3)).await;
        assert_eq!(run.status().await.expect("a record").wake_at, None, "{id}");
    }
    assert_eq!(effects.count("work"), 0);
    let all: BTreeSet<_> =
        children(&engine, "cancel").await.into_iter().chain(children(&engine, "terminate").await).collect();
    assert_eq!(all.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_child_cancelled_before_it_exists_never_runs() {
    let effects = Effects::default();
    let counted = effects.clone();
    let charge = move |_cx: Context, (): ()| {
        let counted = counted.clone();
        async move {
            tokio::time::sleep(ms(300)).await;
            counted.did("charge");
            TaskResult::Ok(true)
        }
    };
    async fn listens(cx: Context, (): ()) -> TaskResult<bool> {
        tokio::select! {
            done = cx.child("c", "charges", ()) => done,
            () = cx.cancelled() => Err(TaskError::permanent("cancelled")),
        }
    }
    async fn fails(_cx: Context, (): ()) -> TaskResult<()> {
        tokio::time::sleep(ms(50)).await;
        Err(TaskError::permanent("no luck"))
    }
    let plain = Workflow::new("plain").node("n", listens);
    let late = Workflow::new("late").node("n", async |cx: Context, (): ()| cx.child::<bool>("c", "charges", ()).await);
    let store = MoodyStore::default();
    let engine = engine(store.clone())
        .workflow(Workflow::new("charges").node("charge", charge).build().expect("a workflow"))
        .workflow(Workflow::new("listens").node("n", listens).build().expect("a workflow"))
        .workflow(plain.node("fails", fails).build().expect("a workflow"))
        .workflow(late.timeout(ms(50)).build().expect("a workflow"));
    let engine = engine.start().await.expect("an engine");
    for (workflow, ended) in [("listens", "cancel"), ("listens", "terminate"), ("plain", "fails"), ("late", "time")] {
        store.is(Moods { record_takes: ms(200), ..Moods::default() });
        let run = engine.run(workflow).id(ended).start().await.expect("a run");
        tokio::time::sleep(ms(50)).await;
        match ended {
            "cancel" => run.cancel("not any more").await.expect("it is accepted"),
            "terminate" => run.terminate("now").await.expect("it is ended"),
            _ => {}
        }
        run.outcome().await.expect("an end");
        tokio::time::sleep(secs(2)).await;
        store.is(Moods::default());
        let child = only_child(&engine, ended).await.expect("something stands in its place");
        let record = child.status().await.expect("a record");
        assert_eq!((record.status, record.wake_at), (RunStatus::Cancelled, None), "{ended}");
        assert_eq!(record.workflow, Name::new("charges").expect("a name"));
        assert_eq!(run.status().await.expect("a record").wake_at, None, "{ended}");
        child.delete().await.expect("it can go");
    }
    assert_eq!(effects.count("charge"), 0);
}

#[tokio::test(start_paused = true)]
async fn failed_reads_do_not_separate_a_parent_from_its_child() {
    for failing_reads in 1..8 {
        let store = MoodyStore::default();
        let builder = || engine(store.clone()).workflow(waiting()).workflow(parent_of("wait"));
        let first = builder().start().await.expect("an engine");
        let run = first.run("parent").id("r").start().await.expect("a run");
        tokio::time::sleep(ms(50)).await;
        let child = only_child(&first, "r").await.expect("the child").id().clone();
        first.shutdown().await;

        store.is(Moods { failing_reads, ..Moods::default() });
        let second = builder().start().await.expect("an engine");
        let child = second.get(&child).await.expect("a store").expect("the child");
        tokio::time::sleep(ms(2500)).await;
        within(secs(60), async { while child.signal("go", &true).await.is_err() {} }).await;
        let run = second.get(run.id()).await.expect("a store").expect("the parent");
        assert!(within(secs(120), run.output::<bool>()).await.expect("an output"), "{failing_reads}");
        second.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_deleted_child_is_not_started_again_by_a_late_check() {
    let effects = Effects::default();
    let kid = kid_behind_a_gate(&effects);
    async fn twice(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child::<bool>("c", "kid", ()).await?;
        cx.signal("go").await
    }
    let parents = Workflow::new("parent").node("p", twice).build().expect("a workflow");
    let store = MoodyStore::default();
    let builder = || engine(store.clone()).workflow(kid.clone()).workflow(parents.clone());
    let first = builder().start().await.expect("an engine");
    let run = first.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(50)).await;
    let id = only_child(&first, "r").await.expect("the child").id().clone();
    first.shutdown().await;

    // The parent checks whether its child exists; meanwhile the child ends, informs the parent, and is deleted.
    store.is(Moods { record_takes: secs(3), ..Moods::default() });
    let second = builder().start().await.expect("an engine");
    tokio::time::sleep(ms(10)).await;
    store.is(Moods::default());
    let child = second.get(&id).await.expect("a store").expect("the child");
    child.signal("go", &true).await.expect("it is delivered");
    child.outcome().await.expect("it ends");
    tokio::time::sleep(ms(500)).await;
    child.delete().await.expect("it has told");
    tokio::time::sleep(secs(30)).await;
    assert_eq!(children(&second, "r").await.len(), 0);
    let run = second.get(run.id()).await.expect("a store").expect("the parent");
    run.signal("go", &true).await.expect("it is delivered");
    assert!(run.output::<bool>().await.expect("an output"));
    assert_eq!(effects.count("work"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_paused_parent_is_informed_of_its_child() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    for id in ["pause", "budget"] {
        let run =
            engine.run("parent").id(id).budget("usd", Amount::whole(1)).expect("a meter").start().await.expect("a run");
        tokio::time::sleep(secs(3)).await;
        let child = only_child(&engine, id).await.expect("the child");
        match id {
            "pause" => run.pause("lunch").await.expect("it is accepted"),
            _ => run.set_budget("usd", Some(Amount::whole(0))).await.expect("it is set"),
        }
        child.signal("go", &true).await.expect("it is delivered");
        child.outcome().await.expect("it ends");
        tokio::time::sleep(secs(30)).await;
        assert_eq!(run.status().await.expect("a record").status, RunStatus::Paused);
        assert_eq!(child.status().await.expect("a record").wake_at, None, "it has told");
        child.delete().await.expect("it can go");
        run.set_budget("usd", None).await.expect("it is set");
        run.resume().await.expect("it continues");
        assert!(within(secs(30), run.output::<bool>()).await.expect("an output"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_reopened_child_does_not_affect_its_parent() {
    let calls = Arc::new(AtomicU32::new(0));
    let task = move |_cx: Context, (): ()| {
        let first = calls.fetch_add(1, Ordering::SeqCst) == 0;
        async move { if first { Err(TaskError::permanent("no luck")) } else { Ok(true) } }
    };
    let kid = Workflow::new("kid").node("k", task).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(kid).workflow(parent_of("kid")).start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Failed { .. }));
    let child = only_child(&engine, "r").await.expect("the child");
    child.retry("k").await.expect("it is retried");
    assert!(child.output::<bool>().await.expect("an output"));
    tokio::time::sleep(secs(30)).await;
    assert_eq!(child.status().await.expect("a record").wake_at, None, "it owes nothing");
    // The parent requests again, and gets a new child.
    run.retry("p").await.expect("it is retried");
    assert!(within(secs(30), run.output::<bool>()).await.expect("an output"));
    assert_eq!(children(&engine, "r").await.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_background_job_that_panics_is_run_again() {
    async fn lets_go(cx: Context, (): ()) -> TaskResult<()> {
        drop(tokio::time::timeout(secs(20), cx.child::<bool>("c", "wait", ())).await);
        // Busy: otherwise the check would be repeated only by events of the run.
        for number in 0..2000 {
            cx.emit("n", number);
            tokio::time::sleep(ms(50)).await;
        }
        Ok(())
    }
    let (disk, clock) = (MemoryStore::new().between_engines(), VirtualClock::new());
    let store = FaultyStore::new(Arc::new(disk.clone()));
    let workflow = Workflow::new("parent").node("p", lets_go).build().expect("a workflow");
    let builder = Engine::builder().store(store.clone()).clock(clock).lease(secs(2)).park_after(ms(100));
    let engine = builder.workflow(workflow).workflow(waiting()).start().await.expect("an engine");
    engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    let child = only_child(&engine, "r").await.expect("the child");
    // Another worker owns the child when it is to be cancelled.
    let (other, now) = (WorkerId::new("other").expect("a name"), clock.now());
    let claimed = disk.claim(&[child.id().clone()], &other, now, now.saturating_add(secs(20))).await.expect("a store");
    assert!(claimed[0].is_some());
    store.fail_calls("send", 1, Mishap::Panic);
    tokio::time::sleep(secs(60)).await;
    assert_eq!(child.status().await.expect("a record").status, RunStatus::Cancelled);
}
