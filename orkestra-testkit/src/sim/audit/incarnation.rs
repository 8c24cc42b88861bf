//! One incarnation of a run, from its first commit until it is deleted: what is durable of it, and what was seen of its tasks.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::{Event, PauseReason, RunState, broken_invariant};
use orkestra_core::model::{Epoch, FailureKind, Name, NodeKind, RunId, Seq};
use orkestra_core::store::RunRecord;
use serde_json::Value;

use crate::sim::trace::first_word;
use crate::sim::value::number_of;

/// One incarnation of a run.
pub(super) struct Incarnation {
    pub(super) replayer: Replayer,
    pub(super) events: Vec<Event>,
    /// How many of them were copied from another run.
    pub(super) copied: usize,
    epoch: Epoch,
    pub(super) record: Option<RunRecord>,
    pub(super) places: BTreeMap<(Name, String), Place>,
    /// The outputs that calls of a node's attempt have returned.
    pub(super) returned: BTreeMap<(Name, u32), Vec<String>>,
    /// Which place durably received which signal.
    pub(super) takers: BTreeMap<u64, (Name, String)>,
    /// The durable starts of steps: the node, how often the run had been lost by then, and the attempt.
    pub(super) started: Vec<(Name, u64, u32)>,
    /// Steps in a loop of which one was dropped after it had started: the node, and the place without the round.
    pub(super) dropped: BTreeSet<(Name, String)>,
    /// Nodes whose failure is undecided.
    undecided: Vec<Name>,
    /// The node whose failure the current pause is about.
    asked_about: Option<Name>,
    /// Whether it is paused, according to its events.
    paused: bool,
}

/// What was seen of one act of a program.
#[derive(Default)]
pub(super) struct Place {
    /// The effects that started.
    pub(super) effects: Vec<u64>,
    /// Whether the result of one is durable.
    pub(super) done: bool,
    /// Of the last effect that started: how often the run had been lost by then, the attempt, and the process.
    pub(super) begun: Option<(u64, u32, String)>,
    /// The answer that its task got.
    pub(super) answered: Option<String>,
    /// The result of a race: the attempt, and the signal that won, if any.
    pub(super) chosen: Option<(u32, Option<u64>)>,
    /// Plain work that has started and not ended: the attempt, how often the run had been lost, and the process.
    pub(super) works: Option<(u32, u64, String)>,
}

impl Incarnation {
    pub(super) fn new(run: RunId) -> Self {
        Self {
            replayer: Replayer::new(run),
            events: Vec::new(),
            copied: 0,
            epoch: Epoch(0),
            record: None,
            places: BTreeMap::new(),
            returned: BTreeMap::new(),
            takers: BTreeMap::new(),
            started: Vec::new(),
            dropped: BTreeSet::new(),
            undecided: Vec::new(),
            asked_about: None,
            paused: false,
        }
    }

    pub(super) fn state(&self) -> Option<&RunState> {
        self.replayer.state()
    }

    pub(super) fn is_fork(&self) -> bool {
        self.state().is_some_and(|state| state.options().forked_from.is_some())
    }

    pub(super) fn place(&mut self, node: &Name, place: &str) -> &mut Place {
        self.places.entry((node.clone(), place.to_owned())).or_default()
    }

    /// Adds a durable commit. `losses` is how often the run was lost before it.
    pub(super) fn add(&mut self, written: &Written, record: Option<&RunRecord>, losses: u64) -> Result<(), String> {
        let before = std::mem::replace(&mut self.epoch, written.epoch);
        if before > written.epoch {
            return Err("its epochs go back".to_owned());
        }
        let commit = self.replayer.add(written).map_err(|error| error.to_string())?;
        self.record = record.cloned().or(self.record.take());
        let Some(state) = self.replayer.state() else { return Err("its first commit creates no run".to_owned()) };
        if let Some(wrong) = broken_invariant(state).or_else(|| wrong_record(self.record.as_ref(), state)) {
            return Err(wrong);
        }
        let from = self.events.len();
        self.events.extend(commit.events);
        // A fork starts with the events of the other run.
        self.copied = if written.first == Seq(1) && self.is_fork() { self.events.len() } else { self.copied };
        (from..self.events.len()).try_for_each(|index| self.see(index, losses))
    }

