//! A policy that asks once: consent holds for the run, for all its agents, across restarts, and for the tool as it was.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use orkestra_agents::{
    Agent, AgentOutput, SandboxKind, Workplaces,
    model::{Message, Request, ScriptedModel, call, say},
};
use orkestra_core::prelude::{Cursor, Engine, Event, MemoryStore, Run, Workflow};
use orkestra_tools::{Effect, Tool, ToolError, ToolOutput, ToolScope, ToolSet, ToolSource};
use serde_json::{Value, json};

use crate::consent::question;
use crate::support::writer::turn;

/// A tool of a server, with what the server says of it now.
#[derive(Clone, Default)]
struct Server {
    described: Arc<Mutex<String>>,
    approved: bool,
}

struct Sends {
    description: String,
    schema: Value,
    approved: bool,
}

#[async_trait]
impl Tool for Sends {
    fn name(&self) -> &str {
        "post__send"
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn schema(&self) -> &Value {
        &self.schema
    }

    fn effect(&self) -> Effect {
        Effect::Mutating
    }

    fn fingerprint(&self) -> Option<&str> {
        Some(&self.description)
    }

    fn is_approved(&self) -> bool {
        self.approved
    }

    async fn call(&self, _: &ToolScope, _: Value) -> Result<ToolOutput, ToolError> {
        Ok(ToolOutput::new(format!("sent: {}", self.description), Value::Null))
    }
}

impl Server {
    fn describe(&self, text: &str) {
        text.clone_into(&mut self.described.lock().expect("no panic"));
    }
}

impl ToolSource for Server {
    fn tools(&self) -> ToolSet {
        let (description, approved) = (self.described.lock().expect("no panic").clone(), self.approved);
        ToolSet::empty().with(Arc::new(Sends { description, schema: json!({"type": "object"}), approved }))
    }
}

async fn start(
    data: &Path,
    store: &Arc<MemoryStore>,
    model: &Arc<ScriptedModel>,
    server: &Server,
) -> (Engine, Workplaces) {
    let workplaces = Workplaces::new(data).expect("it can be used").with_sandbox(SandboxKind::Local);
    let agent = |role: &str| {
        Agent::new(role, "You write.", model.clone(), &workplaces).with_tool_source(Arc::new(server.clone()))
    };
    let workflow =
        Workflow::new("writing").node("first", agent("first")).node("second", agent("second")).after("first");
    let builder = Engine::builder().shared_store(Arc::clone(store) as _).park_after(std::time::Duration::ZERO);
    let engine = builder.workflow(workflow.build().expect("two nodes")).start().await.expect("it starts");
    (engine, workplaces)
}

async fn run(engine: &Engine) -> Run {
    engine.run("writing").id("r1").input("Write").expect("JSON").start().await.expect("it starts")
}

async fn questions(run: &Run) -> usize {
    let mut events = run.events(Cursor::START);
    let mut asked = 0;
    while let Some(event) = events.next().await.expect("the store can be read") {
        asked += usize::from(matches!(&event.event, Event::QuestionAsked { .. }));
    }
    asked
}

/// What the calls of a conversation gave.
fn results(request: &Request) -> Vec<String> {
    let results = request.messages.iter().filter_map(|message| match message {
        Message::Tool(result) => Some(result.text.clone()),
        _ => None,
    });
    results.collect()
}

/// Each agent sends this often.
fn sender(times: usize) -> Arc<ScriptedModel> {
    ScriptedModel::answering("scripted", move |request| {
        Ok(if turn(request) < times {
            call("post__send", json!({"n": turn(request)}))
        } else {
            say(results(request).join("|"))
        })
    })
}

#[tokio::test]
async fn consent_holds_for_the_run_and_its_agents_until_the_description_changes() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let (server, model) = (Server::default(), sender(2));
    server.describe("to you");
    let (engine, workplaces) = start(data.path(), &store, &model, &server).await;
    let first = run(&engine).await;
    let (id, asked) = question(&first, 1).await;
    assert_eq!(asked["choices"], json!(["allow", "allow once", "deny"]));
    assert_eq!(asked["fingerprint"], "to you");
    engine.shutdown().await;
    workplaces.close_all().await;

    // After a restart, both calls of both agents are made with one consent.
    let (engine, workplaces) = start(data.path(), &store, &model, &server).await;
    let again = run(&engine).await;
    again.answer(id, "allow").await.expect("it is asked");
    let output: AgentOutput = again.output().await.expect("it completes");
    assert_eq!(output.summary, "sent: to you|sent: to you");
    assert_eq!(questions(&again).await, 1);
    engine.shutdown().await;
    workplaces.close_all().await;
}

#[tokio::test]
async fn a_changed_description_asks_again_and_outdates_a_consent_that_comes_late() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let server = Server::default();
    server.describe("to you");
    let changing = server.clone();
    let model = ScriptedModel::answering("scripted", move |request| {
        // The server changes its mind before the second call.
        if turn(request) == 1 {
            changing.describe("to everyone");
        }
        Ok(if turn(request) < 4 {
            call("post__send", json!({"n": turn(request)}))
        } else {
            say(results(request).join("|"))
        })
    });
    let (engine, workplaces) = start(data.path(), &store, &model, &server).await;
    let run = run(&engine).await;
    let (id, _) = question(&run, 1).await;
    run.answer(id, "allow").await.expect("it is asked");
    // The second call is of the tool as the model saw it, which is the old one; the third is of the new one.
    let (id, asked) = question(&run, 2).await;
    assert_eq!(asked["fingerprint"], "to everyone");
    assert_eq!(asked["arguments"], json!({"n": 2}));
    server.describe("to nobody");
    engine.shutdown().await;
    workplaces.close_all().await;

    let (engine, workplaces) = start(data.path(), &store, &model, &server).await;
    let run = engine.get(run.id()).await.expect("the store can be read").expect("it exists");
    run.answer(id, "allow").await.expect("it is asked");
    let (id, asked) = question(&run, 3).await;
    assert_eq!((&asked["fingerprint"], &asked["arguments"]), (&json!("to nobody"), &json!({"n": 3})));
    let third = model.asked().last().map(results).expect("it was asked");
    assert!(
        third[2].starts_with("post__send was not called: it has changed since the person who was asked consented"),
        "{third:?}"
    );
    run.answer(id, "Allow once.").await.expect("it is asked");
    // The second agent is asked again: the last consent was for one call. It is refused.
    let (id, asked) = question(&run, 4).await;
    assert_eq!(asked["fingerprint"], "to nobody");
    run.answer(id, "deny").await.expect("it is asked");
    run.cancel("enough").await.expect("it can be cancelled");
    engine.shutdown().await;
    workplaces.close_all().await;
}

#[tokio::test]
async fn what_the_operator_approved_is_not_asked_about() {
    let (data, store) = (tempfile::tempdir().expect("a directory"), Arc::new(MemoryStore::new()));
    let server = Server { approved: true, ..Server::default() };
    let model = sender(1);
    let (engine, workplaces) = start(data.path(), &store, &model, &server).await;
    let run = run(&engine).await;
    let output: AgentOutput = run.output().await.expect("it completes");
    assert_eq!(output.summary, "sent:");
    assert_eq!(questions(&run).await, 0);
    engine.shutdown().await;
    workplaces.close_all().await;
}
