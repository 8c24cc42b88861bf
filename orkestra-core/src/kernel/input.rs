//! Inputs: what happens to a run from outside the kernel.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Amount, Answers, Failure, Growth, Incarnation, Name, Parent, Payload, Plan, RunId, RunOptions, Seq, Timestamp,
};

use super::event::Event;
use super::looks::KeptValue;
use super::status::Outcome;

/// Something that happened, with the time and the random number that its decision may use.
#[derive(Clone, Debug)]
pub struct Input {
    /// When it happened, by the clock of the run's driver.
    pub at: Timestamp,
    /// A random number for this decision, from 0 to 1.
    pub chance: f64,
    /// What happened.
    pub kind: InputKind,
}

/// What happened. Inputs from a task carry its attempt, so that late inputs of an old attempt are recognised.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum InputKind {
    /// Create the run.
    Create {
        /// The graph to run.
        plan: Arc<Plan>,
        /// The run's input.
        input: Payload,
        /// Labels to find the run by.
        labels: BTreeMap<String, String>,
        /// The run's options.
        options: Box<RunOptions>,
    },
    /// Create the run as a fork of another run, from a node on.
    Fork {
        /// The other run.
        from: RunId,
        /// All of its events.
        events: Vec<Event>,
        /// The node at which the runs diverge. It must have started in the other run.
        node: Name,
        /// The input of that node, instead of the one it had there.
        input: Option<Payload>,
        /// The incarnation of the new run.
        incarnation: Option<Incarnation>,
        /// Whether work that both share may have been compensated in the other run.
        undone: bool,
    },
    /// Another process takes over the run.
    Recover,
    /// The engine shuts down and releases the run.
    Release,
    /// Time has passed: fire due timers.
    Tick,
    /// The task of an attempt ended.
    AttemptEnded {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// Its output, or its failure.
        result: Result<Payload, Failure>,
    },
    /// A request of a running attempt.
    Task {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// The request.
        request: TaskRequest,
    },
    /// The task of an attempt only waits, and was dropped from memory.
    TaskParked {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
    },
    /// A node got the slots that it waits for.
    SlotGranted {
        /// The node.
        node: Name,
        /// The attempt that may start.
        attempt: u32,
    },
    /// A signal arrives.
    Signal {
        /// Its name.
        signal: Name,
        /// Its payload.
        payload: Payload,
    },
    /// A question is answered.
    Answer {
        /// The question: the position of the event that asked it.
        question: Seq,
        /// The answer.
        answer: Payload,
    },
    /// A child run ended.
    ChildEnded {
        /// The child run.
        child: RunId,
        /// How it ended.
        outcome: Outcome,
        /// What it spent, by meter.
        spent: BTreeMap<Name, Amount>,
    },
    /// A large value was read, because the plan tests something in it.
    ValueRead {
        /// The value.
        value: KeptValue,
        /// The answers to the plan's questions.
        answers: Answers,
    },
    /// A child run that is no longer waited for was cancelled, or needed no cancelling.
    ChildCancelled {
        /// The child run.
        child: RunId,
    },
    /// The run that waits for this one was informed of its end.
    ParentTold,
    /// The parent no longer waits for this run. If the run does not exist yet, it is created and cancelled at once, so
    /// that a start that is still under way finds it ended.
    CancelChild {
        /// The request for this run. A run with another parent is left alone.
        parent: Parent,
        /// The workflow that it runs, or was to run.
        workflow: Name,
        /// Why.
        reason: String,
        /// The incarnation of the run, if it does not exist yet.
        incarnation: Option<Incarnation>,
    },
    /// Cancel the run.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Terminate the run.
    Terminate {
        /// Why.
        reason: String,
    },
    /// Pause the run.
    Pause {
        /// Why.
        reason: String,
    },
    /// Resume the run.
    Resume,
    /// Retry a failed node.
    Retry {
        /// The node.
        node: Name,
    },
    /// Change a budget.
    SetBudget {
        /// The meter.
        meter: Name,
        /// The new limit; `None` for no limit.
        limit: Option<Amount>,
    },
}

impl InputKind {
    /// Whether one run owes it to another run, which another engine may drive.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        matches!(self, Self::ChildEnded { .. } | Self::CancelChild { .. })
    }
}

/// A request of a running attempt, made through its context. `step` is the key under which the answer is stored.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum TaskRequest {
    /// Record that a step is about to start.
    StartStep {
        /// The step.
        step: String,
    },
    /// Record how a step ended.
    EndStep {
        /// The step.
        step: String,
        /// Its result, or a final failure.
        result: Result<Payload, Failure>,
        /// What it cost, by meter.
        charges: BTreeMap<Name, Amount>,
    },
    /// Record a charge.
    Charge {
        /// The key of the charge.
        step: String,
        /// What it cost, by meter.
        charges: BTreeMap<Name, Amount>,
    },
    /// Publish a value under a key of the run.
    Publish {
        /// The key of the call.
        step: String,
        /// The key under which the value is read.
        key: Name,
        /// The value.
        value: Payload,
    },
    /// Wait until `due`.
    Sleep {
        /// The key of the wait.
        step: String,
        /// When the wait ends.
        due: Timestamp,
    },
    /// Wait for a signal.
    AwaitSignal {
        /// The key of the wait.
        step: String,
        /// The signal's name.
        signal: Name,
        /// The time limit of the wait.
        until: Option<Timestamp>,
    },
    /// Ask a question and wait for the answer.
    Ask {
        /// The key of the wait.
        step: String,
        /// The question.
        question: Payload,
        /// Until when it can be answered.
        until: Option<Timestamp>,
    },
    /// Start a child run and wait for its end.
    Child {
        /// The key of the wait.
        step: String,
        /// The id of the child run.
        child: RunId,
        /// The workflow of the child run.
        workflow: Name,
        /// The input of the child run.
        input: Payload,
        /// The time limit of the wait.
        until: Option<Timestamp>,
    },
    /// Withdraw a request whose future was dropped.
    LetGo {
        /// The key of the wait, or of a step that must not run twice.
        step: String,
        /// Whether the work of such a step had started.
        begun: bool,
    },
    /// Add nodes or edges to the plan.
    Grow {
        /// The key of the growth.
        step: String,
        /// What to add.
        growth: Growth,
    },
    /// Report progress or partial output.
    Emit {
        /// The kind of the report.
        kind: String,
        /// The report.
        payload: Payload,
    },
}

impl TaskRequest {
    /// The key under which the request is stored, if any.
    #[must_use]
    pub fn step(&self) -> Option<&str> {
        match self {
            Self::StartStep { step }
            | Self::EndStep { step, .. }
            | Self::Charge { step, .. }
            | Self::Publish { step, .. }
            | Self::Sleep { step, .. }
            | Self::AwaitSignal { step, .. }
            | Self::Ask { step, .. }
            | Self::Child { step, .. }
            | Self::Grow { step, .. } => Some(step),
            Self::Emit { .. } | Self::LetGo { .. } => None,
        }
    }

    /// Whether it starts something that a pause holds back.
    #[must_use]
    pub const fn begins_something(&self) -> bool {
        matches!(self, Self::StartStep { .. } | Self::Ask { .. } | Self::Child { .. } | Self::Grow { .. })
    }

    /// Whether the answer comes from outside the task, so that the task can be parked while it waits.
    #[must_use]
    pub const fn is_wait(&self) -> bool {
        matches!(self, Self::Sleep { .. } | Self::AwaitSignal { .. } | Self::Ask { .. } | Self::Child { .. })
    }
}
