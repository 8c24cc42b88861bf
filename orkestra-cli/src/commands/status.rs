//! `aios status`: one run with its nodes and files.

use std::fmt::Write;

use orkestra_agents::view::run_body;
use serde_json::Value;

use super::{place_of, print};
use crate::args::RunIdArguments;
use crate::exit::{Exit, Failure};
use crate::reader::Reader;

pub(super) async fn perform(arguments: &RunIdArguments) -> Result<Exit, Failure> {
    let place = place_of(&arguments.run).await?;
    let reader = Reader::start(&place).await?;
    let run = reader.find(&arguments.run).await?;
    let (mut view, record) = (run.view().await?, run.status().await?);
    // A long objective is kept beside the journal.
    view.input = run.value(&view.input).await?;
    let body = run_body(&view, &reader.files(&record));
    let path = reader.workspace_path(&record);
    reader.engine.shutdown().await;
    if arguments.json {
        return print(&format!("{body}\n"));
    }
    let mut text = describe(&body);
    if body["files"].as_array().is_some_and(|files| !files.is_empty()) {
        let _ = writeln!(text, "files      in {}:", path.display());
        for file in body["files"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let _ = writeln!(text, "  {file}");
        }
    }
    if !view.status.is_final() {
        let _ = writeln!(text, "unfinished, and nobody works on it: `aios resume {}` goes on", view.id);
    }
    print(&text)
}

fn describe(body: &Value) -> String {
    let text =
        |value: &Value| value.as_str().unwrap_or("-").chars().filter(|one| !one.is_control()).collect::<String>();
    let mut lines = String::new();
    for (name, value) in [
        ("run", &body["run_id"]),
        ("status", &body["status"]),
        ("objective", &body["task_objective"]),
        ("project", &body["project_id"]),
        ("model", &body["model"]),
        ("sandbox", &body["sandbox"]),
        ("created", &body["created_at"]),
        ("updated", &body["updated_at"]),
    ] {
        let _ = writeln!(lines, "{name:<10} {}", text(value));
    }
    let _ = writeln!(lines, "progress   {} %", body["progress_percentage"]);
    for node in body["nodes"].as_array().into_iter().flatten() {
        let error =
            node["error_message"].as_str().map(|_| format!(": {}", text(&node["error_message"]))).unwrap_or_default();
        let (name, status) = (text(&node["agent_name"]), text(&node["status"]).to_lowercase());
        let _ = writeln!(lines, "node       {name:<10} {status}, attempt {}{error}", node["attempt"]);
    }
    lines
}
