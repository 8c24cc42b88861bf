//! The pipeline planner -> backend and frontend -> qa, as an ordinary workflow.
//!
//! ```text
//! planner --> backend --.
//!        \--> frontend --+--> qa
//! ```
//! A run may select agents: their order stays, the planner always runs, and qa waits for those before it that are there.

mod job;
mod only_paths;
mod orkestra;
mod plan_validator;

use std::sync::Arc;

use orkestra_tools::ToolSet;

use only_paths::OnlyPaths;

use crate::{Agent, Error, Workplaces, validate::CodeValidator};

pub use job::{Job, SandboxKind};
pub use orkestra::{MODEL_LABEL, OBJECTIVE_LABEL, Orkestra, OrkestraBuilder, PIPELINE, PROJECT_LABEL, PipelineRequest};
pub use plan_validator::PlanValidator;

/// The file in which the planner writes the plan.
pub const PLAN_FILE: &str = "plan.md";
/// The file in which the planner writes the contract between the parts.
pub const CONTRACT_FILE: &str = "contract.json";
/// Every agent of the pipeline, in order.
pub const AGENTS: [&str; 4] = ["planner", "backend", "frontend", "qa"];

/// Attempts of an agent, the first included: two chances to learn from the validator.
pub(crate) const ATTEMPTS_MAX: u32 = 3;

const PLANNER: &str = "You plan; other agents write the code after you. Write plan.md with write_file: what is built, which files, \
    how it is run and tested, and what each of the run's agents does. Only when the objective asks for an API, also write \
    contract.json: its endpoints (method, path, status codes), schemas and data models as JSON, so that backend and frontend \
    can work at the same time without asking each other. Keep both as small as the objective allows.";
/// The planner looks, and writes its two files by a tool of its own; it runs nothing.
const PLANNER_TOOLS: [&str; 2] = ["list_files", "read_file"];
const BACKEND: &str = "You write the server side, or, when there is none, the program itself. Name files exactly as the objective names them. Keep to contract.json if it \
    exists. When there is logic to test, write tests under tests/ (test_*.py for Python) that pytest and python3 -m unittest \
    both can run. Prefer the standard library: nothing can be installed without a network.";
const FRONTEND: &str = "You write the user's side: pages, scripts, styles. Call only endpoints of contract.json. The backend \
    is written at the same time as your part: do not wait for it, do not write its files, and test your part alone.";
const QA: &str = "You test the whole: read what the others wrote, write end-to-end tests under tests/ (test_*.py) that start \
    what must be started on a free loopback port within the test, run all tests, and report what really came out.";

/// Checks and orders the agents that a run selects; none means all.
///
/// # Errors
/// [`crate::ErrorKind::Usage`] for a name that is no agent, with the names that are.
pub fn select(tasks: &[String]) -> Result<Vec<String>, Error> {
    let unknown: Vec<&String> = tasks.iter().filter(|task| !AGENTS.contains(&task.as_str())).collect();
    if !unknown.is_empty() {
        let names = unknown.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ");
        return Err(Error::usage(format!("no such agent: {names}. The agents are {}.", AGENTS.join(", "))));
    }
    let is_chosen =
        |agent: &&&str| tasks.is_empty() || **agent == "planner" || tasks.iter().any(|task| task == **agent);
    Ok(AGENTS.iter().filter(is_chosen).map(|&agent| agent.to_owned()).collect())
}

/// The agent of this name, as the pipeline has it.
pub(crate) fn agent(name: &str, workplaces: &Arc<Workplaces>) -> Option<Agent> {
    let workplaces = Arc::clone(workplaces);
    Some(match name {
        "planner" => {
            let tools = ToolSet::builtin();
            let write = tools.get("write_file").map(|tool| OnlyPaths::of(tool, &[PLAN_FILE, CONTRACT_FILE]));
            // NOTE: they are all builtin; were one missing, the planner would have all tools, which is safe.
            let tools = tools.select(&PLANNER_TOOLS).unwrap_or(tools);
            let tools = write.into_iter().fold(tools, ToolSet::with);
            let planner = Agent::new(name, PLANNER, workplaces).with_tools(tools).with_answer_file(PLAN_FILE);
            planner.with_validator(PlanValidator)
        }
        "backend" => Agent::new(name, BACKEND, workplaces).with_validator(CodeValidator::own_work()),
        "frontend" => Agent::new(name, FRONTEND, workplaces).with_validator(CodeValidator::own_work()),
        "qa" => Agent::new(name, QA, workplaces).with_validator(CodeValidator::everything()),
        _ => return None,
    })
}

/// The agents that `agent` waits for among those of a run.
pub(crate) fn waits_for(agent: &str, selected: &[String]) -> Vec<String> {
    let wanted: &[&str] = match agent {
        "backend" | "frontend" => &["planner"],
        "qa" => &["backend", "frontend"],
        _ => &[],
    };
    let found: Vec<String> = selected.iter().filter(|one| wanted.contains(&one.as_str())).cloned().collect();
    if found.is_empty() && agent != "planner" { vec!["planner".to_owned()] } else { found }
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
        assert_eq!(error, "no such agent: \"devops\". The agents are planner, backend, frontend, qa.");
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
