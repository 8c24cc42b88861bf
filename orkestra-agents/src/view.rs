//! The JSON bodies of `GET /runs/{id}` and of lists of runs. Pure: the list of files is an argument.

mod waits;

use std::fmt;
use std::str::FromStr;

use orkestra_core::kernel::UnknownStatus;
use orkestra_core::prelude::{NodeStatus, NodeView, RunRecord, RunStatus, RunView};
use orkestra_tools::egress::HostUse;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{MODEL_LABEL, OBJECTIVE_LABEL, PROJECT_LABEL, agent::NETWORK_KEY, workplace::add_hosts};

pub use waits::{LeaseBody, SlotBody, WaitBody};

/// A run with its nodes and files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunBody {
    /// Its id.
    pub run_id: String,
    /// Its status.
    pub status: ShownStatus,
    /// The objective; missing for a run of another workflow than the pipeline.
    pub task_objective: Option<String>,
    /// Its project.
    pub project_id: Option<String>,
    /// The name of its model.
    pub model: Option<String>,
    /// Where its commands run.
    pub sandbox: Option<String>,
    /// The network that its commands have: `none`, `registries` or `open`. Missing for a run of an older version.
    #[serde(default)]
    pub network: Option<String>,
    /// How often its commands used which host, and how often hosts were refused. Empty unless the network is `registries`.
    #[serde(default)]
    pub hosts: Vec<HostUse>,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// When it last changed.
    pub updated_at: String,
    /// Its progress, 0 to 100.
    pub progress_percentage: usize,
    /// Its nodes, each after the nodes that it waits for.
    pub nodes: Vec<NodeBody>,
    /// The engine that works on it; missing if none does.
    #[serde(default)]
    pub lease: Option<LeaseBody>,
    /// What keeps the run as a whole from going on, beside what its nodes wait for.
    #[serde(default)]
    pub waits_for: Option<WaitBody>,
    /// The files in its workspace.
    pub files: Vec<String>,
}

/// A node of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NodeBody {
    /// Its name.
    pub id: String,
    /// The agent, which has the node's name.
    pub agent_name: String,
    /// Its status.
    pub status: NodeStatus,
    /// Its last attempt, counted from 1; 0 before the first.
    pub attempt: u32,
    /// The nodes that it waits for.
    pub after: Vec<String>,
    /// Its output, when it has completed.
    pub output: Option<OutputBody>,
    /// Why it failed.
    pub error_message: Option<String>,
    /// When its first attempt began.
    pub started_at: Option<String>,
    /// When it ended.
    pub completed_at: Option<String>,
    /// Why it waits. Empty when it has ended, or when its agent is at work.
    #[serde(default)]
    pub waits_for: Vec<WaitBody>,
}

/// The output of an agent; both fields are missing when the node is not an agent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OutputBody {
    /// The files that it wrote.
    #[serde(default)]
    pub files_written: Option<Vec<String>>,
    /// Its summary of its work.
    #[serde(default)]
    pub summary: Option<String>,
}

/// A run in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// Its id.
    pub run_id: String,
    /// Its status.
    pub status: ShownStatus,
    /// The beginning of the objective.
    pub task_objective: Option<String>,
    /// Its project.
    pub project_id: Option<String>,
    /// The name of its model.
    pub model: Option<String>,
    /// When it was created, RFC 3339 in UTC.
    pub created_at: String,
    /// When its status last changed.
    pub updated_at: String,
}

/// The status of a run as users see it. A run is pending until its first node starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum ShownStatus {
    /// No node has started yet. The engine calls such a run running.
    Pending,
    /// The engine's own status.
    Is(RunStatus),
}

impl ShownStatus {
    /// Its name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => NodeStatus::Pending.name(),
            Self::Is(status) => status.name(),
        }
    }

    /// The status of a run in view.
    #[must_use]
    pub fn of(view: &RunView) -> Self {
        let has_begun = view.nodes.iter().any(|node| node.status != NodeStatus::Pending);
        if view.status == RunStatus::Running && !has_begun { Self::Pending } else { Self::Is(view.status) }
    }
}

