//! A run that begins as another one went.
//!
//! What both share is copied, event by event, up to where the node began; from there on the new run decides for itself.

use crate::model::{Fork, Name, Payload, RunId, RunOptions, Seq, Timestamp};

use super::super::apply::apply;
use super::super::event::Event;
use super::super::state::RunState;
use super::super::status::NodeStatus;
use super::{Decision, Rejection};

/// The run that is forked, and what is to be different.
pub(super) struct Other {
    pub(super) run: RunId,
    pub(super) events: Vec<Event>,
    pub(super) node: Name,
    pub(super) input: Option<Payload>,
}

pub(super) fn fork(
    run: &RunId,
    slot: &mut Option<RunState>,
    now: Timestamp,
    other: Other,
) -> Result<Vec<Event>, Rejection> {
    let Other { run: from, events, node, input } = other;
    let begins = |event: &Event| match event {
        Event::AttemptStarted { node: begun, .. } | Event::SlotAwaited { node: begun } => *begun == node,
        _ => false,
    };
    let shared = events.iter().position(begins).ok_or_else(|| Rejection::NotBegun(node.clone()))?;
    let origin = Fork { run: from, node: node.clone(), seq: Seq(shared as u64) };
    let mut copied: Vec<Event> = events.into_iter().take(shared).filter(|event| !is_elsewhere(event)).collect();
    if let Some(Event::RunCreated { options, .. }) = copied.first_mut() {
        let kept = RunOptions { deadline: None, parent: None, ..(**options).clone() };
        **options = RunOptions { forked_from: Some(origin), ..kept };
    }
    let mut copy = None;
    for event in &copied {
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

/// What was said to others, and is not to be said again.
const fn is_elsewhere(event: &Event) -> bool {
    matches!(event, Event::ParentTold | Event::Recovered)
}

impl Decision<'_> {
    fn differ(&mut self, node: Name, input: Option<Payload>) {
        if self.state().pause.is_some() {
            self.emit(Event::RunResumed);
        }
        let pending = self.state().plan.id(&node).is_some_and(|id| self.state().node(id).status == NodeStatus::Pending);
        if let Some(input) = input.filter(|_| pending) {
            self.emit(Event::InputReplaced { node, input });
        }
        self.enter_whatever_can();
        self.check_budget();
    }
}
