//! Chooses what happens: given a state and an input, the events that follow.
//!
//! A decision applies each event as it chooses it (through `apply`, the only writer), so that a later one of the same
//! decision sees the earlier: completing a node starts the next in one decision. See ADR 0002.
//! A rejected input leaves the state as it was: everything is checked before the first event is chosen.
//!
//! One file per family of inputs: `lifecycle` (create, recover, cancel), `attempt`, `request` (what tasks ask for),
//! `signal`, `timer`; `settle` holds what follows from all of them.

mod attempt;
mod lifecycle;
mod request;
mod settle;
mod signal;
mod timer;

use crate::model::limits::SIGNALS_BUFFERED_MAX;
use crate::model::{Name, NodeId, PayloadError, PlanError, RunId, Timestamp};

use super::apply::{IllegalEvent, apply};
use super::event::Event;
use super::input::{Input, InputKind};
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
    /// The attempt that this comes from is over.
    #[error("attempt {attempt} of `{node}` is over")]
    Stale {
        /// The node.
        node: Name,
        /// The attempt.
        attempt: u32,
    },
    /// The growth does not fit the plan.
    #[error(transparent)]
    Growth(#[from] PlanError),
    /// The payloads are too large together.
    #[error(transparent)]
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
    Broken(IllegalEvent),
}

/// Decides what follows from `input` and applies it to `state`. No events mean that nothing changes.
///
/// # Errors
/// [`Rejection`]; the state is as it was.
pub fn decide(run: &RunId, state: &mut Option<RunState>, input: Input) -> Result<Vec<Event>, Rejection> {
    match (state, input.kind) {
        (slot @ None, InputKind::Create { plan, input: given, labels }) => {
            lifecycle::create(run, slot, input.at, Event::RunCreated { plan, input: given, labels })
        }
        (None, _) => Err(Rejection::NoRun),
        (Some(_), InputKind::Create { .. }) => Err(Rejection::Exists),
        (Some(state), _) if state.status.is_final() => Err(Rejection::Ended),
        (slot @ Some(_), kind) => {
            let mut decision = Decision::new(slot, input.at, input.chance);
            match kind {
                InputKind::Create { .. } => return Err(Rejection::Exists),
                InputKind::Recover => decision.recover(),
                InputKind::Tick => decision.tick()?,
                InputKind::AttemptEnded { node, attempt, result } => decision.attempt_ended(&node, attempt, result)?,
                InputKind::Task { node, attempt, request } => decision.request(&node, attempt, request)?,
                InputKind::Signal { signal, payload } => decision.signal(signal, payload)?,
                InputKind::Cancel { reason } => decision.cancel(reason)?,
            }
            decision.finish()
        }
    }
}

/// A decision being made: the state with the events so far applied.
struct Decision<'a> {
    slot: &'a mut Option<RunState>,
    now: Timestamp,
    chance: f64,
    events: Vec<Event>,
    broken: Option<IllegalEvent>,
}

impl<'a> Decision<'a> {
    /// Time does not go backwards within a run, whatever the clock of its driver does.
    fn new(slot: &'a mut Option<RunState>, at: Timestamp, chance: f64) -> Self {
        let now = slot.as_ref().map_or(at, |state| state.updated_at.max(at));
        Self { slot, now, chance, events: Vec::new(), broken: None }
    }

    fn state(&self) -> &RunState {
        self.slot.as_ref().expect("a decision is only made about a run that is there")
    }

    fn finish(self) -> Result<Vec<Event>, Rejection> {
        self.broken.map_or(Ok(self.events), |illegal| Err(Rejection::Broken(illegal)))
    }

    /// Writes `event` down and lets the rest of the decision see it.
    fn emit(&mut self, event: Event) {
        let run = self.state().id.clone();
        // A decision that breaks the rules of `apply` is a bug of ours: no input from outside can cause it. A release
        // build refuses the decision and whoever drives the run starts again from its journal.
        if let Err(illegal) = apply(&run, self.slot, self.now, &event) {
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
