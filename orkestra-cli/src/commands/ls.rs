//! `aios ls`: the runs of this directory.

use std::fmt::Write;

use orkestra_agents::view::status_name;
use orkestra_agents::{MODEL_LABEL, OBJECTIVE_LABEL, PROJECT_LABEL};
use orkestra_core::store::{RunQuery, RunRecord};
use serde_json::json;

use super::print;
use crate::args::ListArguments;
use crate::exit::{Exit, Failure};
use crate::place::Place;

pub(super) async fn perform(arguments: &ListArguments) -> Result<Exit, Failure> {
    let Some(place) = Place::open_existing().await? else {
        eprintln!("no run was ever started in this directory");
        return Ok(Exit::Done);
    };
    let query = RunQuery { limit: usize::from(arguments.limit), ..RunQuery::default() };
    let page = place.store.list(&query).await.map_err(|error| Failure::failed(error.to_string()))?;
    let mut text = String::new();
    for record in &page.items {
        let line = if arguments.json { as_json(record) } else { as_line(record) };
        let _ = writeln!(text, "{line}");
    }
    let printed = print(&text)?;
    if page.items.is_empty() {
        eprintln!("there are no runs in this directory");
    } else if page.next.is_some() {
        eprintln!("note: there are more; --limit COUNT shows them");
    }
    Ok(printed)
}

fn as_json(record: &RunRecord) -> String {
    let label = |name: &str| record.labels.get(name);
    json!({
        "run_id": record.id, "status": status_name(record.status), "task_objective": label(OBJECTIVE_LABEL),
        "project_id": label(PROJECT_LABEL), "model": label(MODEL_LABEL),
        "created_at": record.created_at.to_string(), "updated_at": record.updated_at.to_string(),
    })
    .to_string()
}

fn as_line(record: &RunRecord) -> String {
    // NOTE: whoever reads this has the store alone: what is not ended is not under way either.
    let status = if record.status.is_final() { status_name(record.status) } else { "unfinished" };
    let created = record.created_at.to_string();
    let label = |name: &str| record.labels.get(name).map(String::as_str);
    let project = label(PROJECT_LABEL).map(|project| format!("[{project}] ")).unwrap_or_default();
    let objective: String =
        label(OBJECTIVE_LABEL).unwrap_or_default().chars().filter(|one| !one.is_control()).take(80).collect();
    format!(
        "{}  {status:<10}  {}  {project}{objective}",
        record.id,
        created.get(..19).unwrap_or(&created).replace('T', " ")
    )
}
