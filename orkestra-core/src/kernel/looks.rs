//! What the rules look at in payloads: conditions of nodes, and keys of slots.
//!
//! A payload that is kept beside the journal is a reference, and the kernel reads no blobs. So a reference carries the answers
//! to all that the plan looks at in it; they are made when it is decided on, while its value is in memory. [`unread`] tells
//! of which values answers are missing: those of journals of before, and what a growth looks at.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{Answers, Growth, Join, Looks, Name, NodeId, NodeKind, NodeSpec, Payload, Plan, Room, Seq, SlotBy};

use super::change::{Change, NodeChange, RunChange};
use super::event::Event;
use super::input::InputKind;
use super::state::RunState;
use super::status::NodeStatus;

/// The input of a node, in parts that may be kept beside the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeInput {
    /// One value.
    One(Payload),
    /// A list of values.
    List(Vec<Payload>),
}

impl NodeInput {
    /// The key of a slot that is at this JSON pointer.
    pub(super) fn slot_key(&self, pointer: &str) -> Option<String> {
        match self {
            Self::One(payload) => payload.slot_key(pointer),
            Self::List(parts) => match place_in_list(pointer) {
                Some((place, rest)) => parts.get(place)?.slot_key(rest),
                None if pointer.is_empty() => whole_list(parts),
                None => None,
            },
        }
    }
}

/// A list as a key: by its text, or by the keys of its parts where one of them is kept beside the journal.
fn whole_list(parts: &[Payload]) -> Option<String> {
    if let Ok(list) = Payload::list(parts) {
        return list.slot_key("");
    }
    Some(parts.iter().filter_map(|part| part.slot_key("")).collect::<Vec<_>>().join(","))
}

/// The first part of a JSON pointer as a place in a list, and what is looked at there.
fn place_in_list(pointer: &str) -> Option<(usize, &str)> {
    let rest = pointer.strip_prefix('/')?;
    let (place, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = !place.starts_with('+') && (place == "0" || !place.starts_with('0'));
    Some((place.parse().ok().filter(|_| plain)?, rest))
}

/// A value that may be kept beside the journal and that the plan may look into.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeptValue {
    /// What the run was given.
    Input,
    /// What a node gave.
    Output {
        /// The node.
        node: Name,
    },
    /// A signal that nobody has read.
    Signal {
        /// Its name.
        signal: Name,
        /// The event that brought it.
        came: Seq,
    },
}

/// A value in which the plan looks at something that is not known.
#[derive(Clone, Debug)]
pub struct Unread {
    value: KeptValue,
    payload: Payload,
    looks: Looks,
}

impl Unread {
    /// The reference to it.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What the run is told of it once it was read.
    #[must_use]
    pub fn read(self, value: &Payload) -> InputKind {
        InputKind::ValueRead { value: self.value, answers: self.looks.answers(value.as_json()) }
    }
}

/// The values of which something is to be known before the run goes on, or before it grows by `growth`.
#[must_use]
pub fn unread(state: &RunState, growth: Option<&Growth>) -> Vec<Unread> {
    let looks_somewhere = |spec: &NodeSpec| spec.when.is_some() || slot_pointers(spec).next().is_some();
    let Some(growth) = growth else {
        let nodes: Vec<_> = state.plan.ids().filter(|id| looks_somewhere(&state.plan.node(*id).spec)).collect();
        return unread_before(state, &state.plan, &nodes);
    };
    let old = growth.edges.iter().filter_map(|(_, after)| state.plan.id(after));
    let old = old.filter(|id| slot_pointers(&state.plan.node(*id).spec).next().is_some());
    let mut nodes: Vec<_> = old.collect();
    if nodes.is_empty() && !growth.nodes.iter().any(looks_somewhere) {
        return Vec::new();
    }
    let mut plan = Plan::clone(&state.plan);
    // What does not fit is refused when it is decided on.
    if plan.check_growth(growth, Room::WORK, |_| false).is_err() || plan.grow(growth, Room::WORK).is_err() {
        return Vec::new();
    }
    nodes.extend(plan.ids_from(state.nodes.len()).filter(|id| looks_somewhere(&plan.node(*id).spec)));
    unread_before(state, &plan, &nodes)
}

/// Those that these nodes of the plan look at.
fn unread_before(state: &RunState, plan: &Plan, nodes: &[NodeId]) -> Vec<Unread> {
    let mut before = BTreeSet::new();
    for id in nodes.iter().filter(|id| state.nodes.get(id.index()).is_none_or(|node| !node.status.is_final())) {
        before.extend(plan.node(*id).after.iter().copied());
    }
    let mut found = Vec::new();
    let mut look = |value: KeptValue, payload: &Payload, looks: Looks| {
        if !looks.answered_by(payload) {
            found.push(Unread { value, payload: payload.clone(), looks });
        }
    };
    if state.input.is_kept_beside() && !nodes.is_empty() {
        look(KeptValue::Input, &state.input, at_input(plan));
    }
    for id in before {
        let name = &plan.node(id).spec.name;
        match state.nodes.get(id.index()) {
            Some(node) if node.status == NodeStatus::Completed => {
                if let Some(output) = node.output.as_ref().filter(|output| output.is_kept_beside()) {
                    look(KeptValue::Output { node: name.clone() }, output, at_output(plan, id));
                }
            }
            _ => {
                let NodeKind::Gate(signal) = &plan.node(id).spec.kind else { continue };
                for (came, payload) in state.signals.get(signal).into_iter().flatten() {
                    if payload.is_kept_beside() {
                        let value = KeptValue::Signal { signal: signal.clone(), came: *came };
                        look(value, payload, at_signal(plan, signal));
                    }
                }
            }
        }
    }
    found
}

