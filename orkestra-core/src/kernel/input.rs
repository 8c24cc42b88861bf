//! What the world tells a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{Failure, Growth, Name, Payload, Plan, Timestamp};

/// One thing that happened outside the run, with the time and the chance that its decision may use.
#[derive(Clone, Debug)]
pub struct Input {
    /// When it happened, by the clock of whoever drives the run.
    pub at: Timestamp,
    /// Chance for this decision, from 0 to 1.
    pub chance: f64,
    /// What happened.
    pub kind: InputKind,
}

/// What happened. Inputs of a task carry its attempt, so that a late one of an old attempt is recognised.
#[derive(Clone, Debug)]
pub enum InputKind {
    /// Somebody starts the run.
    Create {
        /// The graph to run.
        plan: Arc<Plan>,
        /// What it works on.
        input: Payload,
        /// What it can be found by.
        labels: BTreeMap<String, String>,
    },
    /// A process takes over a run that another one drove.
    Recover,
    /// Time has passed: whatever is due happens now.
    Tick,
    /// An attempt's task ended.
    AttemptEnded {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// Its output, or what went wrong.
        result: Result<Payload, Failure>,
    },
    /// Something that a running attempt asks for.
    Task {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// What it asks for.
        request: TaskRequest,
    },
    /// A signal comes in.
    Signal {
        /// Its name.
        signal: Name,
        /// What it says.
        payload: Payload,
    },
    /// Somebody asks the run to stop.
    Cancel {
        /// Why.
        reason: String,
    },
}

/// What a running attempt asks for through its context. `step` is the key under which the answer is remembered.
#[derive(Clone, Debug)]
pub enum TaskRequest {
    /// Remember that the step begins, before it does.
    StartStep {
        /// The step.
        step: String,
    },
    /// Remember how the step ended.
    EndStep {
        /// The step.
        step: String,
        /// Its result, or a failure that is final.
        result: Result<Payload, Failure>,
    },
    /// Wait until `due`.
    Sleep {
        /// The key of the wait.
        step: String,
        /// When it is over.
        due: Timestamp,
    },
    /// Wait for a signal.
    AwaitSignal {
        /// The key of the wait.
        step: String,
        /// The signal's name.
        signal: Name,
    },
    /// Add to the plan.
    Grow {
        /// The key of the growth.
        step: String,
        /// What to add.
        growth: Growth,
    },
    /// Report progress or partial output.
    Emit {
        /// What sort of report it is.
        kind: String,
        /// The report.
        payload: Payload,
    },
}

impl TaskRequest {
    /// The key that the request is remembered under, if it is.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StartStep { step }
            | Self::EndStep { step, .. }
            | Self::Sleep { step, .. }
            | Self::AwaitSignal { step, .. }
            | Self::Grow { step, .. } => Some(step),
            Self::Emit { .. } => None,
        }
    }
}
