//! Forks: a run that starts with the history of another one.
//!
//! The shared history is copied, event by event, up to where the node started; from there on the new run decides for
//! itself. Compensating what the other run did is left to that run: the fork compensates only its own work, and is
//! refused where it would continue with compensated results.
//! Relations to other runs are not shared: the children of the other run stay its own, and its running attempts, steps
//! and waits start again with their full time.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::model::{Fork, Incarnation, Name, NodeId, Payload, RunId, RunOptions, Seq, Timestamp};

use super::super::apply::apply;
use super::super::change::{Awaited, Change, EndedBy, NodeChange, RunChange, StepChange, WaitChange};
use super::super::event::Event;
use super::super::looks;
use super::super::state::RunState;
use super::super::status::NodeStatus;
use super::{Decision, Rejection};

/// The run to fork, and what differs in the fork.
pub(super) struct Original {
    pub(super) run: RunId,
    pub(super) events: Vec<Event>,
    pub(super) node: Name,
    pub(super) input: Option<Payload>,
    pub(super) incarnation: Option<Incarnation>,
    /// Whether shared work may have been compensated.
    pub(super) undone: bool,
}

pub(super) fn fork(run: &RunId, now: Timestamp, other: Original) -> Result<(RunState, Vec<Event>), Rejection> {
    let Original { run: from, events, node, input, incarnation, undone } = other;
    let begins = |event: &Event| {
        let row = event.consequence();
        row.node == Some(&node) && begins_work(row.change)
    };
    let shared = events.iter().position(begins).ok_or_else(|| Rejection::NotBegun(node.clone()))?;
    let compensated_there = !undone && is_undone(&events);
    let later: BTreeSet<Name> = completed(&events[shared..]).cloned().collect();
    let origin = Fork { run: from, node: node.clone(), seq: Seq(shared as u64) };
    let mut copied = shared_history(events, shared);
    if let Some(Event::RunCreated { options, .. }) = copied.first_mut() {
        // The shared history has keys of the version that started the original run; the fork uses the same version of
        // keys.
        let incarnation = options.incarnation.as_ref().and(incarnation);
        let kept = RunOptions { incarnation, deadline: None, parent: None, ..(**options).clone() };
        **options = RunOptions { forked_from: Some(origin), ..kept };
    }
    let mut copy = None;
    for event in &mut copied {
        restart_deadline(copy.as_ref(), now, event);
        apply(run, &mut copy, now, event).map_err(Rejection::Fork)?;
    }
    let Some(mut copy) = copy.filter(|copy| !copy.status.is_ending() && !copy.status.is_final()) else {
        return Err(Rejection::NotBegun(node));
    };
    let partly_done = find_partly_done(&copy, &copied);
    if compensated_there {
        let done = copy.undoable.iter().map(|id| copy.name(*id));
        // Nodes that both runs started and the original completed were compensated with all their steps.
        let mut gone = done.chain(partly_done.iter().filter(|half| later.contains(*half)));
        if let Some(gone) = gone.next() {
            return Err(Rejection::ForkUndone(gone.clone()));
        }
    }
    let is_shared = !copy.undoable.is_empty() || !partly_done.is_empty();
    let mut decision = Decision { events: copied, ..Decision::new(&mut copy, now, 0.0) };
    if is_shared {
        decision.emit(Event::Forked { shared: partly_done });
    }
    decision.diverge(node, input);
    let events = decision.finish()?;
    Ok((copy, events))
}

/// Whether the event starts the work of a node.
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

/// Whether the run's work was compensated, is being compensated, or is about to be.
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

/// The nodes that completed.
fn completed(events: &[Event]) -> impl Iterator<Item = &Name> {
    let rows = events.iter().map(Event::consequence);
    rows.filter(|row| matches!(row.change, Change::Node(NodeChange::Completed))).filter_map(|row| row.node)
}

/// Nodes with a compensation that are incomplete in the copy and have steps done by the original run. Their shared
/// steps cannot be separated from the rest, so compensating them is left to the original run.
fn find_partly_done(copy: &RunState, copied: &[Event]) -> Vec<Name> {
    let rows = copied.iter().map(Event::consequence).filter(|row| did_something(row.change));
    let ids: BTreeSet<_> = rows.filter_map(|row| copy.plan.id(row.node?)).collect();
    let half = |id: &NodeId| {
        let undone = copy.plan.node(*id).spec.compensate.is_some();
        undone && copy.node(*id).status != NodeStatus::Completed && !copy.shared.contains(id)
    };
    ids.into_iter().filter(half).map(|id| copy.name(id).clone()).collect()
}

/// Whether the event did something that may need compensation.
const fn did_something(change: Change<'_>) -> bool {
    match change {
        Change::Step(StepChange::Started | StepChange::Completed | StepChange::Failed(_) | StepChange::Charged)
        | Change::Wait(WaitChange::Ended(EndedBy::Child)) => true,
        Change::Step(StepChange::NotBegun | StepChange::Published | StepChange::Grown)
        | Change::Wait(
            WaitChange::Began(..)
            | WaitChange::Ended(EndedBy::Time | EndedBy::Signal | EndedBy::Answer)
            | WaitChange::TimedOut
            | WaitChange::LetGo,
        )
        | Change::Run(_)
        | Change::Node(_) => false,
    }
}

/// What a fork does with an event of the shared history.
enum Copied {
    /// Copied: it is in both journals.
    AsItIs,
    /// Left out: it concerns the original run and others.
    LeftOut,
    /// A request: left out unless its answer is shared too.
    Asks { child: bool },
    /// The answer to a request, or the request was not carried out.
    Settles,
    /// A request is no longer waited for.
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

/// The first `shared` events without those that concern only the original run: events about its process and its parent,
/// requests for runs whose end it does not know, steps it was running, and waits with a time limit. The tasks of the
/// new run request these again.
fn shared_history(events: Vec<Event>, shared: usize) -> Vec<Event> {
    let (mut asked, mut left_out) = (HashMap::new(), BTreeSet::new());
    for (index, event) in events.iter().take(shared).enumerate() {
        let row = event.consequence();
        match (copied(row.change), row.key()) {
            (Copied::LeftOut, _) => drop(left_out.insert(index)),
            (Copied::Asks { child }, Some(key)) => {
                left_out.extend(asked.insert(key, (index, child)).map(|(before, _)| before));
            }
            (Copied::GivesUp, Some(key)) => match asked.get(&key) {
                // A child that was dropped is cancelled by the original run.
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

/// A running attempt of the copy starts now.
fn restart_deadline(copy: Option<&RunState>, now: Timestamp, event: &mut Event) {
    if let (Some(copy), Event::AttemptStarted { node, deadline: Some(deadline), .. }) = (copy, event) {
        let timeout = copy.plan.id(node).and_then(|id| copy.plan.node(id).spec.timeout_ms);
        *deadline = now.saturating_add(Duration::from_millis(timeout.unwrap_or_default()));
    }
}

impl Decision<'_> {
    fn diverge(&mut self, node: Name, input: Option<Payload>) {
        if self.state().pause.is_some() {
            self.emit(Event::RunResumed);
        }
        let pending = self.state().plan.id(&node).is_some_and(|id| self.state().node(id).status == NodeStatus::Pending);
        if let Some(input) = input.filter(|_| pending) {
            let looks = self.state().plan.id(&node).map(|id| looks::at_replaced_input(&self.state().plan, id));
            let input = looks.map_or_else(|| input.clone(), |looks| input.clone().looked_at(&looks));
            self.emit(Event::InputReplaced { node, input });
        }
        self.enter_ready();
        self.check_budget();
    }
}
