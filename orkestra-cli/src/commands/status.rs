//! `aios status`: one run with its nodes and files.

use std::fmt::Write;

use orkestra_agents::view::RunBody;
use orkestra_tools::egress::HostUse;
use serde_json::json;

use super::{place_of, print, waits};
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
    let body = RunBody::of(&view, reader.files(&record));
    let path = reader.workspace_path(&record);
    reader.engine.shutdown().await;
    if arguments.json {
        return print(&format!("{}\n", json!(body)));
    }
    let mut text = describe(&body);
    for sentence in waits::sentences(&view) {
        let _ = writeln!(text, "waiting    {sentence}");
    }
    if !body.files.is_empty() {
        let _ = writeln!(text, "files      in {}:", path.display());
        for file in &body.files {
            let _ = writeln!(text, "  {file}");
        }
    }
    // NOTE: a lease is one of a process that was killed: this process alone has the store, and it drives no run.
    if view.status.is_live() {
        let _ = writeln!(text, "unfinished, and no process works on it; continue with `aios resume {}`", view.id);
    }
    print(&text)
}

fn describe(body: &RunBody) -> String {
    let text = |value: &str| value.chars().filter(|one| !one.is_control()).collect::<String>();
    let mut lines = String::new();
    for (name, value) in [
        ("run", Some(body.run_id.as_str())),
        ("status", Some(body.status.name())),
        ("objective", body.task_objective.as_deref()),
        ("project", body.project_id.as_deref()),
        ("model", body.model.as_deref()),
        ("sandbox", body.sandbox.as_deref()),
        ("network", body.network.as_deref()),
        ("created", Some(body.created_at.as_str())),
        ("updated", Some(body.updated_at.as_str())),
    ] {
        let _ = writeln!(lines, "{name:<10} {}", text(value.unwrap_or("-")));
    }
    let _ = writeln!(lines, "progress   {} %", body.progress_percentage);
    for HostUse { host, allowed, from_cache, refused, bytes_received, bytes_sent, .. } in &body.hosts {
        let _ = writeln!(
            lines,
            "host       {} {allowed} allowed ({from_cache} from the cache), {refused} refused, {bytes_received} bytes \
             received, {bytes_sent} sent",
            text(host)
        );
    }
    for node in &body.nodes {
        let error = node.error_message.as_ref().map(|error| format!(": {}", text(error))).unwrap_or_default();
        let (name, status) = (text(&node.agent_name), node.status.name());
        let _ = writeln!(lines, "node       {name:<10} {status}, attempt {}{error}", node.attempt);
    }
    lines
}
