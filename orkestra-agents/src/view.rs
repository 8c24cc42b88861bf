//! A run as `GET /runs/{id}` answers it. Pure, but for the list of files, which it is given.

use orkestra_core::prelude::{NodeStatus, NodeView, RunStatus, RunView};
use serde_json::{Value, json};

/// The documented body for a run whose workspace holds `files`.
#[must_use]
pub fn run_body(view: &RunView, files: &[String]) -> Value {
    let input: Value = view.input.to().unwrap_or_default();
    json!({
        "run_id": view.id,
        "status": status(view),
        "task_objective": input["objective"],
        "project_id": input["project_id"],
        "model": input["model"]["name"],
        "sandbox": input["sandbox"],
        "created_at": view.created_at.to_string(),
        "updated_at": view.updated_at.to_string(),
        "progress_percentage": progress(view),
        "nodes": view.nodes.iter().map(node_body).collect::<Vec<_>>(),
        "files": files,
    })
}

fn node_body(node: &NodeView) -> Value {
    let output: Option<Value> = node.output.as_ref().and_then(|output| output.to().ok());
    let output = output.map(|output| json!({"files_written": output["files_written"], "summary": output["summary"]}));
    // NOTE: a node that is done keeps the failure of an attempt before; that is no error of the node.
    let error = node.failure.as_ref().filter(|_| node.status != NodeStatus::Completed);
    json!({
        "id": node.name,
        "agent_name": node.name,
        "status": node.status,
        "attempt": node.attempt,
        "after": node.after,
        "output": output,
        "error_message": error.map(|failure| &failure.message),
        "started_at": node.started_at.map(|at| at.to_string()),
        "completed_at": node.ended_at.map(|at| at.to_string()),
    })
}

/// A run in which nothing has begun yet is pending; else its own status.
#[must_use]
pub fn status(view: &RunView) -> &'static str {
    let has_begun = view.nodes.iter().any(|node| node.status != NodeStatus::Pending);
    match view.status {
        RunStatus::Running if !has_begun => "pending",
        other => status_name(other),
    }
}

/// The word for a status, as in lists of runs.
#[must_use]
pub fn status_name(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Stopping => "stopping",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        _ => "unknown",
    }
}

/// Nodes that are done count whole, nodes under way half.
fn progress(view: &RunView) -> usize {
    let points = |node: &NodeView| match node.status {
        NodeStatus::Completed => 2,
        NodeStatus::Running | NodeStatus::Backoff => 1,
        _ => 0,
    };
    let sum: usize = view.nodes.iter().map(points).sum();
    (sum * 50).checked_div(view.nodes.len()).unwrap_or(0)
}
