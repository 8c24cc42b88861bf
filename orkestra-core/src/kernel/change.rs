//! What an event says, sorted by what it is about: the run, a node, a step, or a wait.
//!
//! Whoever reads events by what they mean (the timeline, the meters, a fork) matches on these enums, without a `_` arm. A new
//! event gets its place here by [`Event::consequence`](super::Event::consequence), and then the compiler names every reader.

use std::sync::Arc;

use crate::model::{Failure, Name, Payload, Plan, RunId, Timestamp};

use super::reason::{Next, PauseReason, SkipReason};
use super::status::RunStatus;

/// What an event says.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'a> {
    /// Of the run as a whole, or of what it has with others.
    Run(RunChange<'a>),
    /// Of where a node stands.
    Node(NodeChange<'a>),
    /// Of a step of a task.
    Step(StepChange<'a>),
    /// Of what a task or a gate waits for.
    Wait(WaitChange<'a>),
}

/// What happened to the run as a whole.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RunChange<'a> {
    /// It exists, with this plan.
    Created(&'a Arc<Plan>),
    /// Another process went on with it.
    Recovered,
    /// Its engine shut down and left it to the next.
    Released,
    /// It was paused.
    Paused(&'a PauseReason),
    /// It goes on after a pause.
    Resumed,
    /// It is to end.
    Stopping,
    /// What it did is undone.
    Compensating,
    /// It ended.
    Ended(RunStatus),
    /// It goes on after its end.
    Reopened,
    /// It undoes once more what it could not undo.
    UndoRetried,
    /// What comes before was copied from another run.
    Forked,
    /// It has spent all that it may of a meter.
    BudgetReached,
    /// It may spend another amount from now on.
    BudgetSet,
    /// A signal came in.
    SignalReceived(&'a Name),
    /// A run that nobody waits for any more was cancelled.
    ChildCancelled,
    /// The run that waits for this one knows how it ended.
    ParentTold,
    /// A value that is kept beside the journal was read.
    ValueRead,
}

/// What happened to a node.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NodeChange<'a> {
    /// It waits for its slots.
    Queued,
    /// An attempt began.
    AttemptStarted(u32),
    /// An attempt failed, and this follows.
    AttemptFailed(&'a Failure, Next),
    /// Its attempt, and with it the node, is done.
    Completed,
    /// It failed while no attempt was under way.
    Failed(&'a Failure),
    /// It will not run.
    Skipped(&'a SkipReason),
    /// It ended because the run is stopping.
    Cancelled,
    /// It is to be tried again.
    Reset,
    /// It was given another input.
    InputReplaced,
    /// Its task was dropped from memory until one of its waits is over.
    Parked,
    /// Its task reported something.
    Reported {
        /// What sort of report it is.
        kind: &'a str,
        /// The report.
        payload: &'a Payload,
    },
}

/// What happened to a step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum StepChange<'a> {
    /// It is about to begin, and must not be done twice.
    Started,
    /// It did not begin after all.
    NotBegun,
    /// It is done.
    Completed,
    /// It failed for good.
    Failed(&'a Failure),
    /// It was only a charge.
    Charged,
    /// It only published a value.
    Published,
    /// It added to the plan.
    Grown,
}

/// What happened to a wait.
#[derive(Clone, Copy, Debug)]
pub(crate) enum WaitChange<'a> {
    /// It began, for this, and until then at the most.
    Began(Awaited<'a>, Option<Timestamp>),
    /// What it was for has come.
    Ended(Came),
    /// What it was for did not come in time.
    TimedOut,
    /// Its task does not wait any more.
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
pub(crate) enum Came {
    /// The point in time.
    Time,
    /// The signal.
    Signal,
    /// The answer.
    Answer,
    /// The end of the other run.
    Child,
}
