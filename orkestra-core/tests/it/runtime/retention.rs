//! Ended runs are deleted, by request and by age, and no others. And the health of an engine.

use std::time::Duration;

use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::store::{LetterId, StoreErrorKind, claim_one};
use orkestra_core::{Clock, Retention, Schedule};
use orkestra_testkit::{Fault, FaultyStore};

use super::world::{TokioClock, engine, only_child};

fn workflow() -> Workflow {
    let task = |_cx: Context, outcome: String| async move {
        if outcome == "fail" { Err(TaskError::permanent("no luck")) } else { Ok(outcome) }
    };
    Workflow::new("work").node("work", task).build().expect("a workflow")
}

fn waiting() -> Workflow {
    Workflow::new("wait").gate::<bool>("go").build().expect("a workflow")
}

async fn ended(engine: &Engine, id: &str, outcome: &str) -> Run {
    let run = engine.run("work").id(id).input(outcome).expect("json").start().await.expect("a run");
    run.outcome().await.expect("it ends");
    run
}

async fn ids(engine: &Engine) -> Vec<String> {
    let page = engine.list(&RunQuery { limit: 10_000, ..RunQuery::default() }).await.expect("a list");
    let mut ids: Vec<_> = page.items.iter().map(|run| run.id.to_string()).collect();
    ids.sort();
    ids
}

async fn pass(seconds: u64) {
    tokio::time::sleep(secs(seconds)).await;
}

fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.expect_err("it is refused").kind()
}

#[tokio::test(start_paused = true)]
async fn an_ended_run_is_deleted_and_its_id_is_free() {
    let engine = engine(MemoryStore::new()).workflow(workflow()).start().await.expect("an engine");
    let long = "x".repeat(400_000);
    let run = ended(&engine, "r", &long).await;
    run.delete().await.expect("it is deleted");
    assert_eq!(kind(run.status().await), ErrorKind::NotFound);
    assert_eq!(kind(run.delete().await), ErrorKind::NotFound);
    assert_eq!(kind(run.signal("s", &1).await), ErrorKind::NotFound);
    assert_eq!(ids(&engine).await, [""; 0]);

    let again = ended(&engine, "r", "another").await;
    assert_eq!(again.output::<String>().await.expect("an output"), "another");
}

