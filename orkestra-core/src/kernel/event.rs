//! What is written down of a run: durable facts, in the past tense.
//!
//! The names and fields here are the journal's format. They are only ever added to; `journal::codec` owns the versions.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Amount, Answers, Failure, Growth, Name, Payload, Plan, RunId, RunOptions, Timestamp, journaled};

use super::looks::KeptValue;
use super::reason::{Next, PauseReason, SkipReason, StopReason};
use super::status::Outcome;

/// One durable fact of a run.
///
/// The enum is exhaustive on purpose: whoever tells others of a run decides on every event, and one that was forgotten does not
/// compile. New events are added; an event that is not to be told of needs a `_` of its reader.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Event {
    /// The run exists. Always the first event, and only there.
    RunCreated {
        /// The graph it begins with.
        plan: Arc<Plan>,
        /// What the run was given.
        #[serde(with = "journaled")]
        input: Payload,
        /// What the run can be found by.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        labels: BTreeMap<String, String>,
        /// How it is to be run, and where it comes from.
        #[serde(default, skip_serializing_if = "RunOptions::is_default")]
        options: Box<RunOptions>,
    },
    /// A node may start once it has its slots.
    SlotAwaited {
        /// The node.
        node: Name,
    },
    /// A node will not run.
    NodeSkipped {
        /// The node.
        node: Name,
        /// Why.
        reason: SkipReason,
    },
    /// A node failed while no attempt of it was under way.
    NodeFailed {
        /// The node.
        node: Name,
        /// What went wrong.
        failure: Failure,
    },
    /// Somebody wants a node that failed to be tried again: it and what was skipped because of it begin anew.
    NodeReset {
        /// The node.
        node: Name,
    },
    /// Somebody gave a node another input than the one that it would get.
    InputReplaced {
        /// The node.
        node: Name,
        /// The input.
        #[serde(with = "journaled")]
        input: Payload,
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
        #[serde(with = "journaled")]
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
        #[serde(with = "journaled")]
        result: Payload,
        /// What it cost, by meter.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        charges: BTreeMap<Name, Amount>,
    },
    /// A task charged for something beside its steps.
    Charged {
        /// The node.
        node: Name,
        /// The key of the charge, a step's.
        step: String,
        /// What it cost, by meter.
        charges: BTreeMap<Name, Amount>,
    },
    /// A task published a value under a key of the run, in place of the one before.
    Published {
        /// The node.
        node: Name,
        /// The key of the call, a step's: each call publishes once.
        step: String,
        /// The key under which the value is read.
        key: Name,
        /// The value.
        #[serde(with = "journaled")]
        value: Payload,
    },
    /// A step failed for good: that is remembered too.
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
    /// A step that was about to begin did not: the run was paused first, or its task has let it go.
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
        /// How long at the most.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A signal came in.
    SignalReceived {
        /// The signal's name.
        signal: Name,
        /// What it says.
        #[serde(with = "journaled")]
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
    /// A task asks somebody a question. It is known by the position of this event.
    QuestionAsked {
        /// The node.
        node: Name,
        /// The key of the wait, a step's.
        step: String,
        /// The question.
        #[serde(with = "journaled")]
        question: Payload,
        /// How long it may be answered.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Somebody answered.
    QuestionAnswered {
        /// The node that asked.
        node: Name,
        /// The key of the wait.
        step: String,
        /// The answer.
        #[serde(with = "journaled")]
        answer: Payload,
    },
    /// A task wants another run, and waits for its end.
    ChildRequested {
        /// The node.
        node: Name,
        /// The key of the wait, a step's.
        step: String,
        /// The id of the other run.
        child: RunId,
        /// The workflow that it runs.
        workflow: Name,
        /// What it works on.
        #[serde(with = "journaled")]
        input: Payload,
        /// How long it is waited for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The other run has ended.
    ChildEnded {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
        /// How.
        outcome: Outcome,
        /// What it spent, by meter: this run spent it too.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        charges: BTreeMap<Name, Amount>,
    },
    /// A task has let a wait go, whose future it dropped. What it had received goes to the next; nothing ends it any more.
    WaitLetGo {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
    },
    /// What a task waited for did not come in time.
    WaitTimedOut {
        /// The node.
        node: Name,
        /// The key of the wait.
        step: String,
    },
    /// A run that was asked for by a task which nobody runs any more was cancelled, or needed no cancelling.
    ChildCancelled {
        /// The id of the other run.
        child: RunId,
    },
    /// A task that only waits was dropped from memory. It is called again when one of its waits is over.
    TaskParked {
        /// The node.
        node: Name,
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
    /// The engine that drove the run shut down and left it to the next: no process was lost.
    Released,
    /// What was spent on a meter reached the run's budget.
    BudgetReached {
        /// The meter.
        meter: Name,
        /// What was spent.
        spent: Amount,
        /// What may be.
        limit: Amount,
    },
    /// Somebody changed what the run may spend.
    BudgetSet {
        /// The meter.
        meter: Name,
        /// What may be spent from now on; without end when there is none.
        limit: Option<Amount>,
    },
    /// No attempt starts any more, and tasks under way stop at their next step.
    RunPaused {
        /// Why.
        reason: PauseReason,
    },
    /// The run goes on.
    RunResumed,
    /// The run had ended, and goes on because a node of it is to be tried again.
    RunReopened,
    /// What comes before was copied from the run that this one is a fork of, and is that one's to undo.
    Forked {
        /// Nodes that were not done there, of which steps were copied: they are that one's too.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        shared: Vec<Name>,
    },
    /// The run had ended, and undoes once more what it could not undo.
    UndoRetried {
        /// The node that undoes another one.
        node: Name,
    },
    /// What was done is undone: the plan grows by nodes that do so, in reverse order of completion.
    CompensationStarted {
        /// The nodes.
        growth: Growth,
    },
    /// The run is to end before its nodes are done.
    StopRequested {
        /// Why.
        reason: StopReason,
        /// When attempts that have not ended by themselves are given up.
        grace_until: Timestamp,
    },
    /// All nodes are done. Nothing follows, unless the run is reopened, but that whoever waits for it was told.
    RunCompleted {
        /// The output of the node that nothing comes after; of several, an object by node name.
        #[serde(with = "journaled")]
        output: Payload,
    },
    /// The run failed. What may follow is as for [`RunCompleted`](Self::RunCompleted).
    RunFailed {
        /// The node that failed.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// The run was cancelled. What may follow is as for [`RunCompleted`](Self::RunCompleted).
    RunCancelled {
        /// Why, in the words of whoever asked.
        reason: String,
    },
    /// The run was ended by force. What may follow is as for [`RunCompleted`](Self::RunCompleted).
    RunTerminated {
        /// Why, in the words of whoever did.
        reason: String,
    },
    /// The run's deadline passed. What may follow is as for [`RunCompleted`](Self::RunCompleted).
    RunTimedOut {
        /// The deadline.
        deadline: Timestamp,
    },
    /// The run that waits for this one knows how it ended.
    ParentTold,
    /// A value that is kept beside the journal was read, because the plan looks at something in it.
    ValueRead {
        /// The value.
        value: KeptValue,
        /// What was to be known of it.
        answers: Answers,
    },
}
