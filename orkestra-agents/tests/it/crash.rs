//! What a crash repeats: the first process stops in the middle, a second one continues from the same store.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use orkestra_agents::model::{Model, ModelError, Reply, Request, ScriptedModel, Sink, call, say};
use orkestra_core::prelude::MemoryStore;
use orkestra_tools::{Effect, Tool, ToolError, ToolOutput, ToolScope, ToolSet};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::support::writer::{Process, last_result, turn};

/// A model that never answers one turn.
struct HangsAt {
    turn: usize,
    inner: Arc<ScriptedModel>,
    reached: Arc<Notify>,
}

#[async_trait]
impl Model for HangsAt {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn context_tokens(&self) -> u64 {
        self.inner.context_tokens()
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        if turn(request) == self.turn {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        self.inner.stream(request, sink).await
    }
}

/// A tool that counts its calls; the first one never returns.
struct Counting {
    effect: Effect,
    calls: Arc<AtomicUsize>,
    reached: Arc<Notify>,
    schema: Value,
}

#[async_trait]
impl Tool for Counting {
    fn name(&self) -> &str {
        "deploy"
    }

    fn description(&self) -> &str {
        "Counts."
    }

    fn schema(&self) -> &Value {
        &self.schema
    }

    fn effect(&self) -> Effect {
        self.effect
    }

    async fn call(&self, _: &ToolScope, _: Value) -> Result<ToolOutput, ToolError> {
        if self.calls.fetch_add(1, Ordering::SeqCst) == 0 {
            self.reached.notify_one();
            std::future::pending::<()>().await;
        }
        Ok(ToolOutput::new("deployed", Value::Null))
    }
}

fn script() -> Arc<ScriptedModel> {
    ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => call("write_file", json!({"path": "a.py", "content": "pass\n"})),
            1 => call("run_command", json!({"command": "echo once >> made.txt"})),
            2 => call("read_file", json!({"path": "a.py"})),
            _ => say("done"),
        })
    })
}

#[tokio::test]
async fn a_crash_at_any_turn_repeats_no_finished_call() {
    for stop_at in 0..=3 {
        let data = tempfile::tempdir().expect("a directory");
        let store = Arc::new(MemoryStore::new());
        let reached = Arc::new(Notify::new());
        let first = HangsAt { turn: stop_at, inner: script(), reached: Arc::clone(&reached) };
        let process = Process::start(data.path(), &store, Arc::new(first), &|agent| agent).await;
        process.run().await;
        reached.notified().await;
        process.engine.shutdown().await;
        drop(process);

        let second = script();
        let process = Process::start(data.path(), &store, second.clone(), &|agent| agent).await;
        let output: orkestra_agents::AgentOutput = process.run().await.output().await.expect("it goes on");
        assert_eq!(output.files_written, ["a.py"]);
        assert_eq!(second.asked().len(), 4 - stop_at, "only the turns that had not finished");
        let made = std::fs::read_to_string(data.path().join("workspace/run_r1/made.txt")).expect("it was made");
        assert_eq!(made, "once\n");
        for (step, started, ended) in process.calls() {
            assert_eq!(ended, 1, "{step}");
            let expected = if step == format!("a1/turn-{}/model", stop_at + 1) { 2 } else { 1 };
            assert_eq!(started, expected, "{step}");
        }
    }
}

/// Stops a process inside a call of the tool. Returns how often it was called, what the model read then, and the call log.
async fn stop_inside_the_tool(effect: Effect) -> (usize, String, Vec<(String, usize, usize)>) {
    let data = tempfile::tempdir().expect("a directory");
    let store = Arc::new(MemoryStore::new());
    let (calls, reached) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let model = ScriptedModel::answering("scripted", |request| {
        Ok(match turn(request) {
            0 => call("write_file", json!({"path": "a.py", "content": "pass\n"})),
            1 => call("deploy", json!({})),
            _ => say(last_result(request)),
        })
    });
    let tools = {
        let (calls, reached) = (Arc::clone(&calls), Arc::clone(&reached));
        move || {
            let schema = json!({"type": "object", "properties": {}});
            let tool = Counting { effect, calls: Arc::clone(&calls), reached: Arc::clone(&reached), schema };
            ToolSet::builtin().with(Arc::new(tool))
        }
    };
    let process = Process::start(data.path(), &store, model.clone(), &|agent| agent.with_tools(tools())).await;
    process.run().await;
    reached.notified().await;
    process.engine.shutdown().await;
    drop(process);
    let process = Process::start(data.path(), &store, model, &|agent| agent.with_tools(tools())).await;
    let output: orkestra_agents::AgentOutput = process.run().await.output().await.expect("it goes on");
    (calls.load(Ordering::SeqCst), output.summary, process.calls())
}

#[tokio::test]
async fn an_interrupted_mutating_call_is_reported_and_not_repeated() {
    let (calls, read, log) = stop_inside_the_tool(Effect::Mutating).await;
    assert_eq!(calls, 1);
    assert!(read.starts_with("INTERRUPTED:"), "{read}");
    let deploy = log.iter().find(|(step, ..)| step.ends_with("deploy")).expect("it was called");
    assert_eq!((deploy.1, deploy.2), (1, 0), "begun once, never finished");
}

#[tokio::test]
async fn an_interrupted_read_only_call_is_repeated() {
    let (calls, read, _) = stop_inside_the_tool(Effect::ReadOnly).await;
    assert_eq!(calls, 2);
    assert_eq!(read, "deployed");
}

#[tokio::test]
async fn a_cancelled_run_ends_during_an_answer() {
    let data = tempfile::tempdir().expect("a directory");
    let reached = Arc::new(Notify::new());
    let model = HangsAt { turn: 0, inner: script(), reached: Arc::clone(&reached) };
    let process = Process::start(data.path(), &Arc::new(MemoryStore::new()), Arc::new(model), &|agent| agent).await;
    let run = process.run().await;
    reached.notified().await;
    run.cancel("not wanted any more").await.expect("it runs");
    let outcome = run.outcome().await.expect("it ends");
    let expected = orkestra_core::prelude::Outcome::Cancelled("not wanted any more".to_owned());
    assert_eq!(outcome, expected);
}