impl fmt::Display for ShownStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for ShownStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == Self::Pending.name() { Ok(Self::Pending) } else { text.parse().map(Self::Is) }
    }
}

impl From<ShownStatus> for String {
    fn from(status: ShownStatus) -> Self {
        status.name().to_owned()
    }
}

impl TryFrom<String> for ShownStatus {
    type Error = UnknownStatus;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl RunBody {
    /// The run in `view`, whose workspace holds `files`.
    #[must_use]
    pub fn of(view: &RunView, files: Vec<String>) -> Self {
        let input: Value = view.input.to().unwrap_or_default();
        let text = |value: &Value| value.as_str().map(str::to_owned);
        Self {
            run_id: view.id.to_string(),
            status: ShownStatus::of(view),
            task_objective: text(&input["objective"]),
            project_id: text(&input["project_id"]),
            model: text(&input["model"]["name"]),
            sandbox: text(&input["sandbox"]),
            network: text(&input["network"]),
            hosts: hosts(view),
            created_at: view.created_at.to_string(),
            updated_at: view.updated_at.to_string(),
            progress_percentage: progress(view),
            nodes: view.nodes.iter().map(NodeBody::of).collect(),
            lease: view.lease.as_ref().map(LeaseBody::of),
            waits_for: view.waits_for.as_ref().map(WaitBody::of_run),
            files,
        }
    }
}

impl NodeBody {
    fn of(node: &NodeView) -> Self {
        let output: Option<Value> = node.output.as_ref().and_then(|output| output.to().ok());
        // NOTE: a completed node keeps the failure of an earlier attempt, which is not an error of the node.
        let error = node.failure.as_ref().filter(|_| node.status != NodeStatus::Completed);
        Self {
            id: node.name.to_string(),
            agent_name: node.name.to_string(),
            status: node.status,
            attempt: node.attempt,
            after: node.after.iter().map(ToString::to_string).collect(),
            output: output.map(|output| serde_json::from_value(output).unwrap_or_default()),
            error_message: error.map(|failure| failure.message.clone()),
            started_at: node.started_at.map(|at| at.to_string()),
            completed_at: node.ended_at.map(|at| at.to_string()),
            waits_for: node.waits_for.iter().map(WaitBody::of).collect(),
        }
    }
}

impl RunSummary {
    /// The run of `record`.
    #[must_use]
    pub fn of(record: &RunRecord) -> Self {
        let label = |name: &str| record.labels.get(name).cloned();
        Self {
            run_id: record.id.to_string(),
            status: ShownStatus::Is(record.status),
            task_objective: label(OBJECTIVE_LABEL),
            project_id: label(PROJECT_LABEL),
            model: label(MODEL_LABEL),
            created_at: record.created_at.to_string(),
            updated_at: record.updated_at.to_string(),
        }
    }
}

/// The sum of what all attempts have published.
fn hosts(view: &RunView) -> Vec<HostUse> {
    let mut sum = Vec::new();
    for (_, published) in view.published.iter().filter(|(key, _)| key.as_str().starts_with(NETWORK_KEY)) {
        let hosts: Vec<HostUse> = published.to().unwrap_or_default();
        add_hosts(&mut sum, &hosts);
    }
    sum
}

/// Completed nodes count whole, running nodes half.
fn progress(view: &RunView) -> usize {
    let points = |node: &NodeView| match node.status {
        NodeStatus::Completed => 2,
        NodeStatus::Running | NodeStatus::Backoff => 1,
        _ => 0,
    };
    let sum: usize = view.nodes.iter().map(points).sum();
    (sum * 50).checked_div(view.nodes.len()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_shown_by_its_name_and_parsed_from_it() {
        for status in RunStatus::ALL.map(ShownStatus::Is).into_iter().chain([ShownStatus::Pending]) {
            assert_eq!(status.name().parse(), Ok(status));
            let json = serde_json::to_value(status).expect("a name");
            assert_eq!(json, status.name());
            assert_eq!(serde_json::from_value::<ShownStatus>(json).expect("it reads back"), status);
        }
    }
}
