//! What is written down of a run: durable facts, in the past tense.
//!
//! The names and fields here are the journal's format. They are only ever added to; `journal::codec` owns the versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, Growth, Name, Payload, Plan, Timestamp};

/// One durable fact of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Event {
    /// The run exists. Always the first event, and only there.
    RunCreated {
        /// The graph it begins with.
        plan: Arc<Plan>,
        /// What the run was given.
        input: Payload,
        /// What the run can be found by.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
    },
    /// A node began an attempt; a gate began to wait.
    AttemptStarted {
        /// The node.
        node: Name,
        /// The attempt, counted from 1.
        attempt: u32,
        /// When it times out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// An attempt failed, and this is what follows.
    AttemptFailed {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// What went wrong.
        failure: Failure,
        /// What follows.
        next: Next,
    },
    /// A node is done.
    NodeCompleted {
        /// The node.
        node: Name,
        /// Its output.
        output: Payload,
    },
    /// A node ended because the run is stopping.
    NodeCancelled {
        /// The node.
        node: Name,
    },
    /// A step that must not be done twice is about to begin.
    StepStarted {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
    },
    /// A step is done; its result is remembered for as long as the run is.
    StepCompleted {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
        /// Its result.
        result: Payload,
    },
    /// A step failed for good: that is remembered too.
    StepFailed {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
        /// What went wrong.
        failure: Failure,
    },
    /// A task waits for a point in time.
    TimerSet {
        /// The node.
        node: Name,
        /// The key of the wait, a step's.
        step: String,
        /// When the wait is over.
        due: Timestamp,
    },
    /// The point in time has come.
    TimerFired {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
    },
    /// A task waits for a signal.
    SignalAwaited {
        /// The node.
        node: Name,
        /// The key of the wait, a step's.
        step: String,
        /// The signal's name.
        signal: Name,
    },
    /// A signal came in.
    SignalReceived {
        /// The signal's name.
        signal: Name,
        /// What it says.
        payload: Payload,
    },
    /// The oldest unread signal of a name was handed to whoever waited for it.
    SignalConsumed {
        /// The node that waited.
        node: Name,
        /// The key of the wait; none for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// The signal's name.
        signal: Name,
    },
    /// A task added to the plan.
    Grown {
        /// The node whose task it was.
        node: Name,
        /// The key it did so under, a step's.
        step: String,
        /// What was added.
        growth: Growth,
    },
    /// A task reported progress or partial output.
    Emitted {
        /// The node.
        node: Name,
        /// What sort of report it is, in the task's words.
        kind: String,
        /// The report.
        payload: Payload,
    },
    /// Another process went on with the run: what was under way was interrupted.
    Recovered,
    /// The run is to end before its nodes are done.
    StopRequested {
        /// Why.
        reason: StopReason,
        /// When attempts that have not ended by themselves are given up.
        grace_until: Timestamp,
    },
    /// All nodes are done. Nothing follows.
    RunCompleted {
        /// The output of the node that nothing comes after; of several, an object by node name.
        output: Payload,
    },
    /// The run failed. Nothing follows.
    RunFailed {
        /// The node that failed.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// The run was cancelled. Nothing follows.
    RunCancelled {
        /// Why, in the words of whoever asked.
        reason: String,
    },
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
}

impl Event {
    /// The node that the event is about, if it is about one.
    #[must_use]
    pub const fn node(&self) -> Option<&Name> {
        match self {
            Self::AttemptStarted { node, .. }
            | Self::AttemptFailed { node, .. }
            | Self::NodeCompleted { node, .. }
            | Self::NodeCancelled { node }
            | Self::StepStarted { node, .. }
            | Self::StepCompleted { node, .. }
            | Self::StepFailed { node, .. }
            | Self::TimerSet { node, .. }
            | Self::TimerFired { node, .. }
            | Self::SignalAwaited { node, .. }
            | Self::SignalConsumed { node, .. }
            | Self::Grown { node, .. }
            | Self::Emitted { node, .. }
            | Self::RunFailed { node, .. } => Some(node),
            Self::RunCreated { .. }
            | Self::SignalReceived { .. }
            | Self::Recovered
            | Self::StopRequested { .. }
            | Self::RunCompleted { .. }
            | Self::RunCancelled { .. } => None,
        }
    }

    /// The step that the event settles: its result can be read from the state from now on.
    #[must_use]
    pub fn settled_step(&self) -> Option<(&Name, &str)> {
        match self {
            Self::StepCompleted { node, step, .. }
            | Self::StepFailed { node, step, .. }
            | Self::TimerFired { node, step }
            | Self::Grown { node, step, .. }
            | Self::SignalConsumed { node, step: Some(step), .. } => Some((node, step)),
            _ => None,
        }
    }

    /// Whether nothing can follow.
    #[must_use]
    pub const fn ends_run(&self) -> bool {
        matches!(self, Self::RunCompleted { .. } | Self::RunFailed { .. } | Self::RunCancelled { .. })
    }
}