#[tokio::test(start_paused = true)]
async fn a_live_run_is_not_deleted() {
    let engine = engine(MemoryStore::new()).workflow(waiting()).start().await.expect("an engine");
    let run = engine.run("wait").id("r").start().await.expect("a run");
    let refused = engine.delete(run.id()).await.expect_err("it is live");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert_eq!(refused.to_string(), "run `r` has not ended, it is Running: terminate it first");
    pass(10).await;
    assert_eq!(kind(run.delete().await), ErrorKind::Conflict, "parked or not");
    run.pause("a break").await.expect("it pauses");
    assert_eq!(kind(run.delete().await), ErrorKind::Conflict);
    run.terminate("enough").await.expect("it ends");
    run.delete().await.expect("it is deleted");
    assert_eq!(kind(engine.delete(&RunId::new("nobody").expect("an id")).await), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_run_owned_by_another_engine_is_not_deleted() {
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(workflow()).start().await.expect("an engine");
    let run = ended(&engine, "r", "done").await;
    pass(10).await;
    let now = TokioClock::new().now();
    let other = WorkerId::new("other").expect("a name");
    let claimed = claim_one(&store, run.id(), &other, now, now.saturating_add(secs(60))).await.expect("a store");
    let refused = run.delete().await.expect_err("another engine has it");
    assert_eq!(refused.to_string(), "another engine has run `r`: try again");
    store.release(&[claimed.expect("a lease").lease]).await.expect("it is released");
    run.delete().await.expect("it is deleted");
}

#[tokio::test(start_paused = true)]
async fn a_retry_and_a_delete_at_the_same_time_agree() {
    for delete_first in [true, false] {
        let engine = engine(MemoryStore::new()).workflow(workflow()).start().await.expect("an engine");
        let run = ended(&engine, "r", "fail").await;
        let (deleted, retried) = if delete_first {
            tokio::join!(run.delete(), run.retry("work"))
        } else {
            let (retried, deleted) = tokio::join!(run.retry("work"), run.delete());
            (deleted, retried)
        };
        // Both may succeed, if the run has failed again before it is deleted; but not neither.
        match (deleted, retried) {
            (Ok(()), Ok(())) => {}
            (Ok(()), Err(error)) => assert_eq!(error.kind(), ErrorKind::NotFound),
            (Err(error), Ok(())) => assert_eq!(error.kind(), ErrorKind::Conflict),
            (Err(deleted), Err(retried)) => panic!("neither: {deleted}, {retried}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn retention_depends_on_how_a_run_ended() {
    let keep = Retention { completed: Some(secs(100)), failed: Some(secs(1000)), others: None };
    let builder = engine(MemoryStore::new()).workflow(workflow()).workflow(waiting()).retention(keep);
    let engine = builder.start().await.expect("an engine");
    ended(&engine, "completed", "done").await;
    ended(&engine, "failed", "fail").await;
    engine.run("wait").id("live").start().await.expect("a run");
    engine.run("wait").id("terminated").start().await.expect("a run").terminate("enough").await.expect("it ends");
    let late = engine.run("wait").id("late").start().await.expect("a run");
    pass(95).await;
    late.signal("go", &true).await.expect("it is taken");
    assert_eq!(ids(&engine).await, ["completed", "failed", "late", "live", "terminated"]);
    pass(20).await;
    assert_eq!(ids(&engine).await, ["failed", "late", "live", "terminated"], "what ended late is kept from then on");
    pass(100).await;
    assert_eq!(ids(&engine).await, ["failed", "live", "terminated"]);
    pass(1000).await;
    assert_eq!(ids(&engine).await, ["live", "terminated"]);
}

#[tokio::test(start_paused = true)]
async fn retention_deletes_in_several_rounds() {
    let keep = Retention { completed: Some(secs(600)), ..Retention::default() };
    let builder = engine(MemoryStore::new()).workflow(workflow()).workflow(waiting());
    let engine = builder.retention(keep).start().await.expect("an engine");
    // Each round reads the live runs too, and the ended ones behind them still get their turn.
    for number in 0..300 {
        ended(&engine, &format!("old-{number}"), "done").await;
    }
    for number in 0..2_100 {
        engine.run("wait").id(format!("live-{number}")).start().await.expect("a run");
    }
    pass(700).await;
    let left = ids(&engine).await;
    assert_eq!(left.len(), 2_100);
    assert!(left.iter().all(|id| id.starts_with("live-")));
}

#[tokio::test(start_paused = true)]
async fn a_child_is_kept_until_its_parent_is_informed() {
    async fn parent(cx: Context, (): ()) -> TaskResult<bool> {
        cx.child("one", "wait", ()).await
    }
    let parents = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let keep = Retention { completed: Some(secs(1)), ..Retention::default() };
    let store = MemoryStore::new();
    let builder = || engine(store.clone()).workflow(waiting()).retention(keep);
    let both = builder().workflow(parents.clone()).start().await.expect("an engine");
    let run = both.run("parent").id("r").start().await.expect("a run");
    pass(10).await;
    let id = only_child(&both, "r").await.expect("the child").id().clone();
    both.shutdown().await;

    // An engine that knows only the child's workflow: it sends the parent a letter that stays in the inbox here.
    let alone = builder().start().await.expect("an engine");
    let child = alone.get(&id).await.expect("a store").expect("the child");
    child.signal("go", &true).await.expect("it is taken");
    pass(60).await;
    assert!(child.status().await.expect("a record").status.is_final());
    let refused = tokio::time::timeout(secs(60), child.delete()).await.expect("an answer").expect_err("it stays");
    assert_eq!(refused.kind(), ErrorKind::Conflict);
    assert!(refused.to_string().contains("still has to say so"), "{refused}");
    assert_eq!(ids(&alone).await, ["r", &id]);
    assert_eq!(store.letters(run.id(), LetterId::ZERO, 9).await.expect("a store").len(), 1, "sent once");
    alone.shutdown().await;
    drop(run);

    let both = builder().workflow(parents).start().await.expect("an engine");
    pass(120).await;
    assert_eq!(ids(&both).await, [""; 0], "it was told, and then both went");
}

#[tokio::test(start_paused = true)]
async fn children_are_found_by_their_parent() {
    async fn parent(cx: Context, (): ()) -> TaskResult<String> {
        cx.child("one", "work", "done").await
    }
    let parents = Workflow::new("parent").node("p", parent).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow()).workflow(parents).start().await.expect("an engine");
    for id in ["a", "b"] {
        engine.run("parent").id(id).start().await.expect("a run").outcome().await.expect("it ends");
    }
    let query = RunQuery { parent: Some(RunId::new("a").expect("an id")), ..RunQuery::default() };
    let found: Vec<_> = engine.list(&query).await.expect("a list").items.into_iter().map(|run| run.id).collect();
    assert!(found.len() == 1 && found[0].starts_with("a/p/one."), "{found:?}");
}

#[tokio::test(start_paused = true)]
async fn health_reports_problems() {
    let store = MemoryStore::new();
    let faulty = FaultyStore::new(std::sync::Arc::new(store));
    let engine = engine(faulty.clone()).workflow(waiting()).park_after(Duration::from_millis(10)).start().await;
    let engine = engine.expect("an engine");
    engine.run("wait").id("r").start().await.expect("a run");
    let health = engine.health().await;
    assert!(health.is_good(), "{health:?}");
    assert_eq!((health.live, health.blocked, health.commits_waiting, health.slots_waiting), (1, 0, 0, 0));
    pass(1).await;
    assert_eq!(engine.health().await.live, 0, "it is parked");

    engine.schedules().put(Schedule::every("s", "nowhere", secs(60)).expect("a schedule")).await.expect("it is put");
    pass(1).await;
    let health = engine.health().await;
    assert!(health.is_good(), "{health:?}");
    assert_eq!((health.schedules, health.next_schedule.expect("a time").as_millis()), (1, 1_020_000));
    pass(60).await;
    let health = engine.health().await;
    assert_eq!((health.is_good(), health.schedules_held_up), (false, 1), "its workflow is not registered");
    engine.schedules().remove("s").await.expect("it is removed");
    pass(1).await;
    assert!(engine.health().await.is_good());

    faulty.fail_next(Fault::CrashBefore);
    drop(engine.run("wait").id("lost").start().await);
    let health = engine.health().await;
    assert_eq!(health.store.expect("it fails").store_kind(), Some(StoreErrorKind::Poisoned));
    engine.shutdown().await;
    assert!(engine.health().await.shut_down);
}
