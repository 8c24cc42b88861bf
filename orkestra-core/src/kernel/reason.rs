//! Reasons of pauses, skips and stops, and what follows from a failed attempt: parts of events.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, Name, Timestamp};

/// Why a node was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SkipReason {
    /// Its condition does not hold.
    Condition,
    /// Too many of the nodes before it were skipped or failed.
    Upstream,
}

/// Why a run is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PauseReason {
    /// Someone asked for it.
    Asked {
        /// In their words.
        reason: String,
    },
    /// A budget was reached. It must be raised before the run can be resumed.
    Budget {
        /// The meter.
        meter: Name,
    },
    /// A node with [`OnFailure::Pause`](crate::model::OnFailure::Pause) failed.
    NodeFailed {
        /// The node.
        node: Name,
    },
    /// The run's process was lost several times in a row while this node ran: it may be what ends the process. See
    /// [`RunOptions::lost_processes_max`](crate::model::RunOptions::lost_processes_max).
    ProcessesLost {
        /// The node.
        node: Name,
        /// How many processes were lost.
        times: u32,
    },
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { reason } => f.write_str(reason),
            Self::Budget { meter } => write!(f, "the budget of `{meter}` is used up"),
            Self::NodeFailed { node } => write!(f, "node `{node}` failed"),
            Self::ProcessesLost { node, times } => {
                write!(
                    f,
                    "the process was lost {times} times in a row while node `{node}` ran; node `{node}` may have ended it"
                )
            }
        }
    }
}

/// What follows from a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Next {
    /// Another attempt at this time.
    RetryAt(Timestamp),
    /// No further attempt: the node failed.
    GiveUp,
}

/// Why a run ends before its nodes are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StopReason {
    /// Someone asked for it.
    Cancelled {
        /// In their words.
        reason: String,
    },
    /// A node failed.
    NodeFailed {
        /// The node.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// The run's deadline passed.
    DeadlinePassed {
        /// The deadline.
        deadline: Timestamp,
    },
    /// The run was terminated, and now retries a failed compensation. Never part of an event: termination leaves no
    /// time to stop.
    Terminated {
        /// In their words.
        reason: String,
    },
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cancelled { reason } | Self::Terminated { reason } => f.write_str(reason),
            Self::NodeFailed { node, failure } => write!(f, "node `{node}` failed: {failure}"),
            Self::DeadlinePassed { deadline } => write!(f, "the deadline passed: {deadline}"),
        }
    }
}
