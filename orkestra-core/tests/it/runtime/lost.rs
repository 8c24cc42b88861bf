//! Lost values and lost runs: waiting for them ends with an error.

use std::future::Future;

use orkestra_core::Limit;
use orkestra_core::journal::Written;
use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::store::{Append, claim_one};

use super::moody::{Moods, MoodyStore};
use super::world::{engine, only_child};

async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(mins(30), wait).await.expect("no wait hangs")
}

/// Appends bytes that are not a commit to the journal of a run without a driver.
async fn damage(store: &dyn Store, run: &RunId) {
    let worker = WorkerId::new("vandal").expect("an id");
    let late = Timestamp::from_millis(1_000_000_000_000);
    let claimed = claim_one(store, run, &worker, late, late.saturating_add(secs(1))).await.expect("a store");
    let claimed = claimed.expect("every lease has expired by then");
    let (first, epoch) = (claimed.last.plus(1), claimed.lease.epoch);
    let commit = Written { run: run.clone(), first, last: first, epoch, body: b"\0no commit"[..].into() };
    let answers = store.append(vec![Append { commit, record: None, taken: Vec::new() }]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    store.release(&[claimed.lease]).await.expect("it is released");
}

/// Long enough to be kept beside the journal.
fn large() -> String {
    "x".repeat(300_000)
}

fn parent_of<T, U>(takes: T) -> Workflow
where
    T: serde::Serialize + Clone + Send + Sync + 'static,
    U: serde::Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let asks = move |cx: Context, (): ()| {
        let takes = takes.clone();
        async move { cx.child::<U>("one", "child", takes).await }
    };
    Workflow::new("parent").node("asks", asks).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn a_parent_learns_that_the_output_of_its_child_is_lost() {
    let store = MoodyStore::default();
    let makes = async |cx: Context, (): ()| cx.signal::<u64>("go").await.map(|_| large());
    let child = Workflow::new("child").node("makes", makes).build().expect("a workflow");
    let parent = parent_of::<(), String>(());
    let engine = engine(store.clone()).workflow(child).workflow(parent).start().await.expect("an engine");
    let parent = engine.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(secs(1)).await;
    let child = only_child(&engine, "p").await.expect("a child");
    store.is(Moods { loses_blobs_of: Some(child.id().to_string()), ..Moods::default() });
    child.signal("go", &1_u64).await.expect("it is sent");
    let error = in_time(parent.output::<String>()).await.expect_err("it is lost");
    let failure = error.failure().expect("a failure");
    assert!(failure.kind == "child_damaged" && failure.message.contains("the large payload"), "{failure}");
    tokio::time::sleep(secs(1)).await;
    child.delete().await.expect("it owes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_parent_learns_that_the_input_of_its_child_is_lost() {
    let store = MoodyStore::default();
    let takes = async |_cx: Context, text: String| Ok::<_, TaskError>(text.len());
    let child = Workflow::new("child").node("takes", takes).build().expect("a workflow");
    let parent = parent_of::<String, usize>(large());
    let engine = engine(store.clone()).workflow(child).workflow(parent).start().await.expect("an engine");
    store.is(Moods { loses_blobs_of: Some("p".into()), ..Moods::default() });
    let parent = engine.run("parent").id("p").start().await.expect("a run");
    let error = in_time(parent.output::<usize>()).await.expect_err("it has nothing to work on");
    let failure = error.failure().expect("a failure");
    assert_eq!(failure.kind, "child_not_started");
    assert!(failure.message.contains("the large payload"), "{failure}");
}

fn waiting() -> Workflow {
    let waits = async |cx: Context, (): ()| cx.signal::<u64>("go").await;
    Workflow::new("child").node("waits", waits).build().expect("a workflow")
}

#[tokio::test(start_paused = true)]
async fn the_children_of_a_damaged_run_are_cancelled_when_it_is_terminated() {
    let store = MemoryStore::new();
    let parent = parent_of::<(), u64>(());
    let first = engine(store.clone()).workflow(waiting()).workflow(parent.clone()).start().await.expect("an engine");
    let parent_run = first.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let child = only_child(&first, "p").await.expect("a child");
    damage(&store, parent_run.id()).await;
    parent_run.terminate("it is unreadable").await.expect("it is ended");
    let cancelled = Outcome::Cancelled("its parent run `p` no longer waits for it".into());
    assert_eq!(in_time(child.outcome()).await.expect("an end"), cancelled);
    tokio::time::sleep(mins(1)).await;
    child.delete().await.expect("it owes nothing");
    parent_run.delete().await.expect("it owes nothing");
}

/// The process that terminated the parent dies at once.
#[tokio::test(start_paused = true)]
async fn the_children_of_a_damaged_run_are_cancelled_by_the_next_process() {
    let store = MemoryStore::new();
    let parent = parent_of::<(), u64>(());
    let first = engine(store.clone()).workflow(waiting()).workflow(parent.clone()).start().await.expect("an engine");
    let parent_run = first.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let child = only_child(&first, "p").await.expect("a child").id().clone();
    first.shutdown().await;
    damage(&store, parent_run.id()).await;
    // It does not know the child's workflow, and so cannot inform it.
    let second = engine(store.clone()).workflow(parent.clone()).start().await.expect("an engine");
    let parent_run = second.handle("p").expect("an id");
    parent_run.terminate("it is unreadable").await.expect("it is ended");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(parent_run.delete().await.expect_err("it owes the news").kind(), ErrorKind::Conflict);
    second.shutdown().await;
    let third = engine(store).workflow(waiting()).workflow(parent).start().await.expect("an engine");
    let child = third.handle(&child).expect("an id");
    assert!(matches!(in_time(child.outcome()).await, Ok(Outcome::Cancelled(_))));
    tokio::time::sleep(secs(1)).await;
    third.handle("p").expect("an id").delete().await.expect("it owes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_damaged_run_does_not_hide_other_stuck_runs() {
    let store = MemoryStore::new();
    let needs = async |_cx: Context, (): ()| Ok::<_, TaskError>(0_u64);
    let asks = async |cx: Context, (): ()| cx.child::<u64>("one", "child", ()).await;
    let child = Workflow::new("child").node("needs", needs).limit("one").build().expect("a workflow");
    let parent = Workflow::new("parent").node("asks", asks).limit("one").build().expect("a workflow");
    let builder = engine(store.clone()).limit(Limit::concurrency("one", 1)).workflow(child).workflow(parent);
    let engine = builder.start().await.expect("an engine");
    engine.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(mins(1)).await;
    assert_eq!(engine.stuck().await.expect("a store").len(), 2);
    let child = only_child(&engine, "p").await.expect("a child");
    damage(&store, child.id()).await;
    let stuck = engine.stuck().await.expect("the store can be read");
    assert!(stuck.iter().any(|(run, why)| run == child.id() && why.contains("damaged")), "{stuck:?}");
}

/// Data of a run is deleted with the earlier run of that id.
#[tokio::test(start_paused = true)]
async fn a_large_input_survives_the_deletion_of_an_earlier_run_of_the_id() {
    let store = MoodyStore::default();
    let takes = async |_cx: Context, text: String| Ok::<_, TaskError>(text.len());
    let workflow = Workflow::new("w").node("takes", takes).build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").input("short").expect("JSON").start().await.expect("a run");
    assert_eq!(run.output::<usize>().await.expect("an output"), 5);
    store.is(Moods { blob_takes: secs(5), ..Moods::default() });
    let again = engine.run("w").id("r").input(&large()).expect("JSON");
    let starting = tokio::spawn(again.start());
    tokio::time::sleep(secs(1)).await;
    run.delete().await.expect("it has ended");
    let run = starting.await.expect("no panic").expect("a run");
    assert_eq!(in_time(run.output::<usize>()).await.expect("an output"), 300_000);
}

#[tokio::test(start_paused = true)]
async fn a_large_signal_can_reach_the_next_run_of_the_id() {
    let store = MoodyStore::default();
    let workflow = Workflow::new("w").gate::<String>("go").build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").id("r").start().await.expect("a run");
    store.is(Moods { blob_takes: secs(5), ..Moods::default() });
    let sender = run.clone();
    let sending = tokio::spawn(async move { sender.signal("go", &large()).await });
    tokio::time::sleep(secs(1)).await;
    run.terminate("anew").await.expect("it is ended");
    run.delete().await.expect("it has ended");
    let run = engine.run("w").id("r").start().await.expect("a run");
    sending.await.expect("no panic").expect("it is acknowledged");
    assert_eq!(in_time(run.output::<String>()).await.expect("an output"), large());
}

#[tokio::test(start_paused = true)]
async fn a_damaged_schedule_can_be_removed_and_hides_no_other() {
    let store = MemoryStore::new();
    store.put("schedule/x", 0, b"no schedule").await.expect("a store");
    let workflow = Workflow::new("w").gate::<u64>("go").build().expect("a workflow");
    let engine = engine(store).workflow(workflow).start().await.expect("an engine");
    let schedules = engine.schedules();
    let hourly = |name: &str| orkestra_core::Schedule::every(name, "w", mins(60)).expect("a schedule");
    schedules.put(hourly("y")).await.expect("it is put");
    let names = |listed: Vec<orkestra_core::ScheduleStatus>| -> Vec<String> {
        listed.iter().map(|one| one.schedule.name.to_string()).collect()
    };
    assert_eq!(names(schedules.list().await.expect("a list")), ["y"]);
    schedules.get("x").await.expect_err("it says what is wrong");
    schedules.put(hourly("x")).await.expect_err("what is there is not written over");
    assert!(schedules.remove("x").await.expect("it is removed"));
    assert!(!schedules.remove("x").await.expect("it is gone"));
    schedules.put(hourly("x")).await.expect("its name is free");
    assert_eq!(names(schedules.list().await.expect("a list")), ["x", "y"]);
}

#[tokio::test(start_paused = true)]
async fn the_readable_part_of_a_journal_is_returned_and_the_run_can_be_terminated() {
    let store = MoodyStore::default();
    let engine = engine(store.clone()).workflow(waiting()).start().await.expect("an engine");
    let run = engine.run("child").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let all = run.commits(Cursor::START).await.expect("the store can be read");
    assert!(all.len() > 1, "{all:?}");
    let last = all.last().expect("a commit");
    store.is(Moods { unreadable: Some(("r".into(), last.last)), ..Moods::default() });
    let readable = run.commits(Cursor::START).await.expect("there is something");
    assert_eq!(readable.len(), all.len() - 1);
    let end = Cursor(readable.last().expect("a commit").last.0);
    assert_eq!(run.commits(end).await.expect_err("this is what is damaged").kind(), ErrorKind::Store);
    in_time(run.outcome()).await.expect_err("the outcome is unknown");
    run.terminate("it is unreadable").await.expect("it is ended");
    assert!(matches!(in_time(run.outcome()).await, Ok(Outcome::Terminated(_))));
    run.delete().await.expect("it is deleted");
}

#[tokio::test(start_paused = true)]
async fn a_run_can_be_retried_although_its_schedule_is_damaged() {
    let store = MemoryStore::new();
    let fails = async |cx: Context, (): ()| {
        if cx.attempt() > 1 { Ok(cx.attempt()) } else { Err(TaskError::permanent("not yet")) }
    };
    let workflow = Workflow::new("w").node("n", fails).build().expect("a workflow");
    let engine = engine(store.clone()).workflow(workflow).start().await.expect("an engine");
    let schedule = orkestra_core::Schedule::every("x", "w", mins(60)).expect("a schedule");
    engine.schedules().put(schedule).await.expect("it is put");
    let run = engine.schedules().trigger("x").await.expect("a run");
    in_time(run.output::<u32>()).await.expect_err("it fails at first");
    let version = store.get("schedule/x").await.expect("a store").expect("it exists").version;
    store.put("schedule/x", version, b"no schedule").await.expect("a store").expect("it is put");
    run.retry("n").await.expect("it is retried");
    assert_eq!(in_time(run.output::<u32>()).await.expect("an output"), 2);
}

/// A network may deliver a write long after its sender has given up.
#[tokio::test(start_paused = true)]
async fn only_a_late_first_commit_can_recreate_a_deleted_run() {
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(waiting()).start().await.expect("an engine");
    let run = engine.run("child").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let (record, commits) = (run.status().await.expect("a record"), run.commits(Cursor::START).await.expect("a store"));
    run.terminate("anew").await.expect("it is ended");
    run.delete().await.expect("it has ended");
    let late = async |commit: &Written| {
        let append = Append { commit: commit.clone(), record: Some(record.clone()), taken: Vec::new() };
        store.append(vec![append]).await.pop().expect("one answer").is_ok()
    };
    assert!(!late(&commits[1]).await, "it follows nothing");
    assert!(late(&commits[0]).await);
    run.signal("go", &7_u64).await.expect("it exists again");
    assert_eq!(in_time(run.output::<u64>()).await.expect("an output"), 7);
}
