//! Large values: what fits alone fits together, and the plan can test values kept beside the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use orkestra_core::WorkflowBuilder;
use orkestra_core::prelude::*;
use serde_json::{Value, json};

use super::world::engine;

/// More than fits into a journal.
const LARGE: usize = 300_000;

async fn echo(_cx: Context, value: Value) -> TaskResult<Value> {
    Ok(value)
}

async fn part(_cx: Context, (): ()) -> TaskResult<String> {
    Ok("x".repeat(250_000))
}

async fn length(_cx: Context, all: Vec<String>) -> TaskResult<usize> {
    Ok(all.iter().map(String::len).sum())
}

const PARTS: [&str; 9] = ["p0", "p1", "p2", "p3", "p4", "p5", "p6", "p7", "p8"];

/// Nine nodes whose outputs each fit into the journal, and one whose output does not.
fn nine(name: &str) -> WorkflowBuilder {
    let large = async |_: Context, (): ()| Ok("y".repeat(2 * LARGE));
    PARTS.iter().fold(Workflow::new(name).node("large", large), |workflow, name| workflow.node(name, part))
}

#[tokio::test(start_paused = true)]
async fn outputs_that_fit_alone_fit_together() {
    let asks = async |cx: Context, (): ()| {
        let all: BTreeMap<String, String> = cx.child("c", "nine", ()).await?;
        Ok(all.into_iter().map(|(name, text)| (name, text.len())).collect::<BTreeMap<_, _>>())
    };
    let store = MemoryStore::new();
    let parent = Workflow::new("parent").node("asks", asks).build().expect("a workflow");
    let nine = nine("nine").build().expect("a workflow");
    let engine = engine(store.clone()).workflow(nine).workflow(parent).start().await.expect("an engine");
    let run = engine.run("nine").id("nine").start().await.expect("a run");
    let whole: BTreeMap<String, String> = run.output().await.expect("an output");
    let mut lengths: BTreeMap<String, usize> = PARTS.iter().map(|name| ((*name).to_owned(), 250_000)).collect();
    lengths.insert("large".into(), 2 * LARGE);
    assert_eq!(whole.into_iter().map(|(name, text)| (name, text.len())).collect::<BTreeMap<_, _>>(), lengths);
    let Outcome::Completed(output) = run.outcome().await.expect("an end") else { panic!("it is done") };
    assert_eq!(output.to::<BTreeMap<String, String>>().expect("an output").len(), 10);
    assert_eq!(run.value::<BTreeMap<String, String>>(&output).await.expect("an output").len(), 10);
    let parent = engine.run("parent").id("parent").start().await.expect("a run");
    assert_eq!(parent.output::<BTreeMap<String, usize>>().await.expect("an output"), lengths);
    // It was copied for the parent, which may outlive the child.
    for record in engine.list(&RunQuery::default()).await.expect("a list").items {
        if record.id != *parent.id() {
            store.delete(&record.id).await.expect("a store");
        }
    }
    let fork = parent.fork::<()>("fork", "asks", None).await.expect("a fork");
    assert_eq!(fork.output::<BTreeMap<String, usize>>().await.expect("an output"), lengths);
}

