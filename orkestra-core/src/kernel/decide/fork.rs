//! A run that begins as another one went.
//!
//! What both share is copied, event by event, up to where the node began; from there on the new run decides for itself.
//! What was arranged with others is not shared: the runs that the other one waits for are its own, and its attempts
//! under way begin again, with all of their time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::{Fork, Incarnation, Name, Payload, RunId, RunOptions, Seq, Timestamp};

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
}

pub(super) fn fork(
    run: &RunId,
    slot: &mut Option<RunState>,
    now: Timestamp,
    other: Other,
) -> Result<Vec<Event>, Rejection> {
    let Other { run: from, events, node, input, incarnation } = other;
    let begins = |event: &Event| match event {
        Event::AttemptStarted { node: begun, .. } | Event::SlotAwaited { node: begun } => *begun == node,
        _ => false,
    };
    let shared = events.iter().position(begins).ok_or_else(|| Rejection::NotBegun(node.clone()))?;
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
    if copy.as_ref().is_none_or(|copy| copy.status.is_ending() || copy.status.is_final()) {
        return Err(Rejection::NotBegun(node));
    }
    *slot = copy;
    let mut decision = Decision { events: copied, ..Decision::new(slot, now, 0.0) };
    decision.differ(node, input);
    decision.finish()
}

/// The first `shared` events without what was between the run and others: what happened to its process and its parent,
/// and the runs that it asked for and whose ends it does not know. The tasks ask again, in the name of the new run.
fn without_others(events: Vec<Event>, shared: usize) -> Vec<Event> {
    let (mut asked, mut left_out) = (HashMap::new(), BTreeSet::new());
    for (index, event) in events.iter().take(shared).enumerate() {
        match event {
            Event::ChildRequested { node, step, .. } => left_out.extend(asked.insert((node, step), index)),
            Event::ChildEnded { node, step, .. } => drop(asked.remove(&(node, step))),
            // A run that was let go is the other one's to cancel.
            Event::WaitLetGo { node, step } | Event::WaitTimedOut { node, step } => {
                if asked.contains_key(&(node, step)) {
                    left_out.insert(index);
                }
            }
            Event::ParentTold | Event::Recovered | Event::TaskParked { .. } | Event::ChildCancelled { .. } => {
                left_out.insert(index);
            }
            _ => {}
        }
    }
    left_out.extend(asked.into_values());
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
