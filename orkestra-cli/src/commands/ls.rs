//! `aios ls`: lists the runs of this directory.

use std::fmt::Write;

use orkestra_agents::view::RunSummary;
use orkestra_core::store::{RunQuery, RunRecord};
use serde_json::json;

use super::print;
use crate::args::ListArguments;
use crate::exit::{Exit, Failure};
use crate::place::Place;

pub(super) async fn perform(arguments: &ListArguments) -> Result<Exit, Failure> {
    let Some(place) = Place::open_existing().await? else {
        eprintln!("there are no runs in this directory: it has no .orkestra");
        return Ok(Exit::Done);
    };
    let query = RunQuery { limit: usize::from(arguments.limit), ..RunQuery::default() };
    let page = place.store.list(&query).await.map_err(|error| Failure::failed(error.to_string()))?;
    let mut text = String::new();
    for record in &page.items {
        let summary = RunSummary::of(record);
        let line = if arguments.json { json!(summary).to_string() } else { as_line(record, &summary) };
        let _ = writeln!(text, "{line}");
    }
    let printed = print(&text)?;
    if page.items.is_empty() {
        eprintln!("there are no runs in this directory");
    } else if page.next.is_some() {
        eprintln!("note: there are more runs; list them with --limit COUNT");
    }
    Ok(printed)
}

fn as_line(record: &RunRecord, summary: &RunSummary) -> String {
    // NOTE: this process alone has the store, so a run that has not ended is not running either.
    let status = if record.status.is_final() { record.status.name() } else { "unfinished" };
    let created = &summary.created_at;
    let project = summary.project_id.as_ref().map(|project| format!("[{project}] ")).unwrap_or_default();
    let objective = summary.task_objective.as_deref().unwrap_or_default();
    let objective: String = objective.chars().filter(|one| !one.is_control()).take(80).collect();
    format!(
        "{}  {status:<10}  {}  {project}{objective}",
        record.id,
        created.get(..19).unwrap_or(created).replace('T', " ")
    )
}
