//! Where runs and nodes stand.

use crate::model::{Failure, Name, Payload, Timestamp, journaled};

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunStatus {
    /// It is under way, or waits for something named.
    Running,
    /// It makes a pause: no attempt starts, tasks under way stop at their next step.
    Paused,
    /// It is to end: no node starts any more, running attempts are asked to stop.
    Stopping,
    /// It is to end, and undoes what it did.
    Compensating,
    /// All nodes have ended, and no failure was the run's.
    Completed,
    /// A node failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// Somebody ended it by force.
    Terminated,
    /// Its deadline passed.
    TimedOut,
}

impl RunStatus {
    /// Its name, as the journal, records and spans write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Compensating => "compensating",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Terminated => "terminated",
            Self::TimedOut => "timed_out",
        }
    }

    /// Whether nothing will happen to the run any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::Terminated | Self::TimedOut)
    }

    /// Whether the run is about to end.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Stopping | Self::Compensating)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// With this output.
    Completed(#[serde(with = "journaled")] Payload),
    /// With this failure of this node.
    Failed {
        /// The node.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// Cancelled, for this reason.
    Cancelled(String),
    /// By force, for this reason.
    Terminated(String),
    /// By its deadline.
    TimedOut(Timestamp),
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// It waits for nodes before it, or for the end of a pause.
    Pending,
    /// It waits for its slots.
    Queued,
    /// An attempt is under way; a gate is waiting.
    Running,
    /// An attempt failed and another follows later.
    Backoff,
    /// It is done.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// It will not run: its condition does not hold, or nodes that it needs have failed or were skipped.
    Skipped,
    /// The run stopped before it was done.
    Cancelled,
}

impl NodeStatus {
    /// Its name, as read models and spans write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Backoff => "backoff",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the node will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_serde_writes() {
        let runs = [
            RunStatus::Running,
            RunStatus::Paused,
            RunStatus::Stopping,
            RunStatus::Compensating,
            RunStatus::Completed,
            RunStatus::Failed,
            RunStatus::Cancelled,
            RunStatus::Terminated,
            RunStatus::TimedOut,
        ];
        for status in runs {
            assert_eq!(serde_json::to_value(status).expect("it serialises"), status.name());
        }
        let nodes = [
            NodeStatus::Pending,
            NodeStatus::Queued,
            NodeStatus::Running,
            NodeStatus::Backoff,
            NodeStatus::Completed,
            NodeStatus::Failed,
            NodeStatus::Skipped,
            NodeStatus::Cancelled,
        ];
        for status in nodes {
            assert_eq!(serde_json::to_value(status).expect("it serialises"), status.name());
        }
    }
}