#[tokio::test(start_paused = true)]
async fn small_outputs_are_one_object_in_the_journal() {
    let small = async |_: Context, (): ()| Ok(1);
    let workflow = Workflow::new("w").node("a", small).node("b", small).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(workflow).start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let Outcome::Completed(output) = run.outcome().await.expect("an end") else { panic!("it is done") };
    assert_eq!(output.as_json(), r#"{"a":1,"b":1}"#);
}

#[tokio::test(start_paused = true)]
async fn a_join_gets_all_outputs_whatever_their_total_size() {
    let mut all = vec!["large"];
    all.extend(PARTS);
    let joined = nine("joined").node("length", length).after_all(all.clone()).build().expect("a workflow");
    let undo = async |_: Context, text: String| {
        assert_eq!(text.len(), 2 * LARGE);
        Ok(())
    };
    let large = async |_: Context, (): ()| Ok("y".repeat(2 * LARGE));
    let fails = async |_: Context, text: String| Err::<(), _>(TaskError::permanent(text.len().to_string()));
    let undone = Workflow::new("undone").node("large", large).compensate(undo).node("fails", fails).after("large");
    let undone = undone.build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(joined).workflow(undone).start().await.expect("an engine");
    let run = engine.run("joined").start().await.expect("a run");
    assert_eq!(run.output::<usize>().await.expect("an output"), 9 * 250_000 + 2 * LARGE);
    let run = engine.run("undone").start().await.expect("a run");
    run.outcome().await.expect("an end");
    let undo = run.view().await.expect("a view").nodes.pop().expect("a node");
    assert_eq!((undo.name.as_str(), undo.status), ("undo:large", NodeStatus::Completed));
}

#[tokio::test(start_paused = true)]
async fn growth_may_bring_inputs_that_fit_alone() {
    let grows = async |cx: Context, (): ()| {
        let mut growth = Growth::new();
        for number in 0..12 {
            let node = NodeSpec::task(Name::new(format!("n{number}"))?, Name::new("echo")?);
            growth = growth.with_node(node.with_input(Payload::of(&"x".repeat(250_000))?));
        }
        cx.grow("once", growth).await
    };
    let workflow = Workflow::new("w").node("grows", grows).build().expect("a workflow");
    let builder = engine(MemoryStore::new()).workflow(workflow).task("echo", echo);
    let engine = builder.start().await.expect("an engine");
    let run = engine.run("w").start().await.expect("a run");
    let output = run.output::<BTreeMap<String, Value>>().await.expect("an output");
    assert_eq!(output.values().filter_map(Value::as_str).map(str::len).sum::<usize>(), 12 * 250_000);
}

fn large(risk: u64) -> Value {
    json!({"text": "x".repeat(LARGE), "risk": risk, "tenant": format!("t{risk}")})
}

fn risky(node: &str) -> Condition {
    Condition::output(Name::new(node).expect("a name"), "/risk", Test::AtLeast(7.0))
}

/// Each node tests a large value of another kind.
fn looking() -> Workflow {
    let id = async |_: Context, value: Value| Ok(value);
    let done = async |_: Context, _: Value| Ok(1);
    Workflow::new("looking")
        .node("of-input", done)
        .when(Condition::input("/risk", Test::AtLeast(7.0)))
        .node("id", id)
        .node("of-output", done)
        .after("id")
        .when(risky("id"))
        .gate::<Value>("gate")
        .node("of-signal", done)
        .after("gate")
        .when(risky("gate"))
        .node("not", done)
        .after("id")
        .when(Condition::Not(Box::new(risky("id"))))
        .build()
        .expect("a workflow")
}

async fn statuses(run: &Run) -> BTreeMap<String, NodeStatus> {
    let view = run.view().await.expect("a view");
    view.nodes.into_iter().map(|node| (node.name.to_string(), node.status)).collect()
}

fn looked(risk: u64, all: &BTreeMap<String, NodeStatus>) {
    let (yes, no) = match risk {
        0..=6 => (NodeStatus::Skipped, NodeStatus::Completed),
        _ => (NodeStatus::Completed, NodeStatus::Skipped),
    };
    assert_eq!([all["of-input"], all["of-output"], all["of-signal"], all["not"]], [yes, yes, yes, no], "{risk}");
}

#[tokio::test(start_paused = true)]
async fn conditions_can_test_large_values() {
    let asks = async |cx: Context, value: Value| cx.child::<Value>("c", "looking", value).await;
    let parent = Workflow::new("parent").node("asks", asks).build().expect("a workflow");
    let engine = engine(MemoryStore::new()).workflow(looking()).workflow(parent).start().await.expect("an engine");
    for risk in [6, 7] {
        let id = format!("r{risk}");
        let run = engine.run("looking").id(&id).input(&large(risk)).expect("JSON").start().await.expect("a run");
        run.signal("gate", &large(risk)).await.expect("it exists");
        run.outcome().await.expect("an end");
        looked(risk, &statuses(&run).await);
        let fork = run.fork(&format!("f{risk}"), "id", Some(&large(13 - risk))).await.expect("a fork");
        fork.signal("gate", &large(risk)).await.expect("it exists");
        fork.outcome().await.expect("an end");
        let all = statuses(&fork).await;
        assert_ne!(all["of-input"], all["of-output"], "the input was replaced: the run's is the same");
        let parent = engine.run("parent").id(format!("p{risk}")).input(&large(risk)).expect("JSON");
        let parent = parent.start().await.expect("a run");
        let child = loop {
            if let Some(child) = parent.view().await.expect("a view").children.pop() {
                break child;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        };
        tokio::time::sleep(Duration::from_secs(1)).await;
        let child = engine.get(&child).await.expect("a store").expect("the run");
        child.signal("gate", &large(risk)).await.expect("it exists");
        parent.outcome().await.expect("an end");
        looked(risk, &statuses(&child).await);
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_can_test_large_signals_from_other_engines() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new().between_engines());
    let busy = async |cx: Context, (): ()| {
        for _ in 0..600 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            cx.heartbeat();
        }
        Ok(())
    };
    let done = async |_: Context, _: Value| Ok(1);
    let workflow = Workflow::new("w").node("busy", busy).gate::<Value>("gate").node("of-signal", done).after("gate");
    let workflow = workflow.when(risky("gate")).build().expect("a workflow");
    let start = || Engine::builder().shared_store(Arc::clone(&store)).workflow(workflow.clone()).start();
    let (one, two) = (start().await.expect("an engine"), start().await.expect("an engine"));
    for (risk, status) in [(6, NodeStatus::Skipped), (7, NodeStatus::Completed)] {
        let run = one.run("w").id(format!("r{risk}")).start().await.expect("a run");
        let theirs = two.get(run.id()).await.expect("a store").expect("the run");
        theirs.signal("gate", &large(risk)).await.expect("it exists");
        run.outcome().await.expect("an end");
        assert_eq!(statuses(&run).await["of-signal"], status);
    }
}

#[tokio::test(start_paused = true)]
async fn added_nodes_can_test_existing_large_values() {
    let id = async |_: Context, value: Value| Ok(value);
    let grows = async |cx: Context, (): ()| {
        let node = |name: &str| Ok::<_, TaskError>(NodeSpec::task(Name::new(name)?, Name::new("one")?));
        let given = || Condition::input("/risk", Test::AtLeast(7.0));
        let growth = Growth::new()
            .with_node(node("of-output")?.with_after(Name::new("id")?).with_condition(risky("id")))
            .with_node(node("of-signal")?.with_after(Name::new("gate")?).with_condition(risky("gate")))
            .with_node(node("of-buffered")?.with_after(Name::new("later")?).with_condition(risky("later")))
            .with_node(NodeSpec::gate(Name::new("later")?, Name::new("later")?))
            .with_node(node("of-input")?.with_condition(given()))
            .with_node(node("not")?.with_after(Name::new("id")?).with_condition(Condition::Not(Box::new(risky("id")))));
        cx.sleep(Duration::from_secs(60)).await?;
        cx.grow("once", growth).await
    };
    let workflow = Workflow::new("w").node("id", id).gate::<Value>("gate").node("grows", grows);
    let workflow = workflow.build().expect("a workflow");
    let one = async |_: Context, (): ()| Ok(1);
    let builder = engine(MemoryStore::new()).workflow(workflow).task("one", one);
    let engine = builder.start().await.expect("an engine");
    for risk in [6, 7] {
        let id = format!("r{risk}");
        let run = engine.run("w").id(&id).input(&large(risk)).expect("JSON").start().await.expect("a run");
        run.signal("gate", &large(risk)).await.expect("it exists");
        run.signal("later", &large(risk)).await.expect("it exists");
        run.outcome().await.expect("an end");
        let all = statuses(&run).await;
        looked(risk, &all);
        assert_eq!(all["of-buffered"], all["of-signal"]);
    }
}

#[tokio::test(start_paused = true)]
async fn slot_keys_can_come_from_large_values() {
    let most: Arc<AtomicUsize> = Arc::default();
    let now: Arc<AtomicUsize> = Arc::default();
    let (counted, under_way) = (Arc::clone(&most), Arc::clone(&now));
    let work = move |_: Context, value: Value| {
        let (most, now) = (Arc::clone(&counted), Arc::clone(&under_way));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_secs(60)).await;
            now.fetch_sub(1, Ordering::SeqCst);
            TaskResult::Ok(value)
        }
    };
    let by = |pointer: &str| SlotBy::Input(pointer.to_owned());
    let id = async |_: Context, value: Value| Ok(value);
    let workflow = Workflow::new("w")
        .node("id", id)
        .node("small", async |_: Context, _: Value| Ok(1))
        .node("work", work)
        .after_all(["small", "id"])
        .limit_by("tenants", by("/1/tenant"))
        .build()
        .expect("a workflow");
    let builder = engine(MemoryStore::new()).workflow(workflow).limit(Limit::concurrency("tenants", 1));
    let engine = builder.start().await.expect("an engine");
    let mut runs = Vec::new();
    for number in 0..6 {
        // Different texts, the same tenants.
        let mut value = large(number % 2);
        value["number"] = json!(number);
        runs.push(engine.run("w").input(&value).expect("JSON").start().await.expect("a run"));
    }
    for run in runs {
        run.outcome().await.expect("an end");
    }
    assert_eq!(most.load(Ordering::SeqCst), 2, "one of each of the two tenants");
}
