//! The pipeline with one agent replaced: its backend gets a duty, a model and a validator of its own, and keeps its place in
//! the graph. `cargo run --example own_backend` plays all models from scripts; it needs no network.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra::prelude::*;
use orkestra_agents::model::{ModelChoice, ScriptedModel, call, say};
use orkestra_agents::validate::{ErrorType, Submission, ValidateError, Validator, Verdict};
use orkestra_agents::{Orkestra, PipelineRequest, SandboxChoice};
use serde_json::json;

struct HasMain;

#[async_trait]
impl Validator for HasMain {
    fn checks(&self) -> &str {
        "looks for func main in main.go"
    }

    async fn validate(&self, work: Submission<'_>) -> Result<Verdict, ValidateError> {
        let code = work.scope.workspace().read("main.go")?;
        if String::from_utf8_lossy(&code).contains("func main") {
            return Ok(Verdict::Passed { notes: vec!["main.go has a main function".to_owned()] });
        }
        Ok(work.refused(ErrorType::SyntaxError, "grep 'func main' main.go", "function main is undeclared"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let code = "package main\n\nfunc main() { println(\"Hello\") }\n";
    let write = Ok(call("write_file", json!({"path": "main.go", "content": code})));
    let gopher = ScriptedModel::new("gopher", [write, Ok(say("main.go prints Hello."))]);
    let data = tempfile::tempdir()?;
    let orkestra = Orkestra::builder(data.path())
        .model(ModelChoice::demo())
        .sandbox(SandboxChoice::Local)
        .agent("backend", |backend| {
            backend.with_duty("You write the server side in Go.").with_model(gopher).with_validator(HasMain)
        })
        .start(Arc::new(MemoryStore::new()))
        .await?;
    let request = PipelineRequest {
        objective: "Write main.go that says hello".to_owned(),
        tasks: vec!["backend".to_owned()],
        ..PipelineRequest::default()
    };
    let run = orkestra.create(request).await?;
    println!("{:?}", run.outcome().await?);
    let view = orkestra.run_view(run.id()).await?.ok_or("the run is there")?;
    assert!(view.files.iter().any(|file| file == "main.go") && view.status.name() == "completed");
    orkestra.shutdown().await;
    Ok(())
}
