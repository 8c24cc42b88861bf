//! Chooses what happens: given a state and an input, the events that follow.
//!
//! A decision applies each event as it chooses it (through `apply`, the only writer), so that a later one of the same
//! decision sees the earlier: completing a node starts the next in one decision. See ADR 0002.
//! A rejected input leaves the state as it was: everything is checked before the first event is chosen.
//!
//! One file per family of inputs: `lifecycle` (create, recover, cancel, terminate), `fork`, `attempt`, `request` (what
//! tasks ask for), `outside` (signals, answers, other runs), `control` (pause, resume, retry, budget), `timer`; `settle`
//! holds what follows from all of them, `compensate` how what was done is undone.

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

/// Why an input changes nothing.
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
    /// The run is about to end.
    #[error("the run is stopping")]
    Stopping,
    /// The run makes a pause.
    #[error("the run makes a pause")]
    Paused,
    /// The run is not paused.
    #[error("the run is not paused")]
    NotPaused,
    /// The run's budget is used up.
    #[error("the budget of {limit} `{meter}` is used up; raise it first")]
    BudgetReached {
        /// The meter.
        meter: Name,
        /// What may be spent.
        limit: Amount,
    },
    /// There is no such node.
    #[error("there is no node `{0}`")]
    NoNode(Name),
    /// The node has not failed.
    #[error("node `{0}` has not failed: there is nothing to retry")]
    NotFailed(Name),
    /// What the run did was undone.
    #[error("what the run did was undone: it cannot go on")]
    Undone,
    /// The node did not begin in the run that is to be forked.
    #[error("node `{0}` did not begin there: the run cannot be forked from it")]
    NotBegun(Name),
    /// What the fork would share with the other run was undone there, or is about to be.
    #[error(
        "what node `{0}` did was undone in that run, or is about to be: fork from before that node, or say that the fork goes \
         on without it (`Run::fork_undone`)"
    )]
    ForkUndone(Name),
    /// The history of the run that is to be forked is no history.
    #[error("the run cannot be forked: {0}")]
    Fork(#[source] IllegalEvent),
    /// Nobody waits for an answer to this question.
    #[error("question {0} is not open: it was answered, withdrawn, or never asked")]
    NoQuestion(Seq),
    /// Nobody waits for this run.
    #[error("run `{0}` is not waited for")]
    NoChild(RunId),
    /// Another step waits for this run already.
    #[error("run `{0}` is waited for by another step")]
    ChildTaken(RunId),
    /// More meters than a charge or a budget may have.
    #[error("a charge and a budget name at most {} meters", crate::model::limits::METERS_MAX)]
    TooManyMeters,
    /// More keys than a run may publish.
    #[error("a run publishes at most {PUBLISHED_KEYS_MAX} keys")]
    TooManyPublished,
    /// The attempt that this comes from is over.
    #[error("attempt {attempt} of `{node}` is over")]
    Stale {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
    },
    /// The growth does not fit the plan.
    #[error("{0}")]
    Growth(#[from] PlanError),
    /// The payloads are too large together.
    #[error("{0}")]
    Payload(#[from] PayloadError),
    /// Nobody reads the run's signals.
    #[error("{SIGNALS_BUFFERED_MAX} signals wait to be read already")]
    TooManySignals,
    /// The key of a step is too long.
    #[error("the key of a step has at most {} bytes", crate::model::limits::STEP_KEY_BYTES_MAX)]
    StepKeyTooLong,
    /// The key of a step stands for something else that is under way.
    #[error("the step `{step}` of `{node}` is {known} already: a key names one thing")]
    KeyTaken {
        /// The node.
        node: Name,
        /// The key.
        step: String,
        /// What it stands for.
        known: String,
    },
    /// A bug of ours: the decision contradicts itself. The state is not to be used any more.
    #[error("the engine contradicted itself, the run goes on from its journal: {0}")]
    Broken(#[source] IllegalEvent),
}

/// Decides what follows from `input` and applies it to `state`. No events mean that nothing changes.
///
/// # Errors
/// [`Rejection`]; the state is as it was.
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
            fork::fork(run, at, fork::Other { run: from, events, node, input, incarnation, undone })
        }
        InputKind::CancelChild { parent, workflow, reason, incarnation } => {
            let options = RunOptions { incarnation, parent: Some(parent), ..RunOptions::default() };
            lifecycle::create_cancelled(run, at, (workflow, options, reason))
        }
        _ => Err(Rejection::NoRun),
    }
}

/// Decides on an input of a run that has begun.
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
    // A budget can be raised so that a node can be tried again.
    let control = matches!(kind, InputKind::Retry { .. } | InputKind::SetBudget { .. });
    control || matches!(kind, InputKind::ParentTold | InputKind::ChildCancelled { .. })
}

/// A decision being made: the state with the events so far applied.
struct Decision<'a> {
    state: &'a mut RunState,
    /// When it is made: not before the events that are there.
    now: Timestamp,
    /// What the clock says, which may be earlier.
    at: Timestamp,
    chance: f64,
    events: Vec<Event>,
    broken: Option<IllegalEvent>,
}

impl<'a> Decision<'a> {
    /// Time does not go backwards within a run, whatever the clock of its driver does.
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

    /// Writes `event` down and lets the rest of the decision see it.
    fn emit(&mut self, mut event: Event) {
        event.forget_value();
        // A decision that breaks the rules of `apply` is a bug of ours: no input from outside can cause it. A release
        // build refuses the decision and whoever drives the run starts again from its journal.
        if let Err(illegal) = apply_next(self.state, self.now, &event) {
            debug_assert!(false, "decided what cannot happen: {illegal}");
            self.broken.get_or_insert(illegal);
        }
        self.events.push(event);
    }

    /// The node of an attempt of a task that is under way. Gates have no task that could say anything.
    fn running(&self, node: &Name, attempt: u32) -> Result<NodeId, Rejection> {
        let state = self.state();
        let running = |id: &NodeId| state.is_running_task(*id) && state.node(*id).attempt == attempt;
        state.plan.id(node).filter(running).ok_or_else(|| Rejection::Stale { node: node.clone(), attempt })
    }
}
