//! Decisions: given a state and an input, chooses the events that follow.
//!
//! A decision applies each event as it chooses it (with `apply`, the only writer), so that later events of the decision
//! see the earlier ones: completing a node and starting the next is one decision. See ADR 0002. A rejected input leaves
//! the state unchanged: everything is checked before the first event is chosen.
//!
//! One file per family of inputs: `lifecycle` (create, recover, cancel, terminate), `fork`, `attempt`, `request` (from
//! tasks), `outside` (signals, answers, other runs), `control` (pause, resume, retry, budget), `timer`. `settle` holds
//! what follows from all of them, `compensate` the compensation.

mod attempt;
mod compensate;
mod control;
mod fork;
mod lifecycle;
mod outside;
mod request;
mod settle;
mod timer;

use crate::model::limits::{METERS_MAX, PUBLISHED_KEYS_MAX, SIGNALS_BUFFERED_MAX};
use crate::model::{Amount, Name, NodeId, PayloadError, PlanError, RunId, RunOptions, Seq, Timestamp};

use super::apply::{IllegalEvent, apply_next};
use super::event::Event;
use super::input::{Input, InputKind};
use super::looks;
use super::state::RunState;

/// Why an input is rejected. The state is unchanged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Rejection {
    /// There is no such run.
    #[error("there is no such run")]
    NoRun,
    /// The run exists already.
    #[error("the run exists already")]
    Exists,
    /// The run has ended.
    #[error("the run has ended")]
    Ended,
    /// The run is stopping or compensating.
    #[error("the run is stopping")]
    Stopping,
    /// The run is paused.
    #[error("the run is paused")]
    Paused,
    /// The run is not paused.
    #[error("the run is not paused")]
    NotPaused,
    /// A budget is used up.
    #[error("the budget of {limit} `{meter}` is used up; raise it first")]
    BudgetReached {
        /// The meter.
        meter: Name,
        /// The limit.
        limit: Amount,
    },
    /// There is no such node.
    #[error("there is no node `{0}`")]
    NoNode(Name),
    /// The node has not failed.
    #[error("node `{0}` has not failed: there is nothing to retry")]
    NotFailed(Name),
    /// The run has been compensated.
    #[error("the run has been compensated; it cannot continue")]
    Undone,
    /// The node has not started in the run to fork.
    #[error("cannot fork at node `{0}`: it has not started in that run")]
    NotBegun(Name),
    /// Work that the fork would share was compensated in the other run, or is about to be.
    #[error(
        "cannot fork: the work of node `{0}` was compensated in that run, or is about to be; fork from before that node, or \
         continue without its effects with `Run::fork_undone`"
    )]
    ForkUndone(Name),
    /// The history of the run to fork is invalid.
    #[error("cannot fork the run: {0}")]
    Fork(#[source] IllegalEvent),
    /// The question is not open.
    #[error("question {0} is not open: it was answered, withdrawn, or never asked")]
    NoQuestion(Seq),
    /// The run does not wait for this run.
    #[error("this run does not wait for run `{0}`")]
    NoChild(RunId),
    /// Another step already waits for this run.
    #[error("another step already waits for run `{0}`")]
    ChildTaken(RunId),
    /// A charge or a budget names too many meters.
    #[error("a charge or a budget may name at most {} meters", crate::model::limits::METERS_MAX)]
    TooManyMeters,
    /// The run has published too many keys.
    #[error("a run may publish at most {PUBLISHED_KEYS_MAX} keys")]
    TooManyPublished,
    /// The attempt has ended.
    #[error("attempt {attempt} of node `{node}` has ended")]
    Stale {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
    },
    /// The growth does not fit the plan.
    #[error("{0}")]
    Growth(#[from] PlanError),
    /// The payloads together are too large.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// The run has too many unread signals.
    #[error("the run has {SIGNALS_BUFFERED_MAX} unread signals, the maximum")]
    TooManySignals,
    /// The key of a step is too long.
    #[error("the key of a step is too long: at most {} bytes are allowed", crate::model::limits::STEP_KEY_BYTES_MAX)]
    StepKeyTooLong,
    /// The key is in use for something else that has not ended.
    #[error("key `{step}` of node `{node}` is already in use for {known}; use another key")]
    KeyTaken {
        /// The node.
        node: Name,
        /// The key.
        step: String,
        /// What the key is in use for.
        known: String,
    },
    /// A bug of the engine: the decision contradicts itself. The state must not be used afterwards.
    #[error("internal error, the run is reloaded from its journal: {0}")]
    Broken(#[source] IllegalEvent),
}

/// Decides what follows from `input` and applies it to `state`. Returns no events when nothing changes.
///
/// # Errors
/// [`Rejection`]. The state is unchanged, except after [`Rejection::Broken`].
pub fn decide(run: &RunId, state: &mut Option<RunState>, input: Input) -> Result<Vec<Event>, Rejection> {
    if let Some(state) = state {
        return decide_next(state, input);
    }
    let (begun, events) = begin(run, input)?;
    *state = Some(begun);
    Ok(events)
}

/// Decides on the first input of a run.
pub(crate) fn begin(run: &RunId, Input { at, kind, .. }: Input) -> Result<(RunState, Vec<Event>), Rejection> {
    match kind {
        InputKind::Create { plan, input, labels, options } => {
            if options.budget.len() > METERS_MAX {
                return Err(Rejection::TooManyMeters);
            }
            let input = input.looked_at(&looks::at_input(&plan));
            lifecycle::create(run, at, Event::RunCreated { plan, input, labels, options })
        }
        InputKind::Fork { from, events, node, input, incarnation, undone } => {
            fork::fork(run, at, fork::Original { run: from, events, node, input, incarnation, undone })
        }
        InputKind::CancelChild { parent, workflow, reason, incarnation } => {
            let options = RunOptions { incarnation, parent: Some(parent), ..RunOptions::default() };
            lifecycle::create_cancelled(run, at, (workflow, options, reason))
        }
        _ => Err(Rejection::NoRun),
    }
}

/// Decides on an input of an existing run.
pub(crate) fn decide_next(state: &mut RunState, input: Input) -> Result<Vec<Event>, Rejection> {
    match input.kind {
        InputKind::Create { .. } | InputKind::Fork { .. } => Err(Rejection::Exists),
        kind if state.status.is_final() && !may_follow_the_end(&kind) => Err(Rejection::Ended),
        kind => {
            let mut decision = Decision::new(state, input.at, input.chance);
            decision.make(kind)?;
            decision.finish()
        }
    }
}

const fn may_follow_the_end(kind: &InputKind) -> bool {
    // A budget may be raised before a node is retried.
    let control = matches!(kind, InputKind::Retry { .. } | InputKind::SetBudget { .. });
    control || matches!(kind, InputKind::ParentTold | InputKind::ChildCancelled { .. })
}

/// A decision in progress: the state with the events chosen so far applied.
struct Decision<'a> {
    state: &'a mut RunState,
    /// The time of the decision: never before the existing events.
    now: Timestamp,
    /// The time by the clock, which may be earlier.
    at: Timestamp,
    chance: f64,
    events: Vec<Event>,
    broken: Option<IllegalEvent>,
}

impl<'a> Decision<'a> {
    /// Time never goes back within a run, even if the clock of its driver does.
    fn new(state: &'a mut RunState, at: Timestamp, chance: f64) -> Self {
        let now = state.updated_at.max(at);
        Self { state, now, at, chance, events: Vec::new(), broken: None }
    }

    fn make(&mut self, kind: InputKind) -> Result<(), Rejection> {
        match kind {
            InputKind::Create { .. } | InputKind::Fork { .. } => return Err(Rejection::Exists),
            InputKind::Recover => self.recover(),
            InputKind::Release => self.release(),
            InputKind::Tick => self.tick(),
            InputKind::AttemptEnded { node, attempt, result } => self.attempt_ended(&node, attempt, result)?,
            InputKind::Task { node, attempt, request } => self.request(&node, attempt, request)?,
            InputKind::TaskParked { node, attempt } => self.task_parked(&node, attempt)?,
            InputKind::SlotGranted { node, attempt } => self.slot_granted(&node, attempt)?,
            InputKind::Signal { signal, payload } => self.signal(&signal, payload)?,
            InputKind::Answer { question, answer } => self.answer(question, answer)?,
            InputKind::ChildEnded { child, outcome, spent } => self.child_ended(child, outcome, spent)?,
            InputKind::ValueRead { value, answers } => self.value_read(value, answers),
            InputKind::ChildCancelled { child } => self.child_cancelled(child),
            InputKind::ParentTold => self.parent_told(),
            InputKind::CancelChild { parent, reason, .. } => self.cancel_child(&parent, reason),
            InputKind::Cancel { reason } => self.cancel(reason)?,
            InputKind::Terminate { reason } => self.emit(Event::RunTerminated { reason }),
            InputKind::Pause { reason } => self.pause(reason)?,
            InputKind::Resume => self.resume()?,
            InputKind::Retry { node } => self.retry(&node)?,
            InputKind::SetBudget { meter, limit } => self.set_budget(meter, limit)?,
        }
        Ok(())
    }

    const fn state(&self) -> &RunState {
        self.state
    }

    fn finish(self) -> Result<Vec<Event>, Rejection> {
        self.broken.map_or(Ok(self.events), |illegal| Err(Rejection::Broken(illegal)))
    }

    /// Adds `event` to the decision and applies it, so that the rest of the decision sees it.
    fn emit(&mut self, mut event: Event) {
        event.forget_value();
        // An illegal event is a bug of the engine: no input can cause it. A release build rejects the decision, and the
        // driver reloads the run from its journal.
        if let Err(illegal) = apply_next(self.state, self.now, &event) {
            debug_assert!(false, "decided an illegal event: {illegal}");
            self.broken.get_or_insert(illegal);
        }
        self.events.push(event);
    }

    /// The node of a running attempt of a task. Gates have no task that could send inputs.
    fn running(&self, node: &Name, attempt: u32) -> Result<NodeId, Rejection> {
        let state = self.state();
        let running = |id: &NodeId| state.is_running_task(*id) && state.node(*id).attempt == attempt;
        state.plan.id(node).filter(running).ok_or_else(|| Rejection::Stale { node: node.clone(), attempt })
    }
}
