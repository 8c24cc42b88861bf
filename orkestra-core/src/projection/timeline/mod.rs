//! What happened in a run and when: every attempt with its steps, waits and costs.
//!
//! Folded from the run's commits, in one pass; a state does not remember attempts that are over.

mod fold;
mod text;

pub use fold::TimelineFold;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::{PauseReason, RunStatus, SkipReason};
use crate::model::{Amount, Failure, Name, Payload, RunId, Seq, Timestamp};

/// A run in time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// The run.
    pub run: RunId,
    /// The workflow it runs.
    pub workflow: Name,
    /// Where it stands.
    pub status: RunStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended; of a run that was tried again, for the last time.
    pub ended_at: Option<Timestamp>,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// Its nodes that something happened to, in the order in which it began to.
    pub nodes: Vec<NodeTimeline>,
    /// What happened to the run as a whole, in order.
    pub marks: Vec<Mark>,
    /// What was spent, by meter.
    pub spent: BTreeMap<Name, Amount>,
}

/// A node in time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeTimeline {
    /// The node's name.
    pub name: Name,
    /// Its times of waiting for slots.
    pub queued: Vec<Span>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptTimeline>,
    /// How it ended where that is not how its last attempt did.
    pub ended: Option<NodeEnd>,
}

/// A time that began and may be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// When it began.
    pub from: Timestamp,
    /// When it was over, if it is.
    pub until: Option<Timestamp>,
}

/// How a node ended without an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeEnd {
    /// It was skipped.
    Skipped {
        /// When.
        at: Timestamp,
        /// Why.
        reason: SkipReason,
    },
    /// It failed.
    Failed {
        /// When.
        at: Timestamp,
        /// What went wrong.
        failure: Failure,
    },
    /// The run stopped before it was done.
    Cancelled {
        /// When.
        at: Timestamp,
    },
}

/// One attempt of a node; of a gate, its wait.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttemptTimeline {
    /// Its number, counted from 1.
    pub attempt: u32,
    /// When it began and ended.
    pub span: Span,
    /// How it ended, if it has.
    pub outcome: Option<AttemptOutcome>,
    /// The steps that it settled, in order.
    pub steps: Vec<StepTimeline>,
    /// The waits that it began, in order.
    pub waits: Vec<WaitTimeline>,
    /// What it cost, by meter, all steps together.
    pub charges: BTreeMap<Name, Amount>,
    /// How many reports it gave.
    pub reports: usize,
    /// How often its process was lost.
    pub interruptions: usize,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The node was done.
    Completed,
    /// It failed.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// When the next attempt was to begin; never when it was the last.
        next_at: Option<Timestamp>,
    },
    /// The run stopped.
    Cancelled,
}

/// A step of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StepTimeline {
    /// The step's key.
    pub key: String,
    /// What it was.
    pub kind: StepKind,
    /// When it began, if that was written down: it is for steps that must not be done twice.
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// What went wrong, if it failed.
    pub failure: Option<Failure>,
    /// What it cost, by meter.
    pub charges: BTreeMap<Name, Amount>,
}

/// What a step was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// Work of the task.
    Work,
    /// It added to the plan.
    Growth,
    /// It charged for something.
    Charge,
    /// It published a value.
    Publish,
}

/// A wait of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WaitTimeline {
    /// The key of the wait; none for a gate's.
    pub key: Option<String>,
    /// What it was for.
    pub kind: WaitKind,
    /// From when until when.
    pub span: Span,
}

/// What an attempt waited for.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitKind {
    /// A point in time.
    Timer(Timestamp),
    /// A signal.
    Signal(Name),
    /// The answer to a question.
    Answer(Payload),
    /// The end of another run.
    Child(RunId),
}

/// Something that happened to the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mark {
    /// When.
    pub at: Timestamp,
    /// Its position in the journal.
    pub seq: Seq,
    /// What.
    pub kind: MarkKind,
}

/// What happened to a run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Another process went on with it.
    Recovered,
    /// It made a pause.
    Paused(PauseReason),
    /// It went on after a pause.
    Resumed,
    /// It was to end.
    Stopping,
    /// What it did was undone.
    Compensating,
    /// It went on after its end.
    Reopened,
    /// It ended.
    Ended(RunStatus),
}

impl Timeline {
    /// For a terminal: a line per attempt, with bars along one scale of time.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::draw(self)
    }
}
