//! Random workflows, as data.

use std::time::Duration;

use orkestra_core::Limit;
use orkestra_core::model::{
    Condition, Join, Name, NodeKind, NodeSpec, OnFailure, Payload, Retry, SlotSpec, Test, WorkflowSpec,
};

use crate::chance::Chance;

use super::ability::{Abilities, Ability};
use super::program::{TASK, name, signal_name};
use super::value::BIG;

/// The maximum number of nodes that a workflow starts with.
const NODES_MAX: usize = 12;

/// A graph of 1 to 12 nodes, small ones more often.
pub(super) fn random(chance: &mut Chance, abilities: &Abilities, number: usize) -> WorkflowSpec {
    let most = 1 + chance.below(NODES_MAX);
    let count = 1 + chance.below(most);
    let names: Vec<_> = (0..count).map(|index| node_name(abilities, index)).collect();
    let nodes = (0..count).map(|index| node(chance, abilities, &names[..=index])).collect();
    WorkflowSpec { name: name(&format!("w{number}")), version: None, nodes }
}

/// A node's name; in some worlds one that is easily confused with another node's name and a key.
fn node_name(abilities: &Abilities, index: usize) -> Name {
    let alike = if abilities.has(Ability::Keys) { ["eu", "eu/x", "eu/x/y"].get(index) } else { None };
    alike.map_or_else(|| name(&format!("n{index}")), |alike| name(alike))
}

fn node(chance: &mut Chance, abilities: &Abilities, names: &[Name]) -> NodeSpec {
    let index = names.len() - 1;
    let own = names[index].clone();
    let mut node =
        if chance.one_in(8) { NodeSpec::gate(own, signal_name(chance)) } else { NodeSpec::task(own, name(TASK)) };
    for before in &names[..index] {
        // About two edges to a node, however many nodes precede it.
        if chance.below(index) < 2 {
            node = node.with_after(before.clone());
        }
    }
    if chance.one_in(2) {
        let attempts = 2 + u32::try_from(chance.below(3)).unwrap_or(0);
        node =
            node.with_retry(if chance.one_in(2) { Retry::immediate(attempts) } else { Retry::exponential(attempts) });
    }
    if chance.one_in(5) {
        node.timeout_ms = Some(*chance.pick(&[50, 2_000, 20_000]));
    }
    options(chance, &mut node);
    if abilities.has(Ability::Values) && chance.one_in(4) {
        // One less than the first number that a 64-bit float cannot represent.
        let close = Payload::of(&(BIG - 1)).expect("a number is JSON");
        node.when = Some(Condition::input("/v", Test::Equals(close)));
    }
    if abilities.has(Ability::Doors) && chance.one_in(4) {
        node.when = Some(hostile(chance));
    }
    if abilities.has(Ability::Policies) && chance.one_in(2) {
        node.on_failure = OnFailure::Pause;
    }
    if chance.one_in(8) {
        node = node.with_input(Payload::of(&index).expect("a number is JSON"));
    }
    node
}

/// Conditions that can be built in Rust and that a journal cannot represent.
pub(super) fn hostile(chance: &mut Chance) -> Condition {
    match chance.below(4) {
        0 => Condition::input("start", Test::Present),
        1 => Condition::input("/start", Test::AtMost(f64::INFINITY)),
        2 => Condition::input("/start", Test::AtLeast(f64::NAN)),
        _ => (0..40).fold(Condition::input("/start", Test::Present), |inner, _| Condition::Not(Box::new(inner))),
    }
}

/// The settings in which nodes differ. Each is rare: settings of most nodes would hide faults of rarer ones.
fn options(chance: &mut Chance, node: &mut NodeSpec) {
    if chance.one_in(10) {
        node.total_timeout_ms = Some(*chance.pick(&[200, 3_000, 60_000]));
    }
    if chance.one_in(12) {
        node.heartbeat_timeout_ms = Some(*chance.pick(&[300, 3_000]));
    }
    if !node.after.is_empty() && chance.one_in(4) {
        node.join = *chance.pick(&[Join::Any, Join::AtLeast(1), Join::Settled]);
    }
    if chance.one_in(5) {
        node.on_failure = *chance.pick(&[OnFailure::Skip, OnFailure::Continue, OnFailure::Pause]);
    }
    if chance.one_in(8) {
        let test = chance.pick(&[Test::AtLeast(1.0), Test::AtMost(1.0), Test::Present, Test::Absent]).clone();
        node.when = Some(match node.after.first() {
            Some(before) if chance.one_in(2) => Condition::output(before.clone(), "/attempt", test),
            _ => Condition::input("/start", test),
        });
    }
    if matches!(node.kind, NodeKind::Gate(_)) {
        return;
    }
    if chance.one_in(6) {
        node.compensate = Some(name(TASK));
    }
    if chance.one_in(6) {
        let limit = name(LIMITS[chance.below(LIMITS.len())]);
        node.limits.push(SlotSpec { limit, by: None });
        node.priority = i32::try_from(chance.below(3)).unwrap_or(0);
    }
}

/// The limits that every engine has.
pub(super) const LIMITS: [&str; 2] = ["one", "slowly"];

/// The limit of children.
pub(super) const CHILD_LIMIT: &str = "narrow";

/// All limits, for an engine.
pub(super) fn limits() -> [Limit; 3] {
    let rate = Limit::rate(LIMITS[1], 2, Duration::from_secs(5));
    [Limit::concurrency(LIMITS[0], 1), rate, Limit::concurrency(CHILD_LIMIT, 2)]
}
