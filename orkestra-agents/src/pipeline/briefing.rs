//! The brief and the model of an agent of the pipeline, from the job of its run.

use std::sync::Arc;

use orkestra_core::prelude::{Context, TaskResult};
use orkestra_tools::Network;

use super::{CONTRACT_FILE, Job, PLAN_FILE, PLANNER, QA};
use crate::{
    Brief,
    agent::task_error,
    model::{Model, ModelSource},
    validate::named_files,
    workplace::SandboxKind,
};

const LOCAL_NOTICE: &str = "Commands run in the local sandbox, which confines less than a container";

/// The brief of the agent `name`.
pub(super) fn brief(name: &str, cx: &Context) -> TaskResult<Brief> {
    let job: Job = cx.run_input()?;
    let comes_last = comes_last(name, &job.tasks);
    let mut brief = Brief::new(&job.objective)
        .with_agents(&job.tasks)
        .with_file("plan", PLAN_FILE)
        .with_file("contract", CONTRACT_FILE)
        .with_wanted(if comes_last { named_files(&job.objective) } else { Vec::new() })
        .with_sandbox(job.sandbox.clone());
    brief.project_id = job.project_id;
    if job.sandbox.kind == SandboxKind::Local {
        let network = if job.sandbox.network_used() == Network::Open { ": the network is open." } else { "." };
        brief = brief.with_notice(format!("{LOCAL_NOTICE}{network}"));
    }
    Ok(brief)
}

/// The model that was chosen when the run was created.
pub(super) fn model(models: &ModelSource, cx: &Context) -> TaskResult<Arc<dyn Model>> {
    let job: Job = cx.run_input()?;
    models.open(&job.model).map_err(|error| task_error(&error))
}

/// Whether no other agent of `tasks` writes after or beside the agent `name`.
fn comes_last(name: &str, tasks: &[String]) -> bool {
    let writers = tasks.iter().filter(|task| *task != PLANNER);
    name == QA || writers.eq([name])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn qa_or_a_lone_writer_comes_last() {
        let check = |name: &str, tasks: &[&str]| {
            comes_last(name, &tasks.iter().map(|&task| task.to_owned()).collect::<Vec<_>>())
        };
        assert!(check("backend", &["planner", "backend"]));
        assert!(!check("backend", &["planner", "backend", "qa"]));
        assert!(check("qa", &["planner", "backend", "qa"]));
        assert!(!check("planner", &["planner", "backend"]));
    }
}
