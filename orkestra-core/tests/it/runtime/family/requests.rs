//! Which child belongs to which request: every request has a run of its own, and takes over no other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use orkestra_core::model::Parent;
use orkestra_core::prelude::*;

use super::super::world::{children, engine, journal, only_child};
use super::{doubling, ms, parent_of, waiting, within};

#[tokio::test(start_paused = true)]
async fn a_run_started_again_after_deletion_has_its_own_children() {
    async fn parent(cx: Context, number: u64) -> TaskResult<u64> {
        cx.child("one", "double", number).await
    }
    let parents = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(doubling()).workflow(parents).start().await.expect("an engine");
    for (given, wanted) in [(21_u64, 42), (50, 100), (7, 14)] {
        let run = engine.run("parent").id("order-7").input(&given).expect("json").start().await.expect("a run");
        assert_eq!(run.output::<u64>().await.expect("an output"), wanted);
        tokio::time::sleep(secs(5)).await;
        run.delete().await.expect("it is removed");
    }
    assert_eq!(children(&engine, "order-7").await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn each_item_has_its_own_child_after_a_retry() {
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
    run.retry("all").await.expect("it is retried");
    let receipts: Vec<String> = within(secs(60), run.output()).await.expect("an output");
    assert_eq!(receipts, ["receipt of 1", "receipt of 2", "receipt of 3"]);
    assert_eq!(children(&engine, "order").await.len(), 4, "completed children are not started again");
}

#[tokio::test(start_paused = true)]
async fn similar_keys_give_different_children() {
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
async fn a_child_records_its_parent() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(ms(100)).await;
    let child = only_child(&engine, "r").await.expect("the child");
    child.signal("go", &true).await.expect("it is delivered");
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

/// Run `r` has requested a child and crashed before the child existed; meanwhile an unrelated run got its id, which is returned.
async fn unrelated_run_in_place_of_the_child(store: &MemoryStore, pause: Duration) -> RunId {
    let first = engine(store.clone()).workflow(waiting()).workflow(parent_of("wait"));
    let first = first.start().await.expect("an engine");
    first.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(pause).await;
    let id = only_child(&first, "r").await.expect("the child").id().clone();
    first.shutdown().await;
    store.cut(&id, Seq(1), None);
    let second = engine(store.clone()).workflow(waiting()).start().await.expect("an engine");
    second.run("wait").id(&id).start().await.expect("a run");
    tokio::time::sleep(pause).await;
    second.shutdown().await;
    id
}

#[tokio::test(start_paused = true)]
async fn an_unrelated_run_is_neither_taken_over_nor_cancelled() {
    let store = MemoryStore::new();
    let stranger = unrelated_run_in_place_of_the_child(&store, secs(5)).await;
    let third = engine(store).workflow(waiting()).workflow(parent_of("wait")).start().await.expect("an engine");
    let run = third.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the parent");
    run.cancel("enough").await.expect("it is accepted");
    run.outcome().await.expect("it ends");
    tokio::time::sleep(secs(60)).await;
    assert_eq!(run.status().await.expect("a record").wake_at, None, "the child needs no cancelling");
    let stranger = third.get(&stranger).await.expect("a store").expect("the stranger");
    assert_eq!(stranger.status().await.expect("a record").status, RunStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn waiting_for_an_unrelated_run_is_an_error() {
    let store = MemoryStore::new();
    unrelated_run_in_place_of_the_child(&store, ms(100)).await;
    let third = engine(store).workflow(waiting()).workflow(parent_of("wait")).start().await.expect("an engine");
    let run = third.get(&RunId::new("r").expect("an id")).await.expect("a store").expect("the parent");
    let Outcome::Failed { failure, .. } = within(secs(60), run.outcome()).await.expect("an end") else {
        panic!("it cannot continue")
    };
    assert_eq!(failure.kind, "child_not_started");
    assert!(
        failure.message.contains("already exists and is not a child of any run; it is left alone"),
        "{}",
        failure.message
    );
}

#[tokio::test(start_paused = true)]
async fn a_fork_starts_its_own_children() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).workflow(parent_of("wait"));
    let engine = engine.start().await.expect("an engine");
    let run = engine.run("parent").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(3)).await;
    let fork = run.fork::<()>("f", "p", None).await.expect("a fork");
    tokio::time::sleep(secs(3)).await;
    run.cancel("enough").await.expect("it is accepted");
    run.outcome().await.expect("it ends");
    let child = only_child(&engine, "f").await.expect("the child");
    child.signal("go", &true).await.expect("it continues");
    assert!(within(secs(30), fork.output::<bool>()).await.expect("an output"));
}
