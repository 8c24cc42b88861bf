//! Which agents a run of the pipeline has and in which order they run, as a workflow.

use orkestra_core::prelude::{Name, NodeSpec, Retry, WorkflowSpec};

use super::{AGENTS, BACKEND, FRONTEND, PLANNER, QA};
use crate::Error;

/// The name of the pipeline's workflow.
pub const PIPELINE: &str = "pipeline";

/// Attempts of an agent, the first included: two chances to learn from the validator.
const ATTEMPTS_MAX: u32 = 3;
/// How long an attempt may be silent while it does not wait for a person: longer than the longest command.
const ATTEMPT_SILENCE_MAX_MS: u64 = 30 * 60 * 1000;
/// How long one attempt of an agent may take. It may wait a day for an answer, and the number of its turns is limited.
const ATTEMPT_TIME_MAX_MS: u64 = 48 * 60 * 60 * 1000;

/// Checks and orders the agents that a run selects; an empty selection means all.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for an unknown name; the error lists the known ones.
pub fn select(tasks: &[String]) -> Result<Vec<String>, Error> {
    let unknown: Vec<&String> = tasks.iter().filter(|task| !AGENTS.contains(&task.as_str())).collect();
    if !unknown.is_empty() {
        let names = unknown.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        return Err(unknown_agents(&names));
    }
    let is_chosen = |agent: &&&str| tasks.is_empty() || **agent == PLANNER || tasks.iter().any(|task| task == **agent);
    Ok(AGENTS.iter().filter(is_chosen).map(|&agent| agent.to_owned()).collect())
}

pub(super) fn unknown_agents(names: &str) -> Error {
    Error::usage(format!("no such agent: {names}; the agents are {}", AGENTS.join(", ")))
}

/// The workflow of a run with these agents, as data: nodes that name the registered agents.
pub(super) fn workflow(tasks: &[String]) -> Result<WorkflowSpec, Error> {
    let name = |text: &str| Name::new(text).map_err(|error| Error::usage(error.to_string()));
    let mut nodes = Vec::with_capacity(tasks.len());
    for task in tasks {
        let mut node = NodeSpec::task(name(task)?, name(task)?).with_retry(Retry::immediate(ATTEMPTS_MAX));
        node.timeout_ms = Some(ATTEMPT_TIME_MAX_MS);
        node.heartbeat_timeout_ms = Some(ATTEMPT_SILENCE_MAX_MS);
        for before in waits_for(task, tasks) {
            node = node.with_after(name(&before)?);
        }
        nodes.push(node);
    }
    Ok(WorkflowSpec { name: name(PIPELINE)?, version: None, nodes })
}

/// The agents that `agent` waits for among those of a run.
fn waits_for(agent: &str, selected: &[String]) -> Vec<String> {
    let wanted: &[&str] = match agent {
        BACKEND | FRONTEND => &[PLANNER],
        QA => &[BACKEND, FRONTEND],
        _ => &[],
    };
    let found: Vec<String> = selected.iter().filter(|one| wanted.contains(&one.as_str())).cloned().collect();
    if found.is_empty() && agent != PLANNER { vec![PLANNER.to_owned()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(tasks: &[&str]) -> Result<Vec<String>, String> {
        let tasks: Vec<String> = tasks.iter().map(|&task| task.to_owned()).collect();
        select(&tasks).map_err(|error| error.to_string())
    }

    #[test]
    fn a_selection_keeps_the_order_and_the_planner() {
        let list = |names: &[&str]| Ok(names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>());
        assert_eq!(check(&[]), list(&AGENTS));
        assert_eq!(check(&["qa", "backend"]), list(&["planner", "backend", "qa"]));
        assert_eq!(check(&["planner"]), list(&["planner"]));
        assert_eq!(check(&["qa", "qa"]), list(&["planner", "qa"]));
    }

    #[test]
    fn an_unknown_agent_is_named_with_those_that_exist() {
        let error = check(&["backend", "devops"]).expect_err("there is no devops");
        assert_eq!(error, "no such agent: \"devops\"; the agents are planner, backend, frontend, qa");
    }

    #[test]
    fn qa_waits_for_what_is_there() {
        let selected = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        assert_eq!(waits_for("qa", &selected(&AGENTS)), ["backend", "frontend"]);
        assert_eq!(waits_for("qa", &selected(&["planner", "backend", "qa"])), ["backend"]);
        assert_eq!(waits_for("qa", &selected(&["planner", "qa"])), ["planner"]);
        assert_eq!(waits_for("planner", &selected(&AGENTS)), Vec::<String>::new());
    }
}