impl RunState {
    /// The reference, if one is there.
    pub(super) fn kept_value(&self, value: &KeptValue) -> Option<&Payload> {
        let payload = match value {
            KeptValue::Input => Some(&self.input),
            KeptValue::Output { node } => self.node(self.plan.id(node)?).output.as_ref(),
            KeptValue::Signal { signal, came } => self.signals.get(signal)?.get(came),
        };
        payload.filter(|payload| payload.is_kept_beside())
    }

    pub(super) fn value_read(&mut self, value: &KeptValue, answers: &Answers) -> Result<(), String> {
        let Some(known) = self.kept_value(value).cloned() else {
            return Err(format!("{value:?} is no value that is kept beside the journal"));
        };
        let known = known.with_answers(answers);
        match value {
            KeptValue::Input => self.input = known,
            KeptValue::Output { node } => {
                if let Some(id) = self.plan.id(node) {
                    self.nodes[id.index()].output = Some(known);
                }
            }
            KeptValue::Signal { signal, came } => {
                if let Some(payload) = self.signals.get_mut(signal).and_then(|queue| queue.get_mut(came)) {
                    *payload = known;
                }
            }
        }
        Ok(())
    }
}

/// What the plan looks at in the run's input.
pub(crate) fn at_input(plan: &Plan) -> Looks {
    let mut looks = Looks::default();
    for id in plan.ids() {
        let node = plan.node(id);
        if let Some(when) = &node.spec.when {
            looks.condition(when, None);
        }
        if node.after.is_empty() && node.spec.input.is_none() {
            slot_pointers(&node.spec).for_each(|pointer| looks.slot(pointer));
        }
    }
    looks
}

/// What the plan looks at in the output of the node at `id`.
pub(crate) fn at_output(plan: &Plan, id: NodeId) -> Looks {
    let mut looks = Looks::default();
    add_output(plan, id, &mut looks);
    looks
}

/// What the plan looks at in a signal of this name: in the output of the gates that wait for it.
pub(crate) fn at_signal(plan: &Plan, signal: &Name) -> Looks {
    let mut looks = Looks::default();
    let waits = |id: &NodeId| matches!(&plan.node(*id).spec.kind, NodeKind::Gate(waits_for) if waits_for == signal);
    plan.ids().filter(waits).for_each(|id| add_output(plan, id, &mut looks));
    looks
}

/// What the node at `id` looks at in an input that somebody gives it.
pub(crate) fn at_own(plan: &Plan, id: NodeId) -> Looks {
    let mut looks = Looks::default();
    slot_pointers(&plan.node(id).spec).for_each(|pointer| looks.slot(pointer));
    looks
}

/// What the plan looks at in the payload of an event.
pub(crate) fn looks_of(plan: &Plan, event: &Event) -> Looks {
    let row = event.consequence();
    let of_node = |looks: fn(&Plan, NodeId) -> Looks| row.node.and_then(|node| plan.id(node)).map(|id| looks(plan, id));
    match row.change {
        Change::Run(change) => match change {
            RunChange::Created(_) => at_input(plan),
            RunChange::SignalReceived(signal) => at_signal(plan, signal),
            RunChange::Recovered
            | RunChange::Released
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
            | RunChange::ChildCancelled
            | RunChange::ParentTold
            | RunChange::ValueRead => Looks::default(),
        },
        Change::Node(change) => match change {
            NodeChange::Completed => of_node(at_output).unwrap_or_default(),
            NodeChange::InputReplaced => of_node(at_own).unwrap_or_default(),
            NodeChange::Queued
            | NodeChange::AttemptStarted(_)
            | NodeChange::AttemptFailed(..)
            | NodeChange::Failed(_)
            | NodeChange::Skipped(_)
            | NodeChange::Cancelled
            | NodeChange::Reset
            | NodeChange::Parked
            | NodeChange::Reported { .. } => Looks::default(),
        },
        // Results of steps and waits are the task's own: the plan looks at none of them.
        Change::Step(_) | Change::Wait(_) => Looks::default(),
    }
}

fn add_output(plan: &Plan, id: NodeId, looks: &mut Looks) {
    let name = &plan.node(id).spec.name;
    for dependent in plan.dependents(id) {
        let node = plan.node(dependent);
        if let Some(when) = &node.spec.when {
            looks.condition(when, Some(name));
        }
        if node.spec.input.is_some() {
            continue;
        }
        for pointer in slot_pointers(&node.spec) {
            match (node.spec.join, node.after.as_slice()) {
                (Join::Any, _) => looks.slot(pointer),
                (Join::AtLeast(_) | Join::Settled, _) | (_, [_, _, ..]) => in_list(pointer, looks),
                _ => looks.slot(pointer),
            }
        }
    }
}

/// What is looked at in a part of a list, whichever place it has there.
fn in_list(pointer: &str, looks: &mut Looks) {
    if pointer.is_empty() {
        looks.slot("");
    } else if let Some((_, rest)) = place_in_list(pointer) {
        looks.slot(rest);
    }
}

fn slot_pointers(spec: &NodeSpec) -> impl Iterator<Item = &str> {
    spec.limits.iter().filter_map(|slot| match &slot.by {
        Some(SlotBy::Input(pointer)) => Some(pointer.as_str()),
        _ => None,
    })
}
