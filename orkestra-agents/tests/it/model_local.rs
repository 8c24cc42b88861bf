//! A real model on a real server, if `ORKESTRA_TEST_MODEL_URL` names one (such as `http://127.0.0.1:18084/v1`).

use orkestra_agents::{
    PipelineRequest,
    model::{Message, ModelChoice, ModelSource, Request, ToolDefinition},
};
use serde_json::json;

use crate::support::product::{events, named, start};

/// The address of the server; `None`, with a note, when there is none. These tests need a download of a gigabyte, so CI may
/// skip them, unlike those that need Docker.
pub(crate) fn address() -> Option<String> {
    let address = std::env::var("ORKESTRA_TEST_MODEL_URL").ok().filter(|address| !address.is_empty());
    if address.is_none() {
        eprintln!("SKIPPED, LOUDLY: ORKESTRA_TEST_MODEL_URL names no server, so no real model was used");
    }
    address
}

#[tokio::test]
async fn a_real_model_calls_a_tool() {
    let Some(address) = address() else { return };
    let source = ModelSource::new(ModelChoice::automatic().with_base_url(address).with_max_tokens(300));
    let spec = source.resolve(None).await;
    assert!(spec.context_tokens.is_some_and(|tokens| tokens > 0), "{spec:?}");
    let model = source.open(&spec).expect("it opens");
    let request = Request {
        messages: vec![
            Message::system("You are a coding assistant. Use the tools."),
            Message::user("Write the file hello.py that prints Hello, World!"),
        ],
        tools: vec![ToolDefinition {
            name: "write_file".to_owned(),
            description: "Writes content to a file.".to_owned(),
            schema: json!({
                "type": "object",
                "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
                "required": ["path", "content"],
            }),
        }],
        ..Request::default()
    };
    let reply = model.complete(&request).await.expect("it answers");
    let call = reply.message.tool_calls.first().expect("it calls the tool");
    assert_eq!(call.name, "write_file", "{reply:?}");
    assert_eq!(call.arguments.to_value()["path"], "hello.py", "{reply:?}");
    assert!(reply.usage.input.is_some_and(|tokens| tokens > 0), "{reply:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_model_writes_a_program_that_runs() {
    let Some(address) = address() else { return };
    let data = tempfile::tempdir().expect("a directory");
    let model = ModelChoice::automatic().with_base_url(address).with_max_tokens(600);
    let orkestra = start(data.path(), model).await;
    let request = PipelineRequest {
        objective: "Write hello.py that prints Hello, World!".to_owned(),
        tasks: vec!["backend".to_owned()],
        ..PipelineRequest::default()
    };
    let run = orkestra.create(request).await.expect("it is created");
    let events = events(&run).await;
    assert_eq!(events.last().expect("events")["event"], "run_completed", "{events:#?}");
    assert!(!named(&events, "token_chunk").is_empty());
    assert!(!named(&events, "usage").is_empty());
    let path = orkestra.workspace_path(&run.status().await.expect("it is there"));
    let hello = std::process::Command::new("python3").arg("hello.py").current_dir(path).output().expect("a python3");
    assert_eq!(String::from_utf8_lossy(&hello.stdout).trim(), "Hello, World!");
    orkestra.shutdown().await;
}
