//! Applies events to a run's state, one at a time. The only writer of the state, both when deciding and when replaying.
//!
//! `apply` makes no choices. An event that does not fit the history is an error that names its position; the state must
//! not be used afterwards.
//!
//! `attempt` handles nodes and attempts, `step` steps and waits, `whole` what concerns the whole run, and `undo`
//! compensation.

mod attempt;
mod step;
mod undo;
mod whole;

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Name, NodeId, Payload, RunId, Seq, Timestamp};

use super::event::Event;
use super::node::{ChildState, NodeState};
use super::state::{RunState, Timer};
use super::status::{Outcome, RunStatus};

/// An event that cannot follow the state it was applied to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} of run `{run}` is illegal: {why}")]
#[non_exhaustive]
pub struct IllegalEvent {
    /// The run.
    pub run: RunId,
    /// The event's position.
    pub seq: Seq,
    /// Why it is illegal.
    pub why: String,
}

/// Applies the next event of `run`. The state is `None` before the first event.
///
/// # Errors
/// [`IllegalEvent`] when the event cannot follow; the state must not be used afterwards.
pub fn apply(run: &RunId, state: &mut Option<RunState>, at: Timestamp, event: &Event) -> Result<(), IllegalEvent> {
    if let Some(state) = state {
        return apply_next(state, at, event);
    }
    *state = Some(create(run, event, at)?);
    Ok(())
}

/// Applies the next event of a created run.
pub(crate) fn apply_next(state: &mut RunState, at: Timestamp, event: &Event) -> Result<(), IllegalEvent> {
    let illegal = |state: &RunState, seq, why| IllegalEvent { run: state.id.clone(), seq, why };
    let seq = state.last.plus(1);
    if state.status.is_final() && !event.consequence().follows_end {
        return Err(illegal(state, seq, "the run has ended".into()));
    }
    state.advance(at);
    state.write(event).map_err(|why| illegal(state, seq, why))
}

/// The state of a run after its first event.
pub(crate) fn create(run: &RunId, created: &Event, at: Timestamp) -> Result<RunState, IllegalEvent> {
    let first = Seq(1);
    let Event::RunCreated { plan, input, labels, options } = created else {
        return Err(IllegalEvent { run: run.clone(), seq: first, why: "the first event must be RunCreated".into() });
    };
    let nodes: Vec<_> = plan.ids().map(|_| NodeState::new(first)).collect();
    Ok(RunState {
        id: run.clone(),
        plan: plan.clone(),
        input: input.clone(),
        labels: labels.clone(),
        timers: options.deadline.map(|deadline| (deadline, Timer::Deadline)).into_iter().collect(),
        options: options.clone(),
        status: RunStatus::Running,
        open: nodes.len(),
        nodes,
        running: BTreeSet::new(),
        tasks: BTreeSet::new(),
        queued: BTreeSet::new(),
        signals: BTreeMap::new(),
        signals_buffered: 0,
        waiters: BTreeMap::new(),
        questions: BTreeMap::new(),
        children: BTreeMap::new(),
        abandoned: BTreeMap::new(),
        owes_parent: None,
        spent: BTreeMap::new(),
        published: BTreeMap::new(),
        undoable: Vec::new(),
        undone: Vec::new(),
        undo_from: None,
        shared: BTreeSet::new(),
        undecided: Vec::new(),
        pause: None,
        stopping: None,
        released: false,
        outcome: None,
        last: first,
        created_at: at,
        updated_at: at,
    })
}

type Applied = Result<(), String>;

impl RunState {
    /// Time never goes back within a run, even if the clock of its driver does.
    fn advance(&mut self, at: Timestamp) {
        self.last = self.last.plus(1);
        self.updated_at = self.updated_at.max(at);
    }

