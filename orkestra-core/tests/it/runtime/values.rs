//! Users' values: whatever they look like and however large they are, they come back unchanged.
//!
//! Texts that look like the engine's own, through every API; journals of format 2 with large values beside them.

use std::collections::BTreeMap;
use std::time::Duration;

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::model::WorkerId;
use orkestra_core::prelude::*;
use orkestra_core::store::{Append, claim_one};
use serde_json::{Value, json};

use super::world::{engine, journal};

/// More than fits into a journal.
const LARGE: usize = 300_000;

/// Users' values that look like the engine's own texts.
fn look_alikes() -> Vec<Value> {
    let blob = json!({"$orkestra.blob": {"run": "tenant-a", "key": "0", "bytes": 1}});
    vec![
        blob.clone(),
        json!({"$orkestra.blob": {"key": "0", "bytes": 1}}),
        json!({"$orkestra.blob": 1}),
        json!({"$orkestra.outputs": {}}),
        json!({"$orkestra.json": {"$orkestra.json": {"$orkestra.outputs": {}}}}),
        json!({"$orkestra.json": 1}),
        json!([{"$orkestra.blob": {"run": "tenant-a", "key": "0", "bytes": 1}}, {"$orkestra.outputs": {}}]),
        json!({"deep": [blob]}),
        json!({"$orkestra.": null}),
    ]
}

async fn echo(_cx: Context, value: Value) -> TaskResult<Value> {
    Ok(value)
}

/// A task that passes its value through every API, and is called again in between.
async fn doors(cx: Context, value: Value) -> TaskResult<Vec<Value>> {
    if cx.attempt() == 1 {
        return Err(TaskError::new("again").with_detail(&value));
    }
    let detail = cx.last_failure().and_then(|failure| failure.detail.as_ref()).expect("a detail").to::<Value>()?;
    let given = &value;
    let step = cx.step("step", || async { TaskResult::Ok(given.clone()) }).await?;
    let answer = cx.ask::<Value>(&value).await?;
    let signal = cx.signal::<Value>("told").await?;
    let child = cx.child::<Value>("child", "echo", &value).await?;
    cx.emit("said", &value);
    cx.sleep(Duration::from_secs(600)).await?;
    let run_input = cx.run_input::<Value>()?;
    Ok(vec![value, detail, step, answer, signal, child, run_input])
}

fn doors_workflow() -> Workflow {
    let node = Workflow::new("doors").node("doors", doors).retry(Retry::exponential(2));
    node.gate::<Value>("gate").after("doors").build().expect("a workflow")
}

fn echo_workflow() -> Workflow {
    Workflow::new("echo").node("echo", echo).build().expect("a workflow")
}

