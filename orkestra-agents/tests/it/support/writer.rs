//! A workflow with one agent, written as users write theirs: an `Agent` behind a node.

use std::{path::Path, sync::Arc};

use orkestra_agents::{
    Agent, AgentOutput, SandboxKind, Workplaces,
    model::{Message, Model, Request},
    validate::CodeValidator,
};
use orkestra_core::prelude::{Engine, Error, MemoryStore, Retry, Run, Workflow};

/// A process: an engine with the agent, and its call log.
pub(crate) struct Process {
    pub(crate) engine: Engine,
    call_log: std::path::PathBuf,
}

/// How a test changes the agent.
pub(crate) type Change<'a> = &'a dyn Fn(Agent) -> Agent;

impl Process {
    pub(crate) async fn start(
        data: &Path,
        store: &Arc<MemoryStore>,
        model: Arc<dyn Model>,
        change: Change<'_>,
    ) -> Self {
        let call_log = data.join("calls.log");
        let workplaces = Workplaces::new(data).and_then(|workplaces| workplaces.with_call_log(&call_log));
        let workplaces = workplaces.expect("the directory can be used").with_sandbox(SandboxKind::Local);
        let agent = Agent::new("writer", "You write.", model, &workplaces).with_validator(CodeValidator::own_work());
        let workflow = Workflow::new("writing").node("writer", change(agent)).retry(Retry::immediate(3)).build();
        let builder = Engine::builder().shared_store(Arc::clone(store) as _);
        let engine = builder.workflow(workflow.expect("one node")).start().await.expect("it starts");
        Self { engine, call_log }
    }

    pub(crate) async fn run(&self) -> Run {
        let request = self.engine.run("writing").id("r1").input("Write a small program").expect("a text is JSON");
        request.start().await.expect("it starts")
    }

    /// The steps in the call log, with the numbers of their `start` and `end` lines.
    pub(crate) fn calls(&self) -> Vec<(String, usize, usize)> {
        let text = std::fs::read_to_string(&self.call_log).expect("the log is there");
        let mut calls: Vec<(String, usize, usize)> = Vec::new();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).expect("each line is JSON");
            let step = line["step"].as_str().expect("a step").to_owned();
            let position = calls.iter().position(|call| call.0 == step).unwrap_or_else(|| {
                calls.push((step, 0, 0));
                calls.len() - 1
            });
            match line["phase"].as_str() {
                Some("start") => calls[position].1 += 1,
                Some("end") => calls[position].2 += 1,
                other => panic!("no phase: {other:?}"),
            }
        }
        calls
    }
}

/// Runs a workflow with one agent to its end.
pub(crate) async fn run(model: Arc<dyn Model>, change: Change<'_>) -> Result<AgentOutput, Error> {
    let data = tempfile::tempdir().expect("a directory");
    let process = Process::start(data.path(), &Arc::new(MemoryStore::new()), model, change).await;
    process.run().await.output().await
}

/// How many turns the model has answered in this conversation.
pub(crate) fn turn(request: &Request) -> usize {
    request.messages.iter().filter(|message| matches!(message, Message::Assistant(_))).count()
}

/// The text of the first user message.
pub(crate) fn brief(request: &Request) -> &str {
    let text = request.messages.iter().find_map(|message| match message {
        Message::User { text } => Some(text.as_str()),
        _ => None,
    });
    text.expect("every conversation has a brief")
}

/// The result of the last tool call.
pub(crate) fn last_result(request: &Request) -> &str {
    let text = request.messages.iter().rev().find_map(|message| match message {
        Message::Tool(result) => Some(result.text.as_str()),
        _ => None,
    });
    text.expect("a tool has answered")
}
