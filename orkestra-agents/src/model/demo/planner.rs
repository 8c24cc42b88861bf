//! The demo planner: lists the files, writes the plan and the contract.

use super::{
    scene::{Scene, bare, read, write},
    template::{self, fill},
};
use crate::model::{AssistantMessage, say};

pub(super) fn turn(scene: &Scene) -> AssistantMessage {
    let continues = scene.has_seen("list_files", "contract.json");
    match (continues, scene.turn) {
        (_, 0) => scene.act("I am the demo script, no AI. First I look at what is there.", vec![bare("list_files")]),
        (false, 1) => scene.act(
            &format!(
                "An empty place. I plan a service that keeps {}, a page that shows them, and tests that drive both; the \
                 contract between the parts comes first, so that backend and frontend can work at the same time.",
                scene.subject.plural
            ),
            vec![write("plan.md", plan(scene)), write("contract.json", fill(template::CONTRACT, &scene.subject, &[]))],
        ),
        (true, 1) => scene.act(
            "This project goes on: I read its plan and its contract before I change anything.",
            vec![read("plan.md"), read("contract.json")],
        ),
        (true, 2) => scene.act(
            "The contract stays as it is; the plan gets this run's objective. Nothing is rewritten.",
            vec![write("plan.md", plan(scene))],
        ),
        _ => say(format!("The plan is in plan.md, the contract in contract.json. Agents: {}.", scene.agents.join(", "))),
    }
}

fn plan(scene: &Scene) -> String {
    let agents: Vec<String> = scene.agents.iter().map(|agent| format!("- {agent}")).collect();
    fill(template::PLAN, &scene.subject, &[("AGENTS", &agents.join("\n")), ("OBJECTIVE", scene.objective.trim())])
}