async fn question(run: &Run) -> (Seq, Value) {
    loop {
        if let Some(asked) = run.view().await.expect("a view").questions.first() {
            return (asked.id, run.value(&asked.question).await.expect("a question"));
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn through_every_api(store: MemoryStore, id: &str, value: &Value) {
    let builder = || engine(store.clone()).workflow(doors_workflow()).workflow(echo_workflow());
    let first = builder().start().await.expect("an engine");
    let run = first.run("doors").id(id).input(value).expect("JSON").start().await.expect("a run");
    let (asked, question) = question(&run).await;
    assert_eq!(question, *value);
    run.signal("told", value).await.expect("it exists");
    run.signal("gate", value).await.expect("it exists");
    run.answer(asked, value).await.expect("it is open");
    tokio::time::sleep(Duration::from_secs(60)).await;
    first.shutdown().await;
    let second = builder().start().await.expect("an engine");
    let run = second.get(run.id()).await.expect("a store").expect("the run");
    assert_eq!(run.output::<Value>().await.expect("an output"), *value, "the gate's signal");
    let view = run.view().await.expect("a view");
    let output = view.nodes[0].output.as_ref().expect("it is done");
    let all: Vec<Value> = run.value(output).await.expect("a list");
    assert_eq!(all, vec![value.clone(); 7]);
    let said = journal(&run).await.into_iter().find_map(|event| match event {
        Event::Emitted { payload, .. } => payload.to::<Value>().ok(),
        _ => None,
    });
    assert_eq!(said.as_ref(), Some(value));
}

#[tokio::test(start_paused = true)]
async fn texts_like_references_come_back_unchanged_from_every_api() {
    let store = MemoryStore::new();
    for (number, value) in look_alikes().iter().enumerate() {
        through_every_api(store.clone(), &format!("r{number}"), value).await;
    }
}

#[tokio::test(start_paused = true)]
async fn large_values_come_back_from_every_api_and_are_deleted_with_their_run() {
    let store = MemoryStore::new();
    let value = json!({"$orkestra.blob": {"run": "r", "key": "0", "bytes": 1}, "text": "x".repeat(LARGE)});
    through_every_api(store.clone(), "r", &value).await;
    let engine = engine(store.clone()).start().await.expect("an engine");
    for record in engine.list(&RunQuery::default()).await.expect("a list").items {
        assert!(!store.blob_keys(&record.id).await.expect("a store").is_empty(), "{}", record.id);
        let run = engine.get(&record.id).await.expect("a store").expect("the run");
        run.delete().await.expect("it has ended");
        assert!(store.blob_keys(&record.id).await.expect("a store").is_empty(), "{}", record.id);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_cannot_read_the_payload_of_another() {
    let secret = async |_: Context, (): ()| Ok("the other tenant's secret ".repeat(12_000));
    let secret = Workflow::new("secret").node("n", secret).build().expect("a workflow");
    let store = MemoryStore::new();
    let engine = engine(store.clone()).workflow(secret).workflow(echo_workflow()).start().await.expect("an engine");
    let theirs = engine.run("secret").id("tenant-a").start().await.expect("a run");
    theirs.outcome().await.expect("an end");
    let key = store.blob_keys(theirs.id()).await.expect("a store")[0].clone();
    for (number, forged) in [
        json!({"$orkestra.blob": {"run": "tenant-a", "key": key, "bytes": 1}}),
        json!({"$orkestra.blob": {"key": key, "bytes": 1}}),
        json!([{"$orkestra.blob": {"run": "tenant-a", "key": key, "bytes": 1}}]),
    ]
    .into_iter()
    .enumerate()
    {
        let run = engine.run("echo").id(format!("tenant-b{number}")).input(&forged).expect("JSON");
        let run = run.start().await.expect("a run");
        assert_eq!(run.output::<Value>().await.expect("an output"), forged);
    }
    // Not even with a reference that the other run's view shows.
    let view = theirs.view().await.expect("a view");
    let shown = view.nodes[0].output.as_ref().expect("an output");
    assert!(shown.is_kept_beside() && shown.to::<Value>().is_err());
    let ours = engine.run("echo").id("tenant-c").input(shown).expect("JSON").start().await.expect("a run");
    assert_eq!(
        ours.output::<Value>().await.expect("an output"),
        serde_json::from_str::<Value>(shown.as_json()).expect("JSON")
    );
    assert!(ours.value::<Value>(shown).await.is_err());
    assert_eq!(theirs.value::<String>(shown).await.expect("it is theirs").len(), 26 * 12_000);
}

#[tokio::test(start_paused = true)]
async fn texts_in_workflows_and_growth_are_data_too() {
    for mark in look_alikes() {
        let data = json!({"name": "data", "nodes": [
            {"name": "own", "task": "echo", "input": mark},
            {"name": "same", "task": "echo", "after": ["own"], "when": {"node": "own", "is": {"equals": mark}}},
            {"name": "other", "task": "echo", "after": ["own"], "when": {"node": "own", "is": {"not_equals": mark}}},
            {"name": "grows", "task": "grows"},
        ]});
        let given = mark.clone();
        let grows = move |cx: Context, (): ()| {
            let given = given.clone();
            async move {
                let node = NodeSpec::task(Name::new("new")?, Name::new("echo")?).with_input(Payload::of(&given)?);
                cx.grow("once", Growth::new().with_node(node)).await
            }
        };
        let data = WorkflowSpec::from_json(&data.to_string()).expect("a workflow");
        let builder = engine(MemoryStore::new()).task("echo", echo).task("grows", grows);
        let engine = builder.start().await.expect("an engine");
        let run = engine.run_spec(&data).start().await.expect("a run");
        let output = run.output::<BTreeMap<String, Value>>().await.expect("an output");
        assert_eq!((&output["same"], &output["new"], &output["other"]), (&mark, &mark, &Value::Null));
    }
}

/// The journal of a run of format 2, as a store held it: `a` had a large output, and `gate` waits.
async fn of_format_2(store: &MemoryStore, of: &str) {
    let text = serde_json::to_string(&json!({"risk": 7, "text": "x".repeat(LARGE)})).expect("JSON");
    let id = RunId::new("r").expect("a run id");
    let mark = format!(r#"{{"$orkestra.blob":{{"run":"{of}","key":"k","bytes":{}}}}}"#, text.len());
    let nodes = r#"[{"name":"a","task":"echo"},{"name":"gate","gate":"gate"},
        {"name":"join","task":"echo","after":["gate","a"],"when":{"node":"a","pointer":"/risk","is":{"at_least":7.0}}}]"#;
    let bodies = [
        format!(
            r#"{{"v":2,"epoch":1,"at":1,"events":[{{"RunCreated":{{"plan":{{"name":"w","nodes":{nodes}}},"input":{mark}}}}},
            {{"AttemptStarted":{{"node":"a","attempt":1}}}},{{"AttemptStarted":{{"node":"gate","attempt":1}}}}]}}"#
        ),
        format!(r#"{{"v":2,"epoch":1,"at":2,"events":[{{"NodeCompleted":{{"node":"a","output":{mark}}}}}]}}"#),
    ];
    let worker = WorkerId::new("old").expect("a name");
    let (now, until) = (Timestamp::from_millis(1), Timestamp::from_millis(2));
    let lease = claim_one(store, &id, &worker, now, until).await.expect("a store").expect("it is free").lease;
    let mut replayer = Replayer::new(id.clone());
    for (body, [first, last]) in bodies.into_iter().zip([[1, 3], [4, 4]]) {
        let (first, last) = (Seq(first), Seq(last));
        let commit = Written { run: id.clone(), first, last, epoch: lease.epoch, body: body.into_bytes().into() };
        replayer.add(&commit).expect("format 2 is readable");
        let record = replayer.state().map(RunRecord::of);
        let written = store.append(vec![Append { commit, record, taken: Vec::new() }]).await;
        assert_eq!(written, [Ok(())]);
    }
    store.put_blob(&RunId::new(of).expect("a run id"), "k", text.as_bytes()).await.expect("a store");
    store.release(&[lease]).await.expect("a store");
}

#[tokio::test(start_paused = true)]
async fn a_run_of_format_2_finishes_with_its_large_values() {
    let store = MemoryStore::new();
    of_format_2(&store, "r").await;
    let engine = engine(store.clone()).task("echo", echo).start().await.expect("an engine");
    let run = engine.get(&RunId::new("r").expect("a run id")).await.expect("a store").expect("the run");
    run.signal("gate", &1).await.expect("it exists");
    let output = run.output::<Value>().await.expect("an output");
    assert_eq!((&output[0], &output[1]["risk"]), (&json!(1), &json!(7)), "its condition was looked at in the value");
    let fork = run.fork::<()>("f", "join", None).await.expect("a fork");
    run.delete().await.expect("it has ended");
    assert_eq!(fork.output::<Value>().await.expect("an output"), output);
}

#[tokio::test(start_paused = true)]
async fn a_reference_to_another_run_is_an_error() {
    let store = MemoryStore::new();
    of_format_2(&store, "tenant-a").await;
    let engine = engine(store.clone()).task("echo", echo).start().await.expect("an engine");
    let run = engine.get(&RunId::new("r").expect("a run id")).await.expect("a store").expect("the run");
    run.signal("gate", &1).await.expect("it exists");
    let Outcome::Failed { node, failure } = run.outcome().await.expect("an end") else { panic!("it cannot continue") };
    assert_eq!((node.as_str(), failure.kind.as_str()), ("join", "bad_input"), "{failure}");
    let error = run.value::<Value>(&run.view().await.expect("a view").input).await.expect_err("it is not its own");
    assert!(error.to_string().contains("names a large payload of run `tenant-a`"), "{error}");
}
