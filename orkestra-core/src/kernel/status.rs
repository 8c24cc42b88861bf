//! The statuses of runs and nodes.

use std::fmt;
use std::str::FromStr;

use crate::model::{Failure, Name, Payload, Timestamp, journaled};

/// The status of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunStatus {
    /// It is running, or waits for something named.
    Running,
    /// It is paused: no attempt starts, and running tasks stop at their next step.
    Paused,
    /// It is about to end: no node starts, and running attempts are asked to stop.
    Stopping,
    /// It is about to end, and completed nodes are being compensated.
    Compensating,
    /// All nodes have ended, and none failed the run.
    Completed,
    /// A node failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was terminated.
    Terminated,
    /// Its deadline passed.
    TimedOut,
}

impl RunStatus {
    /// Every status.
    pub const ALL: [Self; 9] = [
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Compensating,
        Self::Completed,
        Self::Failed,
        Self::Cancelled,
        Self::Terminated,
        Self::TimedOut,
    ];

    /// The statuses of runs that have not ended: an engine drives them, or will.
    pub const LIVE: [Self; 4] = [Self::Running, Self::Paused, Self::Stopping, Self::Compensating];

    /// The statuses of runs that have ended.
    pub const FINAL: [Self; 5] = [Self::Completed, Self::Failed, Self::Cancelled, Self::Terminated, Self::TimedOut];

    /// Its name in the journal, records and spans. [`FromStr`] parses it.
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

    /// Whether the run has ended.
    #[must_use]
    pub const fn is_final(self) -> bool {
        match self {
            Self::Running | Self::Paused | Self::Stopping | Self::Compensating => false,
            Self::Completed | Self::Failed | Self::Cancelled | Self::Terminated | Self::TimedOut => true,
        }
    }

    /// Whether the run has not ended. Paused and compensating runs are live.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !self.is_final()
    }

    /// Whether the run is about to end.
    #[must_use]
    pub const fn is_ending(self) -> bool {
        matches!(self, Self::Stopping | Self::Compensating)
    }
}

impl fmt::Display for RunStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Parses the name of a status.
///
/// ```
/// use orkestra_core::kernel::RunStatus;
///
/// assert_eq!("paused".parse(), Ok(RunStatus::Paused));
/// let error = "asleep".parse::<RunStatus>().unwrap_err();
/// assert!(error.to_string().starts_with("unknown run status `asleep`: expected one of running, paused, "));
/// ```
impl FromStr for RunStatus {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|status| status.name() == text).ok_or_else(|| UnknownStatus(text.to_owned()))
    }
}

/// The text is not the name of a [`RunStatus`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown run status `{0}`: expected one of {names}", names = RunStatus::ALL.map(RunStatus::name).join(", "))]
pub struct UnknownStatus(String);

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// It completed with this output.
    Completed(#[serde(with = "journaled")] Payload),
    /// It failed with this failure of this node.
    Failed {
        /// The node.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// It was cancelled for this reason.
    Cancelled(String),
    /// It was terminated for this reason.
    Terminated(String),
    /// It passed this deadline.
    TimedOut(Timestamp),
}

/// The status of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// It waits for nodes before it, or for the end of a pause.
    Pending,
    /// It waits for its slots.
    Queued,
    /// An attempt is running, or a gate is waiting.
    Running,
    /// An attempt failed, and another follows later.
    Backoff,
    /// It completed.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// It will not run: its condition does not hold, or nodes that it depends on have failed or were skipped.
    Skipped,
    /// The run stopped before the node was done.
    Cancelled,
}

impl NodeStatus {
    /// Every status.
    pub const ALL: [Self; 8] = [
        Self::Pending,
        Self::Queued,
        Self::Running,
        Self::Backoff,
        Self::Completed,
        Self::Failed,
        Self::Skipped,
        Self::Cancelled,
    ];

    /// Its name in read models and spans.
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

    /// Whether the status will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped | Self::Cancelled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that serde accepts: its error lists them.
    fn known_to_serde<T: serde::de::DeserializeOwned + fmt::Debug>() -> String {
        let error = serde_json::from_str::<T>("\"?\"").expect_err("it is not a name");
        error.to_string().split('`').skip(3).step_by(2).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn every_status_is_listed_and_named_as_in_serde() {
        assert_eq!(known_to_serde::<RunStatus>(), RunStatus::ALL.map(RunStatus::name).join(" "));
        assert_eq!(known_to_serde::<NodeStatus>(), NodeStatus::ALL.map(NodeStatus::name).join(" "));
        for status in RunStatus::ALL {
            assert_eq!(serde_json::to_value(status).expect("it serialises"), status.name());
        }
        for status in NodeStatus::ALL {
            assert_eq!(serde_json::to_value(status).expect("it serialises"), status.name());
        }
    }

    #[test]
    fn a_status_is_either_live_or_final() {
        assert_eq!([&RunStatus::LIVE[..], &RunStatus::FINAL[..]].concat(), RunStatus::ALL);
        assert!(RunStatus::LIVE.into_iter().all(|status| status.is_live() && !status.is_final()));
        assert!(RunStatus::FINAL.into_iter().all(|status| status.is_final() && !status.is_live()));
    }

    #[test]
    fn a_status_is_parsed_only_from_its_exact_name() {
        for status in RunStatus::ALL {
            assert_eq!(status.to_string().parse(), Ok(status));
        }
        for text in ["", "Running", "running ", "pending", "timedout"] {
            assert_eq!(text.parse::<RunStatus>(), Err(UnknownStatus(text.to_owned())));
        }
    }
}
