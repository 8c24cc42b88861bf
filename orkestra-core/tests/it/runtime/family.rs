//! Parents and children: whose a child is, what becomes of it when its parent lets it go, and that each hears of the
//! other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use orkestra_core::model::{Amount, Parent};
use orkestra_core::prelude::*;
use orkestra_core::store::LetterId;
use orkestra_testkit::VirtualClock;

use super::moody::{Moods, MoodyStore};
use super::world::{Effects, children, engine, journal, only_child};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

async fn double(_cx: Context, number: u64) -> TaskResult<u64> {
    Ok(2 * number)
}

fn doubling() -> Workflow {
    Workflow::new("double").node("d", double).build().expect("a workflow")
}

fn waiting() -> Workflow {
    Workflow::new("wait").gate::<bool>("go").build().expect("a workflow")
}

fn parent_of(child: &'static str) -> Workflow {
    let task = move |cx: Context, (): ()| async move { cx.child::<bool>("c", child, ()).await };
    Workflow::new("parent").node("p", task).build().expect("a workflow")
}

async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, work).await.expect("it does not take so long")
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_deleted_and_begun_again_has_children_of_its_own() {
    async fn parent(cx: Context, number: u64) -> TaskResult<u64> {
        cx.child("one", "double", number).await
    }
    let parents = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(doubling()).workflow(parents).start().await.expect("an engine");
    for (given, wanted) in [(21_u64, 42), (50, 100), (7, 14)] {
        let run = engine.run("parent").id("order-7").input(&given).expect("json").start().await.expect("a run");
        assert_eq!(run.output::<u64>().await.expect("an output"), wanted);
        tokio::time::sleep(secs(5)).await;
        run.delete().await.expect("it goes");
    }
    assert_eq!(children(&engine, "order-7").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn after_a_retry_each_item_has_a_child_of_its_own() {
    let up = Arc::new(AtomicU32::new(0));
    let is_up = Arc::clone(&up);
    let ship = move |_cx: Context, item: u64| {
        let locked = item == 1 && is_up.load(Ordering::SeqCst) == 0;
        async move { if locked { Err(TaskError::permanent("locked")) } else { Ok(format!("receipt of {item}")) } }
    };
    async fn all(cx: Context, (): ()) -> TaskResult<Vec<String>> {
        let (mut done, mut failed) = (Vec::new(), None);
        for item in 1..=3_u64 {
            match cx.child::<String>("item", "ship", item).await {
                Ok(one) => done.push(one),
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(done), Err)
    }
    let engine = engine(MemoryStore::new())
        .workflow(Workflow::new("ship").node("s", ship).build().expect("a workflow"))
        .workflow(Workflow::new("all").node("all", all).build().expect("a workflow"));
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("all").id("order").start().await.expect("a run");
    assert!(matches!(run.outcome().await.expect("an end"), Outcome::Failed { .. }));
    up.store(1, Ordering::SeqCst);
    run.retry("all").await.expect("it is tried again");
    let receipts: Vec<String> = within(secs(60), run.output()).await.expect("an output");
    assert_eq!(receipts, ["receipt of 1", "receipt of 2", "receipt of 3"]);
}

#[tokio::test(start_paused = true)]
async fn keys_that_look_alike_are_different_children() {
    async fn many(cx: Context, (): ()) -> TaskResult<Vec<u64>> {
        let mut all = Vec::new();
        for (place, key) in ["a.0", "k", "k.2", "k[2]", "x", "child:x", "y/z"].into_iter().enumerate() {
            all.push(cx.child(key, "double", place).await?);
        }
        all.push(cx.child("k", "double", 7).await?);
        all.extend(cx.map_runs::<_, u64>("a", 2, "double", [8_u64, 9]).await?);
        Ok(all)
    }
    async fn slash(cx: Context, before: Vec<u64>) -> TaskResult<Vec<u64>> {
        let number = before.last().copied().unwrap_or_default();
        Ok(vec![cx.child(if cx.node() == "m" { "y/z" } else { "z" }, "double", number).await?])
    }
    let workflow = Workflow::new("many").node("m/y", many).node("m", slash).after("m/y").node("n", slash).after("m");
    let engine = engine(MemoryStore::new()).workflow(doubling());
    let engine = engine.workflow(workflow.build().expect("a workflow")).start().await.expect("an engine");
    let run = engine.run("many").id("r").start().await.expect("a run");
    assert_eq!(within(secs(60), run.output::<Vec<u64>>()).await.expect("an output"), [72]);
    let outputs = run.view().await.expect("a view").nodes[0].output.clone().expect("an output");
    assert_eq!(outputs.to::<Vec<u64>>().expect("numbers"), [0, 2, 4, 6, 8, 10, 12, 14, 16, 18]);
    assert_eq!(children(&engine, "r").await.len(), 12);
}

#[tokio::test(start_paused = true)]
async fn a_child_says_whose_it_is() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(100)).await;
    let child = only_child(&engine, "r").await.expect("the child");
    child.signal("go", &true).await.expect("it is heard");
    run.outcome().await.expect("it ends");
    let events = journal(&run).await;
    let Event::RunCreated { options, .. } = &events[0] else { panic!("no creation: {events:?}") };
    let incarnation = options.incarnation.clone().expect("a new run has one");
    let asked = events.iter().position(|event| matches!(event, Event::ChildRequested { .. })).expect("it asks");
    let Event::ChildRequested { step, .. } = &events[asked] else { panic!("no request") };
    let said = journal(&child).await;
    let Event::RunCreated { options, .. } = &said[0] else { panic!("no creation: {said:?}") };
    let parent = options.parent.clone().expect("it has a parent");
    let (request, step) = (Some(Seq(asked as u64 + 1)), Some(step.clone()));
    let whole = Parent {
        run: run.id().clone(),
        node: Name::new("p").expect("a name"),
        incarnation: Some(incarnation),
        step,
        request,
    };
    assert_eq!(parent, whole);
}

#[tokio::test(start_paused = true)]
async fn a_run_of_somebody_else_is_neither_taken_over_nor_cancelled() {
    // The id that the child will have is learned from a run that is then taken away with its children.
    let store = MemoryStore::new();
    let builder = || engine(store.clone()).workflow(waiting()).workflow(parent_of("wait"));
    let first = builder().start().await.expect("an engine");
    let run = first.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    let id = only_child(&first, "r").await.expect("the child").id().clone();
    first.shutdown().await;
    // The crash was before the child was there: somebody else's run is now.
    store.cut(&id, Seq(1), None);
    let second = engine(store.clone()).workflow(waiting()).start().await.expect("an engine");
    let stranger = second.run("wait").id(&id).start().await.expect("a run");
    tokio::time::sleep(secs(5)).await;
    second.shutdown().await;

    let third = builder().start().await.expect("an engine");
    let run = third.get(run.id()).await.expect("a store").expect("the parent");
    run.cancel("enough").await.expect("it is asked");
    run.outcome().await.expect("it ends");
    tokio::time::sleep(secs(60)).await;
    assert_eq!(run.status().await.expect("a record").wake_at, None, "the child needs no cancelling");
    let stranger = third.get(stranger.id()).await.expect("a store").expect("the stranger");
    assert_eq!(stranger.status().await.expect("a record").status, RunStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_a_run_that_is_somebody_elses_ends_with_an_error() {
    let store = MemoryStore::new();
    let builder = || engine(store.clone()).workflow(waiting()).workflow(parent_of("wait"));
    let first = builder().start().await.expect("an engine");
    let run = first.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(100)).await;
    let id = only_child(&first, "r").await.expect("the child").id().clone();
    first.shutdown().await;
    store.cut(&id, Seq(1), None);
    let second = engine(store.clone()).workflow(waiting()).start().await.expect("an engine");
    second.run("wait").id(&id).start().await.expect("a run");
    second.shutdown().await;

    let third = builder().start().await.expect("an engine");
    let run = third.get(run.id()).await.expect("a store").expect("the parent");
    let Outcome::Failed { failure, .. } = within(secs(60), run.outcome()).await.expect("an end") else {
        panic!("it cannot go on")
    };
    assert_eq!(failure.kind, "child_not_started");
    assert!(failure.message.contains("is nobody's child: it is not taken over"), "{}", failure.message);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_does_not_know_the_parent_leaves_it_the_news() {
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
    child.signal("go", &true).await.expect("it is heard");
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
            "signal" => there.signal("go", "yes").await.expect("it is heard"),
            "cancel" => there.cancel("enough").await.expect("it is heard"),
            _ => there.terminate("now").await.expect("it is heard"),
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

#[tokio::test(start_paused = true)]
async fn a_child_whose_parent_is_gone_for_good_ends_without_it() {
    let effects = Effects::default();
    let counted = effects.clone();
    let work = move |_cx: Context, (): ()| {
        counted.did("work");
        async { TaskResult::Ok(true) }
    };
    let kid = Workflow::new("kid").gate::<bool>("go").node("w", work).after("go").build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(kid).workflow(parent_of("kid")).start().await.expect("an engine");
    let ends = ["cancel", "terminate"];
    for id in ends {
        let run = engine.run("parent").id(id).start().await.expect("a run");
        tokio::time::sleep(secs(3)).await;
        let child = only_child(&engine, id).await.expect("the child");
        match id {
            "cancel" => run.cancel("enough").await.expect("it is asked"),
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
async fn a_child_that_is_cancelled_before_it_is_there_never_runs() {
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
            "cancel" => run.cancel("not any more").await.expect("it is asked"),
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
async fn reads_that_fail_do_not_part_a_parent_from_its_child() {
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
async fn runs_that_wait_for_each_other_through_a_limit_are_told() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        // All of them have their slots before the first asks.
        cx.sleep(secs(1)).await?;
        cx.child("c", "between", ()).await
    }
    async fn between(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("c", "kid", ()).await
    }
    async fn kid(_cx: Context, (): ()) -> TaskResult<bool> {
        Ok(true)
    }
    let limited = |name: &str, at_once| {
        let engine = engine(MemoryStore::new()).limit(Limit::concurrency(name, at_once));
        let parents = Workflow::new("parent").node("p", parent).limit("cpu").build().expect("a workflow");
        let between = Workflow::new("between").node("b", between).build().expect("a workflow");
        engine.workflow(parents).workflow(between)
    };
    let kids = || Workflow::new("kid").node("k", kid).limit("cpu").build().expect("a workflow");
    for at_once in [1, 2] {
        let engine = limited("cpu", at_once).workflow(kids()).start().await.expect("an engine");
        let mut runs = Vec::new();
        for id in 0..at_once {
            runs.push(engine.run("parent").id(&format!("r{id}")).start().await.expect("a run"));
        }
        tokio::time::sleep(secs(120)).await;
        let stuck = engine.stuck().await.expect("a store");
        let said: Vec<_> = stuck.iter().map(|(run, why)| format!("{run}: {why}")).collect();
        // Every parent, every run between, and every one that waits for slots.
        assert_eq!(stuck.len(), 3 * at_once as usize, "{said:#?}");
        assert!(
            said.iter().any(|text| text.contains("waits for limit `cpu`, all of whose slots are held")),
            "{said:#?}"
        );
        let health = engine.health().await;
        assert_eq!((health.deadlocked, health.is_good()), (stuck.len(), false));
        // One of them lets go, and the others go on.
        runs.pop().expect("a run").cancel("the knot is cut").await.expect("it is asked");
        for run in runs {
            assert!(within(secs(120), run.output::<bool>()).await.expect("an output"));
        }
        tokio::time::sleep(secs(120)).await;
        assert_eq!(engine.stuck().await.expect("a store"), []);
        assert!(engine.health().await.is_good());
        engine.shutdown().await;
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_slot_left_or_a_time_limit_nobody_is_said_to_be_stuck() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("c", "kid", ()).await
    }
    async fn busy(_cx: Context, (): ()) -> TaskResult<bool> {
        tokio::time::sleep(secs(600)).await;
        Ok(true)
    }
    async fn kid(_cx: Context, (): ()) -> TaskResult<bool> {
        Ok(true)
    }
    let kids = || Workflow::new("kid").node("k", kid).limit("cpu").build().expect("a workflow");
    let busies = Workflow::new("busy").node("b", busy).limit("cpu").build().expect("a workflow");
    let parents = Workflow::new("parent").node("p", parent).limit("cpu").build().expect("a workflow");
    let bounded =
        Workflow::new("bounded").node("p", parent).limit("cpu").timeout(secs(300)).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).limit(Limit::concurrency("cpu", 2)).workflow(kids()).workflow(busies);
    let engine = engine.workflow(parents).workflow(bounded).start().await.expect("an engine");
    // All slots are taken, but one of them by somebody who works.
    let work = engine.run("busy").id("busy").start().await.expect("a run");
    let run = engine.run("parent").id("waits").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store"), []);
    assert!(engine.health().await.is_good());
    assert!(run.output::<bool>().await.expect("an output"));
    assert!(work.output::<bool>().await.expect("an output"));
    // All are held by those who wait, but one of them not for ever.
    let first = engine.run("parent").id("one").start().await.expect("a run");
    engine.run("bounded").id("two").start().await.expect("a run");
    tokio::time::sleep(secs(120)).await;
    assert_eq!(engine.stuck().await.expect("a store"), []);
    assert!(first.output::<bool>().await.expect("an output"));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_has_told_and_was_deleted_is_not_begun_again_by_a_late_look() {
    let effects = Effects::default();
    let counted = effects.clone();
    let work = move |_cx: Context, (): ()| {
        counted.did("work");
        async { TaskResult::Ok(true) }
    };
    let kid = Workflow::new("kid").gate::<bool>("go").node("w", work).after("go").build().expect("a workflow");
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

    // The run that waits looks whether its child is there; meanwhile it ends, tells, and is deleted.
    store.is(Moods { record_takes: secs(3), ..Moods::default() });
    let second = builder().start().await.expect("an engine");
    tokio::time::sleep(ms(10)).await;
    store.is(Moods::default());
    let child = second.get(&id).await.expect("a store").expect("the child");
    child.signal("go", &true).await.expect("it is heard");
    child.outcome().await.expect("it ends");
    tokio::time::sleep(ms(500)).await;
    child.delete().await.expect("it has told");
    tokio::time::sleep(secs(30)).await;
    assert_eq!(children(&second, "r").await.len(), 0);
    let run = second.get(run.id()).await.expect("a store").expect("the parent");
    run.signal("go", &true).await.expect("it is heard");
    assert!(run.output::<bool>().await.expect("an output"));
    assert_eq!(effects.count("work"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_parent_hears_of_its_child_in_a_pause_and_at_its_budget() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    for id in ["pause", "budget"] {
        let run =
            engine.run("parent").id(id).budget("usd", Amount::whole(1)).expect("a meter").start().await.expect("a run");
        tokio::time::sleep(secs(3)).await;
        let child = only_child(&engine, id).await.expect("the child");
        match id {
            "pause" => run.pause("lunch").await.expect("it is asked"),
            _ => run.set_budget("usd", Some(Amount::whole(0))).await.expect("it is set"),
        }
        child.signal("go", &true).await.expect("it is heard");
        child.outcome().await.expect("it ends");
        tokio::time::sleep(secs(30)).await;
        assert_eq!(run.status().await.expect("a record").status, RunStatus::Paused);
        assert_eq!(child.status().await.expect("a record").wake_at, None, "it has told");
        child.delete().await.expect("it can go");
        run.set_budget("usd", None).await.expect("it is set");
        run.resume().await.expect("it goes on");
        assert!(within(secs(30), run.output::<bool>()).await.expect("an output"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_fork_asks_for_children_of_its_own() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(3)).await;
    let fork = run.fork::<()>("f", "p", None).await.expect("a fork");
    tokio::time::sleep(secs(3)).await;
    run.cancel("enough").await.expect("it is asked");
    run.outcome().await.expect("it ends");
    let child = only_child(&engine, "f").await.expect("the child");
    child.signal("go", &true).await.expect("it goes on");
    assert!(within(secs(30), fork.output::<bool>()).await.expect("an output"));
}

#[tokio::test(start_paused = true)]
async fn a_child_that_is_reopened_after_it_told_changes_nothing_for_its_parent() {
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
    child.retry("k").await.expect("it is tried again");
    assert!(child.output::<bool>().await.expect("an output"));
    tokio::time::sleep(secs(30)).await;
    assert_eq!(child.status().await.expect("a record").wake_at, None, "it owes nothing");
    // The parent asks anew, and gets a child of its own.
    run.retry("p").await.expect("it is tried again");
    assert!(within(secs(30), run.output::<bool>()).await.expect("an output"));
    assert_eq!(children(&engine, "r").await.len(), 2);
}
