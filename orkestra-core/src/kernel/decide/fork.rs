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
use super::super::change::{Awaited, Came, Change, NodeChange, RunChange, StepChange, WaitChange};
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

pub(super) fn fork(run: &RunId, now: Timestamp, other: Other) -> Result<(RunState, Vec<Event>), Rejection> {
    let Other { run: from, events, node, input, incarnation, undone } = other;
    let begins = |event: &Event| {
        let row = event.consequence();
        row.node == Some(&node) && begins_work(row.change)
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
    let Some(mut copy) = copy.filter(|copy| !copy.status.is_ending() && !copy.status.is_final()) else {
        return Err(Rejection::NotBegun(node));
    };
    let halves = done_in_part(&copy, &copied);
    if others_to_undo {
        let done = copy.undoable.iter().map(|id| copy.name(*id));
        // What both began and the other one ended was undone with all of its steps.
        let mut gone = done.chain(halves.iter().filter(|half| later.contains(*half)));
        if let Some(gone) = gone.next() {
            return Err(Rejection::ForkUndone(gone.clone()));
        }
    }
    let is_shared = !copy.undoable.is_empty() || !halves.is_empty();
    let mut decision = Decision { events: copied, ..Decision::new(&mut copy, now, 0.0) };
    if is_shared {
        decision.emit(Event::Forked { shared: halves });
    }
    decision.differ(node, input);
    let events = decision.finish()?;
    Ok((copy, events))
}

/// Whether a node's work begins with it.
const fn begins_work(change: Change<'_>) -> bool {
    match change {
        Change::Node(NodeChange::Queued | NodeChange::AttemptStarted(_)) => true,
        Change::Node(
            NodeChange::AttemptFailed(..)
            | NodeChange::Completed
            | NodeChange::Failed(_)
            | NodeChange::Skipped(_)
            | NodeChange::Cancelled
            | NodeChange::Reset
            | NodeChange::InputReplaced
            | NodeChange::Parked
            | NodeChange::Reported { .. },
        )
        | Change::Run(_)
        | Change::Step(_)
        | Change::Wait(_) => false,
    }
}

/// Whether what the run did was undone, is being undone, or is about to be.
fn is_undone(events: &[Event]) -> bool {
    let (mut undone, mut stopping) = (false, false);
    for event in events {
        match event.consequence().change {
            Change::Run(RunChange::Compensating) => undone = true,
            Change::Run(RunChange::Stopping) => stopping = true,
            Change::Run(RunChange::Reopened | RunChange::Ended(_)) => stopping = false,
            Change::Run(
                RunChange::Created(_)
                | RunChange::Recovered
                | RunChange::Released
                | RunChange::Paused(_)
                | RunChange::Resumed
                | RunChange::UndoRetried
                | RunChange::Forked
                | RunChange::BudgetReached
                | RunChange::BudgetSet
                | RunChange::SignalReceived(_)
                | RunChange::ChildCancelled
                | RunChange::ParentTold
                | RunChange::ValueRead,
            )
            | Change::Node(_)
            | Change::Step(_)
            | Change::Wait(_) => {}
        }
    }
    undone || stopping
}

/// The nodes that are done.
fn completed(events: &[Event]) -> impl Iterator<Item = &Name> {
    let rows = events.iter().map(Event::consequence);
    rows.filter(|row| matches!(row.change, Change::Node(NodeChange::Completed))).filter_map(|row| row.node)
}

/// The nodes that can be undone and are not done, with steps that the other run did. What they do for the rest cannot be
/// told from that: they stay the other run's to undo.
fn done_in_part(copy: &RunState, copied: &[Event]) -> Vec<Name> {
    let rows = copied.iter().map(Event::consequence).filter(|row| did_something(row.change));
    let ids: BTreeSet<_> = rows.filter_map(|row| copy.plan.id(row.node?)).collect();
    let half = |id: &NodeId| {
        let undone = copy.plan.node(*id).spec.compensate.is_some();
        undone && copy.node(*id).status != NodeStatus::Completed && !copy.shared.contains(id)
    };
    ids.into_iter().filter(half).map(|id| copy.name(id).clone()).collect()
}

/// Whether a node has done something with it that may have to be undone.
const fn did_something(change: Change<'_>) -> bool {
    match change {
        Change::Step(StepChange::Started | StepChange::Completed | StepChange::Failed(_) | StepChange::Charged)
        | Change::Wait(WaitChange::Ended(Came::Child)) => true,
        Change::Step(StepChange::NotBegun | StepChange::Published | StepChange::Grown)
        | Change::Wait(
            WaitChange::Began(..)
            | WaitChange::Ended(Came::Time | Came::Signal | Came::Answer)
            | WaitChange::TimedOut
            | WaitChange::LetGo,
        )
        | Change::Run(_)
        | Change::Node(_) => false,
    }
}

/// What a fork makes of an event that both runs share.
enum Copied {
    /// It is in the journal of both.
    AsItIs,
    /// It is between the other run and others.
    LeftOut,
    /// It asks for something: left out unless what comes of that is shared too.
    Asks { child: bool },
    /// What was asked for has come, or did not begin.
    Settles,
    /// What was asked for is not waited for any more.
    GivesUp,
}

const fn copied(change: Change<'_>) -> Copied {
    match change {
        Change::Run(RunChange::Recovered | RunChange::Released | RunChange::ParentTold | RunChange::ChildCancelled)
        | Change::Node(NodeChange::Parked) => Copied::LeftOut,
        Change::Step(StepChange::Started) => Copied::Asks { child: false },
        Change::Wait(WaitChange::Began(Awaited::Child(_), _)) => Copied::Asks { child: true },
        Change::Wait(WaitChange::Began(Awaited::Signal(_) | Awaited::Answer(_), Some(_))) => {
            Copied::Asks { child: false }
        }
        Change::Step(
            StepChange::NotBegun
            | StepChange::Completed
            | StepChange::Failed(_)
            | StepChange::Charged
            | StepChange::Published
            | StepChange::Grown,
        )
        | Change::Wait(WaitChange::Ended(_)) => Copied::Settles,
        Change::Wait(WaitChange::LetGo | WaitChange::TimedOut) => Copied::GivesUp,
        Change::Wait(WaitChange::Began(Awaited::Time(_) | Awaited::Signal(_) | Awaited::Answer(_), _))
        | Change::Run(
            RunChange::Created(_)
            | RunChange::Paused(_)
            | RunChange::Resumed
            | RunChange::Stopping
            | RunChange::Compensating
            | RunChange::Ended(_)
            | RunChange::Reopened
            | RunChange::UndoRetried
            | RunChange::Forked
            | RunChange::BudgetReached
            | RunChange::BudgetSet
            | RunChange::SignalReceived(_)
            | RunChange::ValueRead,
        )
        | Change::Node(
            NodeChange::Queued
            | NodeChange::AttemptStarted(_)
            | NodeChange::AttemptFailed(..)
            | NodeChange::Completed
            | NodeChange::Failed(_)
            | NodeChange::Skipped(_)
            | NodeChange::Cancelled
            | NodeChange::Reset
            | NodeChange::InputReplaced
            | NodeChange::Reported { .. },
        ) => Copied::AsItIs,
    }
}

/// The first `shared` events without what was between the run and others: what happened to its process and its parent,
/// the runs that it asked for and whose ends it does not know, the steps that it was at, and what it waited for so long at
/// the most. The tasks ask again, in the name of the new run.
fn without_others(events: Vec<Event>, shared: usize) -> Vec<Event> {
    let (mut asked, mut left_out) = (HashMap::new(), BTreeSet::new());
    for (index, event) in events.iter().take(shared).enumerate() {
        let row = event.consequence();
        match (copied(row.change), row.key()) {
            (Copied::LeftOut, _) => drop(left_out.insert(index)),
            (Copied::Asks { child }, Some(key)) => {
                left_out.extend(asked.insert(key, (index, child)).map(|(before, _)| before));
            }
            (Copied::GivesUp, Some(key)) => match asked.get(&key) {
                // A run that was let go is the other one's to cancel.
                Some((_, true)) => drop(left_out.insert(index)),
                _ => drop(asked.remove(&key)),
            },
            (Copied::Settles, Some(key)) => drop(asked.remove(&key)),
            (Copied::AsItIs, _) | (Copied::Asks { .. } | Copied::GivesUp | Copied::Settles, None) => {}
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
