//! What the kernel reads inside payloads: conditions of nodes, and keys of slots.
//!
//! A large payload is a reference, and the kernel reads no blobs. So a reference carries the answers to every question
//! that the plan asks about the value. They are computed when the payload is decided on, while its value is in memory.
//! [`unread`] lists values without answers: those from older journals, and those that a growth asks about.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{
    Answers, Growth, Join, Looks, Name, NodeId, NodeKind, NodeSpec, Payload, Plan, PlanSize, Seq, SlotBy,
};

use super::change::{Change, NodeChange, RunChange};
use super::event::Event;
use super::input::InputKind;
use super::state::RunState;
use super::status::NodeStatus;

/// The input of a node, in parts that may be references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeInput {
    /// One value.
    One(Payload),
    /// A list of values.
    List(Vec<Payload>),
}

impl NodeInput {
    /// The key of the slot at this JSON pointer.
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

/// A list as a slot key: its text, or the keys of its parts when one of them is a reference.
fn whole_list(parts: &[Payload]) -> Option<String> {
    if let Ok(list) = Payload::list(parts) {
        return list.slot_key("");
    }
    Some(parts.iter().filter_map(|part| part.slot_key("")).collect::<Vec<_>>().join(","))
}

/// Splits a JSON pointer into a position in a list and the rest.
fn place_in_list(pointer: &str) -> Option<(usize, &str)> {
    let rest = pointer.strip_prefix('/')?;
    let (place, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let plain = !place.starts_with('+') && (place == "0" || !place.starts_with('0'));
    Some((place.parse().ok().filter(|_| plain)?, rest))
}

/// A value that may be kept beside the journal and that the plan asks about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum KeptValue {
    /// The run's input.
    Input,
    /// The output of a node.
    Output {
        /// The node.
        node: Name,
    },
    /// An unread signal.
    Signal {
        /// Its name.
        signal: Name,
        /// The event that brought it.
        came: Seq,
    },
}

/// A large value for which answers to the plan's questions are missing.
#[derive(Clone, Debug)]
pub struct Unread {
    value: KeptValue,
    payload: Payload,
    looks: Looks,
}

impl Unread {
    /// The reference to the value.
    #[must_use]
    pub const fn payload(&self) -> &Payload {
        &self.payload
    }

    /// The input for the run, once the value was read.
    #[must_use]
    pub fn read(self, value: &Payload) -> InputKind {
        InputKind::ValueRead { value: self.value, answers: self.looks.answers(value.as_json()) }
    }
}

/// The values that must be read before the run continues, or before it grows by `growth`.
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
    // A growth that does not fit is rejected by its decision.
    if plan.check_growth(growth, PlanSize::WORK, |_| false).is_err() || plan.grow(growth, PlanSize::WORK).is_err() {
        return Vec::new();
    }
    nodes.extend(plan.ids_from(state.nodes.len()).filter(|id| looks_somewhere(&plan.node(*id).spec)));
    unread_before(state, &plan, &nodes)
}

/// The values that these nodes of the plan ask about.
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
    /// The reference, if it exists.
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
            return Err(format!("{value:?} is not kept beside the journal"));
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

/// What the plan asks about the run's input.
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

/// What the plan asks about the output of the node at `id`.
pub(crate) fn at_output(plan: &Plan, id: NodeId) -> Looks {
    let mut looks = Looks::default();
    add_output(plan, id, &mut looks);
    looks
}

/// What the plan asks about a signal of this name, as the output of the gates that wait for it.
pub(crate) fn at_signal(plan: &Plan, signal: &Name) -> Looks {
    let mut looks = Looks::default();
    let waits = |id: &NodeId| matches!(&plan.node(*id).spec.kind, NodeKind::Gate(waits_for) if waits_for == signal);
    plan.ids().filter(waits).for_each(|id| add_output(plan, id, &mut looks));
    looks
}

/// What the node at `id` asks about its replaced input.
pub(crate) fn at_replaced_input(plan: &Plan, id: NodeId) -> Looks {
    let mut looks = Looks::default();
    slot_pointers(&plan.node(id).spec).for_each(|pointer| looks.slot(pointer));
    looks
}

/// What the plan asks about the payload of an event.
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
            NodeChange::InputReplaced => of_node(at_replaced_input).unwrap_or_default(),
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
        // Only the task reads the results of steps and waits; the plan asks nothing about them.
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

/// The question about a part of a list, at whatever position.
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
