//! Why things happen to a run, and what follows from a failed attempt: parts of events.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, Name, Timestamp};

/// Why a node does not run.
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
    /// Somebody asked.
    Asked {
        /// In their words.
        reason: String,
    },
    /// A budget was reached. It must be raised before the run can go on.
    Budget {
        /// The meter.
        meter: Name,
    },
    /// A node failed whose failure is to be looked at.
    NodeFailed {
        /// The node.
        node: Name,
    },
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked { reason } => f.write_str(reason),
            Self::Budget { meter } => write!(f, "the budget of `{meter}` is spent"),
            Self::NodeFailed { node } => write!(f, "node `{node}` failed"),
        }
    }
}

/// What follows a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Next {
    /// Another attempt at this time.
    RetryAt(Timestamp),
    /// None: the node failed.
    GiveUp,
}

/// Why a run ends before its nodes are done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StopReason {
    /// Somebody asked.
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
    /// Somebody ended the run by force, and it undoes once more what it could not undo. In no event: a run that is ended by
    /// force has no time to stop.
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
