//! The agents of the pipeline: the duty, the tools and the validator of each.

use orkestra_tools::ToolSet;

use super::{
    BACKEND, CONTRACT_FILE, FRONTEND, PLAN_FILE, PLANNER, PlanValidator, QA, briefing, desk::Desk,
    only_paths::OnlyPaths,
};
use crate::{Agent, model::ModelSource, validate::CodeValidator, workplace::Workplaces};

const TEAM: &str = "You work in a small software team.";
const PLANNER_DUTY: &str = "You plan; other agents write the code after you. Write plan.md with write_file: what is built, which files, \
    how it is run and tested, and what each of the run's agents does. Only when the objective asks for an API, also write \
    contract.json: its endpoints (method, path, status codes), schemas and data models as JSON, so that backend and frontend \
    can work at the same time without asking each other. Keep both as small as the objective allows.";
/// The planner reads, and writes its two files with a tool of its own; it runs nothing. It has those of these that the run has.
const PLANNER_TOOLS: [&str; 6] =
    ["list_files", "read_file", "ask_human", "web_search", "browser_navigate", "browser_get_content"];
const BACKEND_DUTY: &str = "You write the server side, or, when there is none, the program itself. Name files exactly as the objective names them. Keep to contract.json if it \
    exists. When there is logic to test, write tests under tests/ (test_*.py for Python) that pytest and python3 -m unittest \
    both can run. Prefer the standard library where it is enough.";
const FRONTEND_DUTY: &str = "You write the user's side: pages, scripts, styles. Call only endpoints of contract.json. The backend \
    is written at the same time as your part: do not wait for it, do not write its files, and test your part alone.";
const QA_DUTY: &str = "You test the whole: read what the others wrote, write end-to-end tests under tests/ (test_*.py) that start \
    what must be started on a free loopback port within the test, run all tests, and report what really came out.";

/// The agent `name` of the pipeline; `None` when there is none.
pub(super) fn agent(name: &str, models: &ModelSource, workplaces: &Workplaces, desk: &Desk) -> Option<Agent> {
    let duty = match name {
        PLANNER => PLANNER_DUTY,
        BACKEND => BACKEND_DUTY,
        FRONTEND => FRONTEND_DUTY,
        QA => QA_DUTY,
        _ => return None,
    };
    let (models, role) = (models.clone(), name.to_owned());
    let choose = move |cx: &_| briefing::model(&models, cx);
    let agent = Agent::with_chosen_model(name, format!("{TEAM} {duty}"), choose, workplaces)
        .with_brief(move |cx, _| briefing::brief(&role, cx));
    let (desk, role) = (desk.clone(), name.to_owned());
    let agent = agent.with_chosen_tools(move |cx| {
        let tools = desk.tools(&cx.run_input()?)?;
        Ok(if role == PLANNER { planner_tools(&tools) } else { tools })
    });
    // Files of the planner alone are no work of a writer.
    let own_work = CodeValidator::own_work().with_ignored([PLAN_FILE, CONTRACT_FILE]);
    Some(match name {
        PLANNER => agent.with_answer_file(PLAN_FILE).with_validator(PlanValidator),
        QA => agent.with_validator(CodeValidator::everything()),
        _ => agent.with_validator(own_work),
    })
}

fn planner_tools(tools: &ToolSet) -> ToolSet {
    let write = tools.get("write_file").map(|tool| OnlyPaths::of(tool, &[PLAN_FILE, CONTRACT_FILE]));
    let kept: Vec<&str> = PLANNER_TOOLS.into_iter().filter(|name| tools.get(name).is_some()).collect();
    // NOTE: all of them exist; if one did not, the planner would have none, which is safe.
    write.into_iter().fold(tools.select(&kept).unwrap_or_default(), ToolSet::with)
}
