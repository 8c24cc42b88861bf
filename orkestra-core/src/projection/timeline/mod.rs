//! Timelines: what happened in a run and when, with every attempt, its steps, waits and costs.
//!
//! Folded from the run's commits in one pass, because a state does not keep past attempts.

mod fold;
mod text;

pub use fold::TimelineFold;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::kernel::{PauseReason, RunStatus, SkipReason};
use crate::model::{Amount, Failure, Name, Payload, RunId, Seq, Timestamp};

/// The timeline of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Timeline {
    /// The run.
    pub run: RunId,
    /// The run's workflow.
    pub workflow: Name,
    /// The run's status.
    pub status: RunStatus,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it ended; for a reopened run, its latest end.
    pub ended_at: Option<Timestamp>,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// The nodes with events, in order of their first event.
    pub nodes: Vec<NodeTimeline>,
    /// What happened to the run as a whole, in order.
    pub marks: Vec<Mark>,
    /// What was spent, by meter.
    pub spent: BTreeMap<Name, Amount>,
}

/// The timeline of a node.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct NodeTimeline {
    /// The node's name.
    pub name: Name,
    /// The times when it waited for slots.
    pub queued: Vec<Span>,
    /// Its attempts, in order.
    pub attempts: Vec<AttemptTimeline>,
    /// How it ended, if not with its last attempt.
    pub ended: Option<NodeEnd>,
}

/// A span of time, which may still be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Span {
    /// When it started.
    pub from: Timestamp,
    /// When it ended, if it has.
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

/// One attempt of a node. The attempt of a gate is its wait.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AttemptTimeline {
    /// Its number, counted from 1.
    pub attempt: u32,
    /// From its start to its end.
    pub span: Span,
    /// How it ended, if it has.
    pub outcome: Option<AttemptOutcome>,
    /// Its settled steps, in order.
    pub steps: Vec<StepTimeline>,
    /// Its waits, in order of their start.
    pub waits: Vec<WaitTimeline>,
    /// What it cost, by meter, over all steps.
    pub charges: BTreeMap<Name, Amount>,
    /// The number of its reports.
    pub reports: usize,
    /// How many times its process was lost.
    pub interruptions: usize,
}

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AttemptOutcome {
    /// The node completed.
    Completed,
    /// It failed.
    Failed {
        /// What went wrong.
        failure: Failure,
        /// When the next attempt was due; `None` when this was the last.
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
    /// The kind of the step.
    pub kind: StepKind,
    /// When it started, if that was recorded: only for steps that must not run twice.
    pub started_at: Option<Timestamp>,
    /// When it was settled.
    pub settled_at: Option<Timestamp>,
    /// What went wrong, if it failed.
    pub failure: Option<Failure>,
    /// What it cost, by meter.
    pub charges: BTreeMap<Name, Amount>,
}

/// The kind of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StepKind {
    /// Work of the task.
    Work,
    /// It added nodes or edges to the plan.
    Growth,
    /// It made a charge.
    Charge,
    /// It published a value.
    Publish,
}

/// A wait of an attempt.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct WaitTimeline {
    /// The key of the wait; `None` for a gate.
    pub key: Option<String>,
    /// What it waited for.
    pub kind: WaitKind,
    /// From its start to its end.
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
    /// The end of a child run.
    Child(RunId),
}

/// An event of the run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Mark {
    /// When it happened.
    pub at: Timestamp,
    /// Its position in the journal.
    pub seq: Seq,
    /// What happened.
    pub kind: MarkKind,
}

/// What happened to a run as a whole.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MarkKind {
    /// Another process took the run over.
    Recovered,
    /// It was paused.
    Paused(PauseReason),
    /// It was resumed.
    Resumed,
    /// It started to stop.
    Stopping,
    /// Its compensation started.
    Compensating,
    /// It was reopened after its end.
    Reopened,
    /// It ended.
    Ended(RunStatus),
}

impl Timeline {
    /// Draws for a terminal: one line per attempt, with bars on a common time scale.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::draw(self)
    }
}
