//! Agents of an embedder: beside plain tasks in a workflow of its own, and in the place of an agent of the pipeline.

use std::sync::Arc;

use orkestra_agents::{
    Agent, AgentOutput, Brief, ErrorKind, PipelineRequest, SandboxKind, Workplaces,
    model::{Message, ScriptedModel, call, say},
};
use orkestra_core::prelude::{Context, Engine, MemoryStore, Outcome, TaskResult, Workflow};
use orkestra_tools::ToolSet;
use serde_json::json;

use crate::support::{
    product::{builder, demo},
    writer::{brief, turn},
};

async fn count(_cx: Context, before: AgentOutput) -> TaskResult<usize> {
    Ok(before.files_written.len())
}

#[tokio::test]
async fn an_agent_reads_what_the_tasks_before_it_returned() {
    let data = tempfile::tempdir().expect("a directory");
    let workplaces = Workplaces::new(data.path()).expect("it can be used").with_sandbox(SandboxKind::Local);
    let writing = ScriptedModel::answering("writer", |request| {
        Ok(if turn(request) == 0 { call("write_file", json!({"path": "a.txt", "content": "a"})) } else { say("done") })
    });
    let reviewing = ScriptedModel::new("critic", [Ok(say("Fine."))]);
    let writer = Agent::new("writer", "You write.", writing.clone(), &workplaces);
    let critic = Agent::new("critic", "You review.", reviewing.clone(), &workplaces).with_tools(ToolSet::empty());
    let critic = critic.with_brief(|cx, input| Ok(Brief::of_run(cx, input)?.with_file("text", "a.txt")));
    let workflow = Workflow::new("own").node("write", writer).node("count", count).after("write");
    let workflow = workflow.node("review", critic).after("count").build().expect("three nodes");
    let engine = Engine::builder().workflow(workflow).start().await.expect("it starts");
    let request = engine.run("own").input(&json!({"objective": "Write a letter"})).expect("JSON");
    let run = request.start().await.expect("it starts");
    let review: AgentOutput = run.output().await.expect("it completes");
    assert_eq!((review.agent.as_str(), review.summary.as_str()), ("critic", "Fine."));
    assert!(brief(&writing.asked()[0]).contains("<objective>\nWrite a letter\n</objective>"));
    let asked = reviewing.asked();
    assert!(brief(&asked[0]).contains("<text>\na\n</text>\n<input>\n1\n</input>"), "{}", brief(&asked[0]));
    let Message::System { text } = &asked[0].messages[0] else { panic!("{:?}", asked[0]) };
    assert!(text.starts_with("You are the critic agent. You review."), "{text}");
    workplaces.close_all().await;
}

#[tokio::test]
async fn an_agent_of_the_pipeline_can_be_replaced() {
    let data = tempfile::tempdir().expect("a directory");
    let own = ScriptedModel::answering("own", |request| {
        Ok(if turn(request) == 0 { call("write_file", json!({"path": "a.txt", "content": "a"})) } else { say("mine") })
    });
    let given = own.clone();
    let builder =
        builder(data.path(), demo()).agent("backend", |backend| backend.with_duty("You write Go.").with_model(given));
    let orkestra = builder.start(Arc::new(MemoryStore::new())).await.expect("it starts");
    let tasks = vec!["backend".to_owned()];
    let request = PipelineRequest { objective: "Build it".to_owned(), tasks, ..PipelineRequest::default() };
    let run = orkestra.create(request).await.expect("it is created");
    assert!(matches!(run.outcome().await.expect("it ends"), Outcome::Completed(_)));
    let view = orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there");
    assert!(["plan.md", "a.txt"].iter().all(|wanted| view.files.iter().any(|file| file == wanted)), "{:?}", view.files);
    let Message::System { text } = &own.asked()[0].messages[0] else { panic!("a system message") };
    assert!(text.contains("You write Go."), "{text}");
    assert!(brief(&own.asked()[0]).contains("<plan>"), "it keeps the brief of the pipeline");
    orkestra.shutdown().await;
}

#[tokio::test]
async fn only_an_agent_of_the_pipeline_can_be_replaced() {
    let data = tempfile::tempdir().expect("a directory");
    let builder = builder(data.path(), demo()).agent("devops", |agent| agent);
    let error = builder.start(Arc::new(MemoryStore::new())).await.err().expect("there is no such agent");
    assert_eq!(error.kind(), ErrorKind::Usage);
    assert_eq!(error.to_string(), "no such agent: \"devops\"; the agents are planner, backend, frontend, qa");
}
