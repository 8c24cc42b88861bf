//! The events of a run: durable facts, in the past tense.
//!
//! The names and fields here are the journal's format. They are only ever added to; `journal::codec` handles the
//! versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Amount, Answers, Failure, Growth, Name, Payload, Plan, RunId, RunOptions, Timestamp, journaled};

use super::looks::KeptValue;
use super::reason::{Next, PauseReason, SkipReason, StopReason};
use super::status::Outcome;

/// One durable fact of a run.
///
/// The enum is exhaustive on purpose, so that code which handles every event does not compile when it misses one. New
/// events will be added; a reader that is only interested in some needs a `_` arm.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The run was created. Always the first event, and only the first.
    RunCreated {
        /// The graph it starts with.
        plan: Arc<Plan>,
        /// The run's input.
        #[serde(with = "journaled")]
        input: Payload,
        /// Labels to find the run by.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// The run's options and origin.
        #[serde(default, skip_serializing_if = "RunOptions::is_default")]
        options: Box<RunOptions>,
    },
    /// A node waits for its slots before it starts.
    SlotAwaited {
        /// The node.
        node: Name,
    },
    /// A node was skipped.
    NodeSkipped {
        /// The node.
        node: Name,
        /// Why.
        reason: SkipReason,
    },
    /// A node failed without a running attempt.
    NodeFailed {
        /// The node.
        node: Name,
        /// What went wrong.
        failure: Failure,
    },
    /// A failed node is to be retried: it and the nodes skipped because of it start over.
    NodeReset {
        /// The node.
        node: Name,
    },
    /// A node got another input than the one it would have had.
    InputReplaced {
        /// The node.
        node: Name,
        /// The input.
        #[serde(with = "journaled")]
        input: Payload,
    },
    /// An attempt of a node started, or a gate started to wait.
    AttemptStarted {
        /// The node.
        node: Name,
        /// The attempt, counted from 1.
        attempt: u32,
        /// When it times out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deadline: Option<Timestamp>,
    },
    /// An attempt failed.
    AttemptFailed {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
        /// What went wrong.
        failure: Failure,
        /// What follows from it.
        next: Next,
    },
    /// A node completed.
    NodeCompleted {
        /// The node.
        node: Name,
        /// Its output.
        #[serde(with = "journaled")]
        output: Payload,
    },
    /// A node was cancelled because the run is stopping.
    NodeCancelled {
        /// The node.
        node: Name,
    },
    /// A step that must not run twice is about to start.
    StepStarted {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
    },
    /// A step completed. Its result is remembered as long as the run exists.
    StepCompleted {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
        /// Its result.
        #[serde(with = "journaled")]
        result: Payload,
        /// What it cost, by meter.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        charges: BTreeMap<Name, Amount>,
    },
    /// A task made a charge outside of its steps.
    Charged {
        /// The node.
        node: Name,
        /// The key of the charge, in the namespace of steps.
        step: String,
        /// What it cost, by meter.
        charges: BTreeMap<Name, Amount>,
    },
    /// A task published a value under a key of the run, replacing the previous value.
    Published {
        /// The node.
        node: Name,
        /// The key of the call, in the namespace of steps: each call publishes once.
        step: String,
        /// The key under which the value is read.
        key: Name,
        /// The value.
        #[serde(with = "journaled")]
        value: Payload,
    },
    /// A step failed for good. This is remembered as long as the run exists.
    StepFailed {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
        /// What went wrong.
        failure: Failure,
        /// What it cost, by meter.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        charges: BTreeMap<Name, Amount>,
    },
    /// A step that was about to start did not: the run was paused first, or its task dropped it.
    StepNotBegun {
        /// The node.
        node: Name,
        /// The step's key.
        step: String,
    },
    /// A task waits for a point in time.
    TimerSet {
        /// The node.
        node: Name,
        /// The key of the wait, in the namespace of steps.
        step: String,
        /// When the wait ends.
        due: Timestamp,
    },
    /// The time of a timer has come.
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
        /// The key of the wait, in the namespace of steps.
        step: String,
        /// The signal's name.
        signal: Name,
        /// The time limit of the wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A signal arrived.
    SignalReceived {
        /// The signal's name.
        signal: Name,
        /// The signal's payload.
        #[serde(with = "journaled")]
        payload: Payload,
    },
    /// The oldest unread signal of a name went to the node that waited longest for it.
    SignalConsumed {
        /// The node that waited.
        node: Name,
        /// The key of the wait; `None` for a gate.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<String>,
        /// The signal's name.
        signal: Name,
    },
    /// A task asked a question. The position of this event identifies the question.
    QuestionAsked {
        /// The node.
        node: Name,
        /// The key of the wait, in the namespace of steps.
        step: String,
        /// The question.
        #[serde(with = "journaled")]
        question: Payload,
        /// Until when it can be answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A question was answered.
    QuestionAnswered {
        /// The node that asked.
        node: Name,
        /// The key of the wait.
        step: String,
        /// The answer.
        #[serde(with = "journaled")]
        answer: Payload,
    },
    /// A task requested a child run and waits for its end.
    ChildRequested {
        /// The node.
        node: Name,
        /// The key of the wait, in the namespace of steps.
        step: String,
        /// The id of the child run.
        child: RunId,
        /// The workflow of the child run.
        workflow: Name,
        /// The input of the child run.
        #[serde(with = "journaled")]
        input: Payload,
        /// The time limit of the wait.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A child run ended.
    ChildEnded {
        /// The node.
        node: Name,
        /// How it ended.
        step: String,
        /// What it spent, by meter. This run spent it too.
        outcome: Outcome,
        /// What it spent, by meter: this run spent it too.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        charges: BTreeMap<Name, Amount>,
    },
    /// A task dropped the future of a wait. A signal that it received goes to the next in line. Nothing can end the
    /// wait any more.
    WaitLetGo {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
    },
    /// A wait passed its time limit.
    WaitTimedOut {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
    },
    /// A child run that is no longer waited for was cancelled, or needed no cancelling.
    ChildCancelled {
        /// The id of the child run.
        child: RunId,
    },
    /// A task that only waits was dropped from memory. It is called again when one of its waits ends.
    TaskParked {
        /// The node.
        node: Name,
    },
    /// A task added nodes or edges to the plan.
    Grown {
        /// The node whose task it was.
        node: Name,
        /// The key of the growth, in the namespace of steps.
        step: String,
        /// What was added.
        growth: Growth,
    },
    /// A task reported progress or partial output.
    Emitted {
        /// The node.
        node: Name,
        /// The kind of the report, chosen by the task.
        kind: String,
        /// The report.
        payload: Payload,
    },
    /// Another process took the run over: running attempts were interrupted.
    Recovered,
    /// The engine that drove the run shut down in order: no process was lost.
    Released,
    /// A meter reached its budget.
    BudgetReached {
        /// The meter.
        meter: Name,
        /// What was spent.
        spent: Amount,
        /// The limit.
        limit: Amount,
    },
    /// A budget was changed.
    BudgetSet {
        /// The meter.
        meter: Name,
        /// The new limit; `None` for no limit.
        limit: Option<Amount>,
    },
    /// The run was paused: no attempt starts, and running tasks stop at their next step.
    RunPaused {
        /// Why.
        reason: PauseReason,
    },
    /// The run was resumed.
    RunResumed,
    /// The run had ended, and continues because a node is to be retried.
    RunReopened,
    /// The events before this one were copied from the run that this one is a fork of. That run compensates them.
    Forked {
        /// Nodes that were incomplete there and had steps copied: that run compensates them too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shared: Vec<Name>,
    },
    /// The run had ended, and retries a failed compensation.
    UndoRetried {
        /// The node that compensates another.
        node: Name,
    },
    /// Completed nodes are compensated: the plan grows by the nodes that do so, in reverse order of completion.
    CompensationStarted {
        /// The compensating nodes.
        growth: Growth,
    },
    /// The run is to end before its nodes are done.
    StopRequested {
        /// Why.
        reason: StopReason,
        /// When attempts that are still running are given up.
        grace_until: Timestamp,
    },
    /// All nodes are done. Only [`RunReopened`](Self::RunReopened) and events about what the run owes others can
    /// follow.
    RunCompleted {
        /// The output of the last node; of several, an object by node name.
        #[serde(with = "journaled")]
        output: Payload,
    },
    /// The run failed. The same may follow as for [`RunCompleted`](Self::RunCompleted).
    RunFailed {
        /// The node that failed.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// The run was cancelled. The same may follow as for [`RunCompleted`](Self::RunCompleted).
    RunCancelled {
        /// Why, in the words of the caller.
        reason: String,
    },
    /// The run was terminated. The same may follow as for [`RunCompleted`](Self::RunCompleted).
    RunTerminated {
        /// Why, in the words of the caller.
        reason: String,
    },
    /// The run's deadline passed. The same may follow as for [`RunCompleted`](Self::RunCompleted).
    RunTimedOut {
        /// The deadline.
        deadline: Timestamp,
    },
    /// The run that waits for this one was informed of its end.
    ParentTold,
    /// A large value was read, because the plan tests something in it.
    ValueRead {
        /// The value.
        value: KeptValue,
        /// The answers to the plan's questions.
        answers: Answers,
    },
}
