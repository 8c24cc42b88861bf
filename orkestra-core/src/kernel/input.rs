//! What the world tells a run.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{
    Amount, Answers, Failure, Growth, Incarnation, Name, Parent, Payload, Plan, RunId, RunOptions, Seq, Timestamp,
};

use super::event::Event;
use super::looks::KeptValue;
use super::status::Outcome;

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
#[non_exhaustive]
pub enum InputKind {
    /// Somebody starts the run.
    Create {
        /// The graph to run.
        plan: Arc<Plan>,
        /// What it works on.
        input: Payload,
        /// What it can be found by.
        labels: BTreeMap<String, String>,
        /// How it is to be run.
        options: Box<RunOptions>,
    },
    /// Somebody starts the run as another one went, up to a node.
    Fork {
        /// The other run.
        from: RunId,
        /// All of its events.
        events: Vec<Event>,
        /// The node from which on the runs differ: it must have begun there.
        node: Name,
        /// What the node works on instead of what it did there.
        input: Option<Payload>,
        /// Which run of its id the new one is.
        incarnation: Option<Incarnation>,
        /// Whether what both share may have been undone in the other run.
        undone: bool,
    },
    /// A process takes over a run that another one drove.
    Recover,
    /// A process that shuts down leaves the run to the next.
    Release,
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
    /// The task of an attempt only waits, and was dropped from memory.
    TaskParked {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
    },
    /// A node has the slots that it waits for.
    SlotGranted {
        /// The node.
        node: Name,
        /// The attempt that may start.
        attempt: u32,
    },
    /// A signal comes in.
    Signal {
        /// Its name.
        signal: Name,
        /// What it says.
        payload: Payload,
    },
    /// Somebody answers a question.
    Answer {
        /// The question: the position of the event that asked it.
        question: Seq,
        /// The answer.
        answer: Payload,
    },
    /// A run that this one waits for has ended.
    ChildEnded {
        /// The other run.
        child: RunId,
        /// How.
        outcome: Outcome,
        /// What it spent.
        spent: BTreeMap<Name, Amount>,
    },
    /// A value that is kept beside the journal was read, because the plan looks at something in it.
    ValueRead {
        /// The value.
        value: KeptValue,
        /// What was to be known of it.
        answers: Answers,
    },
    /// A run that nobody waits for any more has been cancelled, or needed no cancelling.
    ChildCancelled {
        /// The other run.
        child: RunId,
    },
    /// The run that waits for this one knows how it ended.
    ParentTold,
    /// The run that asked for this one does not wait for it any more. One that is not there yet is created and cancelled
    /// at once, so that whoever is about to start it finds it ended.
    CancelChild {
        /// Who asked for it: a run of somebody else is left alone.
        parent: Parent,
        /// The workflow that it runs, or was to run.
        workflow: Name,
        /// Why.
        reason: String,
        /// Which run of its id it is, if it is not there yet.
        incarnation: Option<Incarnation>,
    },
    /// Somebody asks the run to stop.
    Cancel {
        /// Why.
        reason: String,
    },
    /// Somebody ends the run by force.
    Terminate {
        /// Why.
        reason: String,
    },
    /// Somebody wants the run to make a pause.
    Pause {
        /// Why.
        reason: String,
    },
    /// Somebody wants the run to go on after a pause.
    Resume,
    /// Somebody wants a failed node to be tried again.
    Retry {
        /// The node.
        node: Name,
    },
    /// Somebody changes what the run may spend.
    SetBudget {
        /// The meter.
        meter: Name,
        /// What may be spent; without end when there is none.
        limit: Option<Amount>,
    },
}

impl InputKind {
    /// Whether one run owes it to another one, which may be driven elsewhere.
    #[must_use]
    pub const fn is_owed(&self) -> bool {
        matches!(self, Self::ChildEnded { .. } | Self::CancelChild { .. })
    }
}

/// What a running attempt asks for through its context. `step` is the key under which the answer is remembered.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
        /// What it cost, by meter.
        charges: BTreeMap<Name, Amount>,
    },
    /// Charge for something.
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
        /// When it is over.
        due: Timestamp,
    },
    /// Wait for a signal.
    AwaitSignal {
        /// The key of the wait.
        step: String,
        /// The signal's name.
        signal: Name,
        /// How long at the most.
        until: Option<Timestamp>,
    },
    /// Ask somebody, and wait for the answer.
    Ask {
        /// The key of the wait.
        step: String,
        /// The question.
        question: Payload,
        /// How long it may be answered.
        until: Option<Timestamp>,
    },
    /// Start another run, and wait for its end.
    Child {
        /// The key of the wait.
        step: String,
        /// The id of the other run.
        child: RunId,
        /// The workflow that it runs.
        workflow: Name,
        /// What it works on.
        input: Payload,
        /// How long it is waited for.
        until: Option<Timestamp>,
    },
    /// Let go what was asked for: its future was dropped.
    LetGo {
        /// The key of the wait, or of a step that must not be done twice.
        step: String,
        /// Whether the work of such a step had begun.
        begun: bool,
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

    /// Whether something begins with it that a pause holds back.
    #[must_use]
    pub const fn begins_something(&self) -> bool {
        matches!(self, Self::StartStep { .. } | Self::Ask { .. } | Self::Child { .. } | Self::Grow { .. })
    }

    /// Whether the answer comes from outside the task: it waits, and can be parked meanwhile.
    #[must_use]
    pub const fn is_wait(&self) -> bool {
        matches!(self, Self::Sleep { .. } | Self::AwaitSignal { .. } | Self::Ask { .. } | Self::Child { .. })
    }
}