    fn write(&mut self, event: &Event) -> Applied {
        self.drop_stale_decisions(event);
        match event {
            Event::RunCreated { .. } => Err("the run has already been created".into()),
            Event::SlotAwaited { node } => self.slot_awaited(node),
            Event::NodeSkipped { node, reason } => self.node_skipped(node, reason),
            Event::NodeFailed { node, failure } => self.node_failed(node, failure),
            Event::NodeReset { node } => self.node_reset(node),
            Event::InputReplaced { node, input } => self.input_replaced(node, input),
            Event::AttemptStarted { node, attempt, deadline } => self.attempt_started(node, *attempt, *deadline),
            Event::AttemptFailed { node, attempt, failure, next } => {
                self.attempt_failed(node, *attempt, failure, *next)
            }
            Event::NodeCompleted { node, output } => self.node_completed(node, output),
            Event::NodeCancelled { node } => self.node_cancelled(node),
            Event::Emitted { node, .. } => self.emitted(node),
            Event::TaskParked { node } => self.task_parked(node),

            Event::StepStarted { node, step } => self.step_started(node, step),
            Event::StepCompleted { node, step, result, charges } => self.step_completed(node, step, result, charges),
            Event::StepFailed { node, step, failure, charges } => self.step_failed(node, step, failure, charges),
            Event::Charged { node, step, charges } => self.step_completed(node, step, &Payload::null(), charges),
            Event::StepNotBegun { node, step } => self.step_not_begun(node, step),
            Event::Published { node, step, key, value } => self.value_published(node, step, key, value),
            Event::TimerSet { node, step, due } => self.timer_set(node, step, *due),
            Event::TimerFired { node, step } => self.timer_fired(node, step),
            Event::WaitLetGo { node, step } => self.wait_let_go(node, step),
            Event::WaitTimedOut { node, step } => self.wait_timed_out(node, step),
            Event::SignalAwaited { node, step, signal, until } => self.signal_awaited(node, step, signal, *until),
            Event::SignalReceived { signal, payload } => self.signal_received(signal, payload),
            Event::SignalConsumed { node, step, signal } => self.signal_consumed(node, step.as_deref(), signal),
            Event::QuestionAsked { node, step, question, until } => self.question_asked(node, step, question, *until),
            Event::QuestionAnswered { node, step, answer } => self.question_answered(node, step, answer),
            Event::ChildRequested { node, step, child, workflow, input, until } => {
                let (run, workflow, input) = (child.clone(), workflow.clone(), input.clone());
                self.child_requested(node, step, ChildState { run, workflow, input }, *until)
            }
            Event::ChildEnded { node, step, outcome, charges } => self.child_ended(node, step, outcome, charges),
            Event::ChildCancelled { child } => self.child_cancelled(child),
            Event::Grown { node, step, growth } => self.grown(node, step, growth),

            Event::Recovered => self.recovered(),
            Event::Released => self.released(),
            Event::BudgetReached { .. } => Ok(()),
            Event::BudgetSet { meter, limit } => self.budget_set(meter, *limit),
            Event::RunPaused { reason } => self.run_paused(reason),
            Event::RunResumed => self.run_resumed(),
            Event::RunReopened => self.run_reopened(),
            Event::Forked { shared } => self.forked(shared),
            Event::UndoRetried { node } => self.undo_retried(node),
            Event::CompensationStarted { growth } => self.compensation_started(growth),
            Event::StopRequested { reason, grace_until } => self.stop_requested(reason, *grace_until),
            Event::RunCompleted { output } => self.end(RunStatus::Completed, Outcome::Completed(output.clone())),
            Event::RunFailed { node, failure } => self.run_failed(node, failure),
            Event::RunCancelled { reason } => self.end(RunStatus::Cancelled, Outcome::Cancelled(reason.clone())),
            Event::RunTerminated { reason } => self.end(RunStatus::Terminated, Outcome::Terminated(reason.clone())),
            Event::RunTimedOut { deadline } => self.end(RunStatus::TimedOut, Outcome::TimedOut(*deadline)),
            Event::ParentTold => self.parent_told(),
            Event::ValueRead { value, answers } => self.value_read(value, answers),
        }
    }

    fn find(&self, node: &Name) -> Result<NodeId, String> {
        self.plan.id(node).ok_or_else(|| format!("there is no node `{node}`"))
    }
}
