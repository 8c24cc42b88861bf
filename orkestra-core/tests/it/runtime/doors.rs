//! Accepted input can be read back, and an unreadable run can be ended and deleted.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::Schedule;
use orkestra_core::journal::Written;
use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::store::{Append, StoreErrorKind, claim_one};

use super::world::engine;

async fn nothing(_cx: Context, (): ()) -> TaskResult<()> {
    Ok(())
}

fn gate() -> Workflow {
    Workflow::new("gate").gate::<u64>("go").build().expect("a workflow")
}

/// For waits that must end by themselves.
async fn in_time<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(mins(5), wait).await.expect("no wait hangs")
}

/// Appends bytes that are not a commit to the run's journal, whatever engine drives the run.
async fn damage(store: &dyn Store, run: &RunId) {
    write(store, run, b"\0no commit").await;
}

async fn write(store: &dyn Store, run: &RunId, body: &[u8]) {
    let worker = WorkerId::new("vandal").expect("an id");
    let late = Timestamp::from_millis(1_000_000_000_000);
    let claimed = claim_one(store, run, &worker, late, late.saturating_add(secs(1))).await.expect("a store");
    let claimed = claimed.expect("every lease has expired by then");
    let (first, epoch) = (claimed.last.plus(1), claimed.lease.epoch);
    let commit = Written { run: run.clone(), first, last: first, epoch, body: body.into() };
    let answers = store.append(vec![Append { commit, record: None, taken: Vec::new() }]).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    store.release(&[claimed.lease]).await.expect("it is released");
}

fn is_damaged(error: &Error) -> bool {
    error.store_kind() == Some(StoreErrorKind::Damaged)
}