    fn see(&mut self, index: usize, losses: u64) -> Result<(), String> {
        let copied = index < self.copied;
        match &self.events[index] {
            Event::StepCompleted { result, step, .. } => {
                let Some((node, place, number)) = result.to().ok().and_then(|it| stamp(&it)) else { return Ok(()) };
                let step = step.clone();
                let known = self.place(&node, &place);
                known.done = true;
                if !copied && !known.effects.contains(&number) {
                    return Err(format!("step `{step}` of `{node}` has the result {number}, which no effect gave"));
                }
            }
            event if begins_something(event) && !copied && self.paused => {
                return Err(format!("{} in a run that is paused", first_word(event)));
            }
            Event::StepStarted { node, .. } => {
                let attempt = self.attempt(node);
                self.started.push((node.clone(), losses, attempt));
            }
            Event::AttemptStarted { node, .. } if !copied && self.asked_about.is_some() => {
                return Err(format!("`{node}` starts although the run is paused for a failure"));
            }
            Event::NodeCompleted { node, output } if !copied => {
                return self.check_output(node, output.as_json());
            }
            Event::AttemptFailed { node, failure, .. } => {
                let few = failure.kind == FailureKind::Crashed && losses < 16;
                if !copied && (few || failure.kind == FailureKind::BadInput) {
                    return Err(format!("`{node}` failed without cause: {failure}"));
                }
            }
            // One more: a run that a full engine leaves to another one before it starts counts as lost, without a commit for it.
            Event::RunPaused { reason: PauseReason::ProcessesLost { times, .. } }
                if !copied && u64::from(*times) > losses + 1 =>
            {
                return Err(format!("it is paused because {times} processes were lost, and {losses} were"));
            }
            Event::RunPaused { .. } => self.paused = true,
            Event::RunResumed => self.paused = false,
            event if event.ends_run() || matches!(event, Event::StopRequested { .. }) => self.paused = false,
            _ => {}
        }
        self.see_failures(index)
    }

    /// A run stays paused until each failure that paused it is decided.
    fn see_failures(&mut self, index: usize) -> Result<(), String> {
        match &self.events[index] {
            Event::AttemptFailed { node, .. } | Event::NodeFailed { node, .. } => {
                let Some(state) = self.state() else { return Ok(()) };
                let pauses = state.plan().id(node).is_some_and(|id| {
                    let policy = state.plan().node(id).spec.on_failure;
                    policy == orkestra_core::model::OnFailure::Pause && !state.is_undo(id)
                });
                let for_good = matches!(
                    &self.events[index],
                    Event::NodeFailed { .. } | Event::AttemptFailed { next: orkestra_core::kernel::Next::GiveUp, .. }
                );
                if pauses && for_good && state.stopping().is_none() {
                    self.undecided.push(node.clone());
                }
            }
            Event::RunPaused { reason: PauseReason::NodeFailed { node } } => self.asked_about = Some(node.clone()),
            Event::RunResumed => {
                let decided = self.asked_about.take();
                self.undecided.retain(|node| Some(node) != decided.as_ref());
            }
            Event::NodeReset { node } => {
                let node = node.clone();
                self.undecided.retain(|failed| *failed != node);
            }
            Event::RunCompleted { .. } if !self.undecided.is_empty() => {
                return Err(format!("it completed, and nobody had decided on the failure of {:?}", self.undecided));
            }
            event if event.ends_run() || matches!(event, Event::StopRequested { .. }) => {
                self.undecided.clear();
                self.asked_about = None;
            }
            _ => {}
        }
        Ok(())
    }

    fn attempt(&self, node: &Name) -> u32 {
        self.state().and_then(|state| Some(state.node(state.plan().id(node)?).attempt)).unwrap_or_default()
    }

    /// A node's output is what a call of its task returned.
    fn check_output(&self, node: &Name, output: &str) -> Result<(), String> {
        let Some(state) = self.state() else { return Ok(()) };
        let Some(id) = state.plan().id(node) else { return Ok(()) };
        let is_task = matches!(state.plan().node(id).spec.kind, NodeKind::Task(_));
        let returned = self.returned.get(&(node.clone(), state.node(id).attempt));
        let same = returned.is_some_and(|texts| texts.iter().any(|text| text == output));
        if is_task && !same && !stands_for_another(output) {
            return Err(format!("`{node}` completed with {output}, which no call of it returned"));
        }
        Ok(())
    }
}

/// Whether the event starts something that must not start in a paused run.
const fn begins_something(event: &Event) -> bool {
    use Event::{AttemptStarted, ChildRequested, Grown, QuestionAsked, StepStarted};
    matches!(
        event,
        AttemptStarted { .. } | ChildRequested { .. } | Grown { .. } | QuestionAsked { .. } | StepStarted { .. }
    )
}

/// Whether this text in a journal is a reference to a value kept elsewhere.
pub(super) fn stands_for_another(text: &str) -> bool {
    text.contains("$orkestra.")
}

/// The node, the place and the number in a step's result.
fn stamp(result: &Value) -> Option<(Name, String, u64)> {
    let at = result.get("at")?.as_array()?;
    let (node, place) = (at.first()?.as_str()?, at.get(1)?.as_str()?);
    Some((Name::new(node).ok()?, place.to_owned(), number_of(result)?))
}

pub(super) fn wrong_record(record: Option<&RunRecord>, state: &RunState) -> Option<String> {
    let Some(record) = record else { return Some("there is no record".to_owned()) };
    let same = record.tells(state) && record.outcome.as_ref() == state.outcome();
    (!same).then(|| format!("its record does not match its state: {record:?}"))
}
