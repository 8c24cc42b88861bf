//! The meaning of an event, sorted by what it concerns: the run, a node, a step, or a wait.
//!
//! Readers of events (timeline, meters, fork) match on these enums, without a `_` arm. A new event is placed here by
//! [`Event::consequence`](super::Event::consequence), and then the compiler names every reader.

use std::sync::Arc;

use crate::model::{Failure, Name, Payload, Plan, RunId, Timestamp};

use super::reason::{Next, PauseReason, SkipReason};
use super::status::RunStatus;

/// The meaning of an event.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// Concerns the run as a whole, or its relation to other runs.
    Run(RunChange<'a>),
    /// Concerns the status of a node.
    Node(NodeChange<'a>),
    /// Concerns a step of a task.
    Step(StepChange<'a>),
    /// Concerns a wait of a task or gate.
    Wait(WaitChange<'a>),
}

/// What happened to the run as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunChange<'a> {
    /// It was created with this plan.
    Created(&'a Arc<Plan>),
    /// Another process took it over.
    Recovered,
    /// Its engine shut down and released it.
    Released,
    /// It was paused.
    Paused(&'a PauseReason),
    /// It was resumed.
    Resumed,
    /// It is about to end.
    Stopping,
    /// Its compensation started.
    Compensating,
    /// It ended.
    Ended(RunStatus),
    /// It was reopened after its end.
    Reopened,
    /// It retries a failed compensation.
    UndoRetried,
    /// It is a fork: the events before this one were copied.
    Forked,
    /// A meter reached its budget.
    BudgetReached,
    /// A budget was changed.
    BudgetSet,
    /// A signal arrived.
    SignalReceived(&'a Name),
    /// A child that is no longer waited for was cancelled.
    ChildCancelled,
    /// The run that waits for this one was informed of its end.
    ParentTold,
    /// A value that is kept beside the journal was read.
    ValueRead,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeChange<'a> {
    /// It waits for its slots.
    Queued,
    /// An attempt started.
    AttemptStarted(u32),
    /// An attempt failed; `Next` says what follows.
    AttemptFailed(&'a Failure, Next),
    /// It completed.
    Completed,
    /// It failed without a running attempt.
    Failed(&'a Failure),
    /// It was skipped.
    Skipped(&'a SkipReason),
    /// It ended because the run is stopping.
    Cancelled,
    /// It will be retried.
    Reset,
    /// Its input was replaced.
    InputReplaced,
    /// Its task was dropped from memory until one of its waits ends.
    Parked,
    /// Its task reported something.
    Reported {
        /// The kind of the report.
        kind: &'a str,
        /// The report.
        payload: &'a Payload,
    },
}

/// What happened to a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepChange<'a> {
    /// It is about to start, and must not run twice.
    Started,
    /// It did not start after all.
    NotBegun,
    /// It completed.
    Completed,
    /// It failed for good.
    Failed(&'a Failure),
    /// It was a charge.
    Charged,
    /// It published a value.
    Published,
    /// It added nodes or edges to the plan.
    Grown,
}

/// What happened to a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitChange<'a> {
    /// It started, for this, until this time at most.
    Began(Awaited<'a>, Option<Timestamp>),
    /// It ended with this.
    Ended(EndedBy),
    /// It passed its time limit.
    TimedOut,
    /// Its task dropped it.
    LetGo,
}

/// What a wait is for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Awaited<'a> {
    /// A point in time.
    Time(Timestamp),
    /// A signal of this name.
    Signal(&'a Name),
    /// The answer to this question.
    Answer(&'a Payload),
    /// The end of this run.
    Child(&'a RunId),
}

/// What ended a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum EndedBy {
    /// The point in time.
    Time,
    /// The signal.
    Signal,
    /// The answer.
    Answer,
    /// The end of the other run.
    Child,
}