/// Every wait and every read reports the damage; then the run is terminated and deleted.
async fn can_be_terminated_and_deleted(engine: &Engine, run: &Run) {
    assert!(is_damaged(&in_time(run.outcome()).await.expect_err("the outcome is unknown")));
    assert!(is_damaged(&in_time(run.output::<u64>()).await.expect_err("the outcome is unknown")));
    assert!(is_damaged(&run.view().await.expect_err("it cannot be read")));
    let mut events = run.events(Cursor::START);
    let told = loop {
        match in_time(events.next()).await {
            Ok(event) => assert!(event.is_some(), "it has not ended"),
            Err(error) => break error,
        }
    };
    assert!(is_damaged(&told), "{told}");
    assert!(is_damaged(&run.signal("go", &1_u64).await.expect_err("it cannot be decided")));

    let listed = engine.list(&RunQuery::default()).await.expect("a list").items;
    assert!(listed.iter().any(|record| record.id == *run.id() && record.status == RunStatus::Running));
    let commits = run.commits(Cursor::START).await.expect("they are there");
    assert_eq!(&*commits.last().expect("the damage").body, b"\0no commit");
    assert!(run.commits(Cursor(commits.last().expect("the damage").last.0)).await.expect("a store").is_empty());

    assert_eq!(run.delete().await.expect_err("it has not ended").kind(), ErrorKind::Conflict);
    run.terminate("it is unreadable").await.expect("it is ended");
    assert_eq!(in_time(run.outcome()).await.expect("an end"), Outcome::Terminated("it is unreadable".into()));
    assert_eq!(in_time(run.output::<u64>()).await.expect_err("no output").kind(), ErrorKind::RunEnded);
    assert_eq!(run.status().await.expect("a record").status, RunStatus::Terminated);
    assert_eq!(run.terminate("again").await.expect_err("it has ended").kind(), ErrorKind::Conflict);
    assert!(engine.blocked().is_empty(), "{:?}", engine.blocked());
    run.delete().await.expect("it is deleted");
    assert_eq!(run.status().await.expect_err("it is gone").kind(), ErrorKind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_parked_run_can_be_terminated_and_deleted() {
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(gate()).start().await.expect("an engine");
    let run = engine.run("gate").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    damage(&store, run.id()).await;
    can_be_terminated_and_deleted(&engine, &run).await;
    let again = engine.run("gate").id("r").start().await.expect("its id is free");
    again.signal("go", &7_u64).await.expect("it is sent");
    assert_eq!(again.output::<u64>().await.expect("an output"), 7);
}

#[tokio::test(start_paused = true)]
async fn a_damaged_driven_run_can_be_terminated_and_deleted() {
    let store = MemoryStore::new();
    let engine = engine(store.clone()).park_after(days(1)).workflow(gate()).start().await.expect("an engine");
    let run = engine.run("gate").id("r").start().await.expect("a run");
    damage(&store, run.id()).await;
    can_be_terminated_and_deleted(&engine, &run).await;
}

#[tokio::test(start_paused = true)]
async fn a_damaged_run_found_at_start_can_be_terminated_and_deleted() {
    let store = MemoryStore::new();
    let sleeps = async |cx: Context, (): ()| cx.sleep(mins(1)).await;
    let workflow = Workflow::new("w").node("n", sleeps).build().expect("a workflow");
    let first = engine(store.clone()).workflow(workflow.clone()).start().await.expect("an engine");
    let id = first.run("w").id("r").start().await.expect("a run").id().clone();
    first.shutdown().await;
    damage(&store, &id).await;
    let clock = super::world::TokioClock::at(Timestamp::from_millis(2_000_000));
    let second = Engine::builder().store(store).clock(clock).workflow(workflow).start().await.expect("an engine");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(second.blocked().len(), 1, "it was due and was checked");
    let run = second.get(&id).await.expect("a store").expect("it exists");
    can_be_terminated_and_deleted(&second, &run).await;
}

#[tokio::test(start_paused = true)]
async fn waiting_for_a_damaged_run_ends_in_other_engines_too() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let start = || engine(MemoryStore::new()).shared_store(Arc::clone(&store)).workflow(gate()).start();
    let (here, there) = (start().await.expect("an engine"), start().await.expect("an engine"));
    let run = here.run("gate").id("r").start().await.expect("a run");
    let elsewhere = there.get(run.id()).await.expect("a store").expect("it exists");
    let waits = tokio::spawn(async move { elsewhere.outcome().await });
    let own = run.clone();
    let reads = tokio::spawn(async move {
        let mut events = own.events(Cursor::START);
        loop {
            match events.next().await {
                Ok(event) => assert!(event.is_some(), "it has not ended"),
                Err(error) => break error,
            }
        }
    });
    tokio::time::sleep(mins(10)).await;
    damage(&*store, run.id()).await;
    let error = tokio::time::timeout(mins(20), waits).await.expect("no wait hangs").expect("no panic");
    assert!(is_damaged(&error.expect_err("the outcome is unknown")));
    let error = tokio::time::timeout(mins(20), reads).await.expect("no wait hangs").expect("no panic");
    assert!(is_damaged(&error));
    let elsewhere = there.get(run.id()).await.expect("a store").expect("it exists");
    can_be_terminated_and_deleted(&there, &elsewhere).await;
    assert!(here.get(run.id()).await.expect("a store").is_none());
}

/// The engine that wrote it can read it, and drives it, or will.
#[tokio::test(start_paused = true)]
async fn a_run_of_a_newer_version_is_not_damaged() {
    let store = MemoryStore::new();
    let [child, parent] = family();
    let engine = engine(store.clone()).workflow(child).workflow(parent).start().await.expect("an engine");
    let (parent, child) = parent_and_child(&engine).await;
    write(&store, child.id(), br#"{"v":99}"#).await;
    tokio::time::timeout(mins(60), child.outcome()).await.expect_err("another engine may tell how it ends");
    let error = child.terminate("it is ours").await.expect_err("it is not");
    assert_eq!(error.store_kind(), Some(StoreErrorKind::Version), "{error}");
    tokio::time::sleep(mins(1)).await;
    for run in [child, parent] {
        assert_eq!(run.status().await.expect("a record").status, RunStatus::Running);
    }
}

/// A run of which only the record is left, as if a file was lost.
#[tokio::test(start_paused = true)]
async fn a_run_with_only_a_record_left_can_be_terminated() {
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(gate()).start().await.expect("an engine");
    let run = engine.run("gate").id("r").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let record = run.status().await.expect("a record");
    store.delete(run.id()).await.expect("it is gone");
    let worker = WorkerId::new("vandal").expect("an id");
    let claimed = claim_one(&store, run.id(), &worker, Timestamp::ZERO, Timestamp::from_millis(1)).await;
    let lease = claimed.expect("a store").expect("it is lost").lease;
    let commit =
        Written { run: run.id().clone(), first: Seq(1), last: Seq(1), epoch: lease.epoch, body: (*b"{}").into() };
    let append = Append { commit, record: Some(record), taken: Vec::new() };
    assert!(store.append(vec![append]).await.iter().all(Result::is_ok));
    store.release(&[lease]).await.expect("it is released");
    assert!(is_damaged(&in_time(run.outcome()).await.expect_err("the outcome is unknown")));
    run.terminate("lost").await.expect("it is ended");
    assert_eq!(in_time(run.outcome()).await.expect("an end"), Outcome::Terminated("lost".into()));
}

fn family() -> [Workflow; 2] {
    let asks = async |cx: Context, (): ()| cx.child::<u64>("one", "gate", ()).await;
    [gate(), Workflow::new("parent").node("asks", asks).build().expect("a workflow")]
}

async fn parent_and_child(engine: &Engine) -> (Run, Run) {
    let parent = engine.run("parent").id("p").start().await.expect("a run");
    tokio::time::sleep(secs(10)).await;
    let query = RunQuery { parent: Some(parent.id().clone()), ..RunQuery::default() };
    let child = engine.list(&query).await.expect("a list").items.pop().expect("a child").id;
    let child = engine.get(&child).await.expect("a store").expect("the child");
    (parent, child)
}

#[tokio::test(start_paused = true)]
async fn the_parent_learns_that_a_damaged_child_was_terminated() {
    let store = MemoryStore::new();
    let [child, parent] = family();
    let engine = engine(store.clone()).workflow(child).workflow(parent).start().await.expect("an engine");
    let (parent, child) = parent_and_child(&engine).await;
    damage(&store, child.id()).await;
    child.terminate("it is unreadable").await.expect("it is ended");
    let error = in_time(parent.output::<u64>()).await.expect_err("its child has none");
    let failure = error.failure().expect("a failure");
    // Either of the two may come first.
    assert!(failure.message.contains("it is unreadable") || failure.kind == "child_damaged", "{failure}");
    tokio::time::sleep(secs(1)).await;
    child.delete().await.expect("it owes nothing");
}

#[tokio::test(start_paused = true)]
async fn the_parent_learns_that_its_child_is_damaged() {
    let store = MemoryStore::new();
    let [child, parent] = family();
    let engine = engine(store.clone()).workflow(child).workflow(parent).start().await.expect("an engine");
    let (parent, child) = parent_and_child(&engine).await;
    damage(&store, child.id()).await;
    assert!(is_damaged(&child.signal("go", &1_u64).await.expect_err("it cannot be decided")));
    let error = in_time(parent.output::<u64>()).await.expect_err("its child has none");
    assert_eq!(error.failure().expect("a failure").kind, "child_damaged", "{error}");
    child.terminate("then it is over").await.expect("it is ended");
    tokio::time::sleep(secs(1)).await;
    child.delete().await.expect("it owes nothing");
}

/// The process that terminated the child dies before the parent is informed.
#[tokio::test(start_paused = true)]
async fn a_parent_without_an_engine_is_informed_by_the_next_process() {
    let store = MemoryStore::new();
    let [child, parent] = family();
    let first =
        engine(store.clone()).workflow(child.clone()).workflow(parent.clone()).start().await.expect("an engine");
    let (_, damaged) = parent_and_child(&first).await;
    let id = damaged.id().clone();
    first.shutdown().await;
    damage(&store, &id).await;
    // It does not know the parent's workflow, and so cannot inform it.
    let second = engine(store.clone()).workflow(child.clone()).start().await.expect("an engine");
    let damaged = second.get(&id).await.expect("a store").expect("it exists");
    damaged.terminate("it is unreadable").await.expect("it is ended");
    tokio::time::sleep(secs(1)).await;
    assert_eq!(damaged.delete().await.expect_err("it owes the news").kind(), ErrorKind::Conflict);
    second.shutdown().await;
    let third = engine(store).workflow(child).workflow(parent).start().await.expect("an engine");
    let parent = third.get("p").await.expect("a store").expect("it exists");
    let error = in_time(parent.output::<u64>()).await.expect_err("its child has none");
    assert_eq!(error.failure().expect("a failure").kind, "child_terminated", "{error}");
    tokio::time::sleep(secs(1)).await;
    let damaged = third.get(&id).await.expect("a store").expect("it exists");
    damaged.delete().await.expect("it owes nothing");
}

#[tokio::test(start_paused = true)]
async fn unreadable_growth_is_refused_and_the_run_continues() {
    let grows = async |cx: Context, (): ()| {
        let node = |name: &str| Ok::<_, TaskError>(NodeSpec::task(Name::new(name)?, Name::new("nothing")?));
        let mut jitter = node("x")?;
        jitter.retry.jitter = f64::NAN;
        let infinite = node("x")?.with_condition(Condition::input("", Test::AtMost(f64::INFINITY)));
        let pointer = node("x")?.with_condition(Condition::input("risk", Test::Present));
        let mut said = Vec::new();
        for node in [jitter, infinite, pointer] {
            let refused = cx.grow("k", Growth::new().with_node(node)).await.expect_err("it could not be read back");
            assert!(!refused.failure().retryable);
            said.push(refused.failure().message.clone());
        }
        cx.grow("good", Growth::new().with_node(node("y")?)).await?;
        Ok(said)
    };
    let workflow = Workflow::new("w").node("grows", grows).build().expect("a workflow");
    let engine =
        engine(MemoryStore::new()).workflow(workflow).task("nothing", nothing).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let output: serde_json::Value = run.output().await.expect("an output");
    assert_eq!(
        output["grows"],
        serde_json::json!([
            "node `x`, `retry.jitter`: it must be from 0 to 1",
            "node `x`, `when`: inf cannot be written as JSON: use a finite number",
            "node `x`, `when`: invalid JSON pointer `risk`: it must be empty or begin with `/`",
        ])
    );
    assert_eq!(run.view().await.expect("it is readable").nodes.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn input_that_could_not_be_read_back_is_refused_everywhere() {
    let wrong = || Condition::input("/risk", Test::AtMost(f64::INFINITY));
    let built = Workflow::new("w").node("n", nothing).when(wrong()).build();
    let said = "node `n`, `when`: inf cannot be written as JSON: use a finite number";
    assert_eq!(built.expect_err("it could not be read back").to_string(), said);

    let engine = engine(MemoryStore::new()).workflow(gate()).task("nothing", nothing).start().await.expect("an engine");
    let name = |text: &str| Name::new(text).expect("a name");
    let node = NodeSpec::task(name("n"), name("nothing")).with_condition(wrong());
    let spec = WorkflowSpec { name: name("w"), version: None, nodes: vec![node] };
    let error = engine.run_spec(&spec).start().await.expect_err("it could not be read back");
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Invalid, said));

    let error = engine.run("gate").label("", "x").start().await.expect_err("no name");
    assert_eq!(
        (error.kind(), error.to_string().as_str()),
        (ErrorKind::Invalid, "the name of a label must not be empty")
    );

    let deep: Payload = serde_json::from_str(&format!("{}{}", "[".repeat(121), "]".repeat(121))).expect("JSON");
    let error = engine.run("gate").input(&deep).expect_err("it could not be read back");
    assert!(error.to_string().starts_with("the payload nests 121 levels deep"), "{error}");
    let run = engine.run("gate").start().await.expect("a run");
    assert_eq!(run.signal("go", &deep).await.expect_err("it could not be read back").kind(), ErrorKind::Invalid);

    let schedule = Schedule::every("s", "gate", secs(60)).expect("a schedule");
    let labelled = Schedule { labels: BTreeMap::from([(String::new(), "x".into())]), ..schedule.clone() };
    for wrong in [labelled, Schedule { input: deep, ..schedule }] {
        let error = engine.schedules().put(wrong).await.expect_err("it could not be kept, or not be started");
        assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    }
    assert!(engine.schedules().list().await.expect("a list").is_empty());
}

#[tokio::test(start_paused = true)]
async fn outputs_at_the_depth_limit_can_be_joined() {
    let deep = async |_cx: Context, (): ()| {
        let text = format!("{}{}", "[".repeat(120), "]".repeat(120));
        Ok(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"))
    };
    let count = async |_cx: Context, both: Vec<serde_json::Value>| Ok(both.len());
    let workflow = Workflow::new("w").node("a", deep).node("b", deep).node("both", count).after_all(["a", "b"]);
    let two = Workflow::new("two").node("a", deep).node("b", deep).build().expect("a workflow");
    let asks = async |cx: Context, (): ()| {
        cx.child::<serde_json::Value>("k", "two", ()).await.map(|both| both["a"].is_array())
    };
    let parent = Workflow::new("parent").node("asks", asks).build().expect("a workflow");
    let engine =
        engine(MemoryStore::new()).workflow(workflow.build().expect("a workflow")).workflow(two).workflow(parent);
    let engine = engine.start().await.expect("an engine");
    assert_eq!(engine.run("w").start().await.expect("a run").output::<usize>().await.expect("an output"), 2);
    assert!(engine.run("parent").start().await.expect("a run").output::<bool>().await.expect("an output"));
    let too_deep = async |_cx: Context, (): ()| {
        let text = format!("{}{}", "[".repeat(121), "]".repeat(121));
        Ok(serde_json::from_str::<Payload>(&text).expect("JSON"))
    };
    let workflow = Workflow::new("deep").node("n", too_deep).build().expect("a workflow");
    let engine = super::world::engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let error = engine.run("deep").start().await.expect("a run").output::<Payload>().await.expect_err("too deep");
    assert_eq!(error.failure().expect("a failure").kind, "bad_output", "{error}");
}

#[tokio::test(start_paused = true)]
async fn numbers_beyond_floats_are_compared_exactly() {
    let id = async |_cx: Context, n: u64| Ok(n);
    let is = Test::Equals(Payload::of(&9_007_199_254_740_993_u64).expect("a number"));
    let condition = Condition::output(Name::new("id").expect("a name"), "", is);
    let workflow = Workflow::new("w").node("id", id).node("only", id).after("id").when(condition).build();
    let engine = engine(MemoryStore::new()).workflow(workflow.expect("a workflow")).start().await.expect("an engine");
    for (input, status) in
        [(9_007_199_254_740_992_u64, NodeStatus::Skipped), (9_007_199_254_740_993, NodeStatus::Completed)]
    {
        let run = engine.run("w").input(&input).expect("json").start().await.expect("a run");
        tokio::time::timeout(Duration::from_secs(60), run.outcome()).await.expect("in time").expect("an end");
        assert_eq!(run.view().await.expect("a view").nodes[1].status, status, "{input}");
    }
}
