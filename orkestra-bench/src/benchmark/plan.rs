//! The run of a benchmark as data: a node for each trial.

use orkestra_core::model::SlotSpec;
use orkestra_core::prelude::{Name, NodeSpec, Payload, Retry, WorkflowSpec};
use serde::{Deserialize, Serialize};

use super::{BenchmarkError, BenchmarkRequest, LIMIT, ON_FAILURE, TRIAL};
use crate::result::TrialLimits;
use crate::task::CodingTask;

/// The name of the workflow of a benchmark.
pub const WORKFLOW: &str = "benchmark";

/// How often a trial is begun when something outside fails, with growing delays up to five minutes between.
const ATTEMPTS_MAX: u32 = 5;

/// The input of the node of a trial.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TrialSpec {
    pub(super) task: String,
    pub(super) fingerprint: String,
    pub(super) trial: u32,
    pub(super) limits: TrialLimits,
}

/// The task and the number of the trial that a node of a benchmark works on; `None` for a node of another workflow.
#[must_use]
pub fn trial_of_node(node: &str) -> Option<(&str, u32)> {
    let (task, trial) = node.rsplit_once('.')?;
    Some((task, trial.parse().ok()?))
}

/// The first trials of all tasks come first, so that a benchmark that is ended early has seen every task.
pub(super) fn workflow(tasks: &[CodingTask], request: BenchmarkRequest) -> Result<WorkflowSpec, BenchmarkError> {
    let name = |text: &str| Name::new(text).map_err(|error| BenchmarkError::Usage(error.to_string()));
    let mut nodes = Vec::new();
    for trial in 1..=request.trials {
        for task in tasks {
            let spec = TrialSpec {
                task: task.name.clone(),
                fingerprint: task.fingerprint.clone(),
                trial,
                limits: request.limits,
            };
            let input = Payload::of(&spec).map_err(|error| BenchmarkError::Usage(error.to_string()))?;
            let node = NodeSpec::task(name(&format!("{}.{trial}", task.name))?, name(TRIAL)?)
                .with_input(input)
                .with_retry(Retry::exponential(ATTEMPTS_MAX))
                .with_on_failure(ON_FAILURE)
                .with_limit(SlotSpec { limit: name(LIMIT)?, by: None });
            nodes.push(node);
        }
    }
    Ok(WorkflowSpec { name: name(WORKFLOW)?, version: None, nodes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_names_its_task_and_trial() {
        assert_eq!(trial_of_node("hello_world.3"), Some(("hello_world", 3)));
        assert_eq!(trial_of_node("a.b.12"), Some(("a.b", 12)));
        assert_eq!(trial_of_node("planner"), None);
        assert_eq!(trial_of_node("a.x"), None);
    }
}
