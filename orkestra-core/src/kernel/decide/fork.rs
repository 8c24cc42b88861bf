//! A run that begins as another one went.
//!
//! What both share is copied, event by event, up to where the node began; from there on the new run decides for itself.
//! What the other run did is its own to undo: the fork undoes only what it does itself, and is refused where it would go on
//! with what was undone.
//! What was arranged with others is not shared: the runs that the other one waits for are its own, and its attempts,
//! steps and waits under way begin again, with all of their time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::{Fork, Incarnation, Name, NodeId, Payload, RunId, RunOptions, Seq, Timestamp};

use super::super::apply::apply;
use super::super::event::Event;
use super::super::looks;
use super::super::state::RunState;
use super::super::status::NodeStatus;
use super::{Decision, Rejection};

/// The run that is forked, and what is to be different.
pub(super) struct Other {
    pub(super) run: RunId,
    pub(super) events: Vec<Event>,
    pub(super) node: Name,
    pub(super) input: Option<Payload>,
    pub(super) incarnation: Option<Incarnation>,
    /// Whether what both share may have been undone.
    pub(super) undone: bool,
}

pub(super) fn fork(
    run: &RunId,
    slot: &mut Option<RunState>,
    now: Timestamp,
    other: Other,
) -> Result<Vec<Event>, Rejection> {
    let Other { run: from, events, node, input, incarnation, undone } = other;
    let begins = |event: &Event| match event {
        Event::AttemptStarted { node: begun, .. } | Event::SlotAwaited { node: begun } => *begun == node,
        _ => false,
    };
    let shared = events.iter().position(begins).ok_or_else(|| Rejection::NotBegun(node.clone()))?;
    let others_to_undo = !undone && is_undone(&events);
    let later: BTreeSet<Name> = completed(&events[shared..]).cloned().collect();
    let origin = Fork { run: from, node: node.clone(), seq: Seq(shared as u64) };
    let mut copied = without_others(events, shared);
    if let Some(Event::RunCreated { options, .. }) = copied.first_mut() {
        // What both share has the keys of the version that began the other one: so has the rest.
        let incarnation = options.incarnation.as_ref().and(incarnation);
        let kept = RunOptions { incarnation, deadline: None, parent: None, ..(**options).clone() };
        **options = RunOptions { forked_from: Some(origin), ..kept };
    }
    let mut copy = None;
    for event in &mut copied {
        begin_anew(copy.as_ref(), now, event);
        apply(run, &mut copy, now, event).map_err(Rejection::Fork)?;
    }
    let Some(copied_state) = copy.as_ref().filter(|copy| !copy.status.is_ending() && !copy.status.is_final()) else {
        return Err(Rejection::NotBegun(node));
    };
    let halves = done_in_part(copied_state, &copied);
    if others_to_undo {
        let done = copied_state.undoable.iter().map(|id| copied_state.name(*id));
        // What both began and the other one ended was undone with all of its steps.
        let mut gone = done.chain(halves.iter().filter(|half| later.contains(*half)));
        if let Some(gone) = gone.next() {
            return Err(Rejection::ForkUndone(gone.clone()));
        }
    }
    let is_shared = !copied_state.undoable.is_empty() || !halves.is_empty();
    *slot = copy;
    let mut decision = Decision { events: copied, ..Decision::new(slot, now, 0.0) };
    if is_shared {
        decision.emit(Event::Forked { shared: halves });
    }
    decision.differ(node, input);
    decision.finish()
}

/// Whether what the run did was undone, is being undone, or is about to be.
fn is_undone(events: &[Event]) -> bool {
    let begun = events.iter().any(|event| matches!(event, Event::CompensationStarted { .. }));
    let turns = |event: &&Event| event.ends_run() || matches!(event, Event::RunReopened | Event::StopRequested { .. });
    begun || matches!(events.iter().rfind(turns), Some(Event::StopRequested { .. }))
}

fn completed(events: &[Event]) -> impl Iterator<Item = &Name> {
    events.iter().filter_map(|event| match event {
        Event::NodeCompleted { node, .. } => Some(node),
        _ => None,
    })
}

/// The nodes that can be undone and are not done, with steps that the other run did. What they do for the rest cannot be
/// told from that: they stay the other run's to undo.
fn done_in_part(copy: &RunState, copied: &[Event]) -> Vec<Name> {
    let did = |event: &Event| match event {
        Event::StepStarted { node, .. }
        | Event::StepCompleted { node, .. }
        | Event::StepFailed { node, .. }
        | Event::Charged { node, .. }
        | Event::ChildEnded { node, .. } => copy.plan.id(node),
        _ => None,
    };
    let ids: BTreeSet<_> = copied.iter().filter_map(did).collect();
    let half = |id: &NodeId| {
        let undone = copy.plan.node(*id).spec.compensate.is_some();
        undone && copy.node(*id).status != NodeStatus::Completed && !copy.shared.contains(id)
    };
    ids.into_iter().filter(half).map(|id| copy.name(id).clone()).collect()
}

/// The first `shared` events without what was between the run and others: what happened to its process and its parent,
/// the runs that it asked for and whose ends it does not know, the steps that it was at, and what it waited for so long at
/// the most. The tasks ask again, in the name of the new run.
fn without_others(events: Vec<Event>, shared: usize) -> Vec<Event> {
    let (mut asked, mut left_out) = (HashMap::new(), BTreeSet::new());
    for (index, event) in events.iter().take(shared).enumerate() {
        match event {
            Event::ChildRequested { node, step, .. }
            | Event::StepStarted { node, step }
            | Event::SignalAwaited { node, step, until: Some(_), .. }
            | Event::QuestionAsked { node, step, until: Some(_), .. } => {
                let is_child = matches!(event, Event::ChildRequested { .. });
                left_out.extend(asked.insert((node, step.as_str()), (index, is_child)).map(|(before, _)| before));
            }
            Event::WaitLetGo { node, step } | Event::WaitTimedOut { node, step } => {
                match asked.get(&(node, step.as_str())) {
                    // A run that was let go is the other one's to cancel.
                    Some((_, true)) => drop(left_out.insert(index)),
                    _ => drop(asked.remove(&(node, step.as_str()))),
                }
            }
            Event::StepNotBegun { node, step } => drop(asked.remove(&(node, step.as_str()))),
            Event::ParentTold
            | Event::Recovered
            | Event::Released
            | Event::TaskParked { .. }
            | Event::ChildCancelled { .. } => {
                left_out.insert(index);
            }
            _ => drop(event.settled_step().and_then(|step| asked.remove(&step))),
        }
    }
    left_out.extend(asked.into_values().map(|(index, _)| index));
    let copied = events.into_iter().take(shared).enumerate();
    copied.filter(|(index, _)| !left_out.contains(index)).map(|(_, event)| event).collect()
}

/// An attempt that is under way in the copy begins there now.
fn begin_anew(copy: Option<&RunState>, now: Timestamp, event: &mut Event) {
    if let (Some(copy), Event::AttemptStarted { node, deadline: Some(deadline), .. }) = (copy, event) {
        let timeout = copy.plan.id(node).and_then(|id| copy.plan.node(id).spec.timeout_ms);
        *deadline = now.saturating_add(Duration::from_millis(timeout.unwrap_or_default()));
    }
}

impl Decision<'_> {
    fn differ(&mut self, node: Name, input: Option<Payload>) {
        if self.state().pause.is_some() {
            self.emit(Event::RunResumed);
        }
        let pending = self.state().plan.id(&node).is_some_and(|id| self.state().node(id).status == NodeStatus::Pending);
        if let Some(input) = input.filter(|_| pending) {
            let looks = self.state().plan.id(&node).map(|id| looks::at_own(&self.state().plan, id));
            let input = looks.map_or_else(|| input.clone(), |looks| input.clone().looked_at(&looks));
            self.emit(Event::InputReplaced { node, input });
        }
        self.enter_whatever_can();
        self.check_budget();
    }
}
