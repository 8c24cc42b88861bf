//! Random workflows, as data.

use orkestra_core::model::{Name, NodeSpec, Payload, Retry, WorkflowSpec};

use crate::chance::Chance;

use super::program::{TASK, signal_name};

/// The most nodes that a workflow begins with.
const NODES_MAX: usize = 12;

/// A graph of 1 to 12 nodes, small ones more often.
pub(super) fn random(chance: &mut Chance, number: usize) -> WorkflowSpec {
    let most = 1 + chance.below(NODES_MAX);
    let count = 1 + chance.below(most);
    let nodes = (0..count).map(|index| node(chance, index)).collect();
    WorkflowSpec { name: name(&format!("w{number}")), version: None, nodes }
}

fn name(text: &str) -> Name {
    Name::new(text).expect("the names of a simulation are names")
}

fn node(chance: &mut Chance, index: usize) -> NodeSpec {
    let own = name(&format!("n{index}"));
    let mut node =
        if chance.one_in(8) { NodeSpec::gate(own, signal_name(chance)) } else { NodeSpec::task(own, name(TASK)) };
    for before in 0..index {
        // About two edges into a node, however many there are before it.
        if chance.below(index) < 2 {
            node = node.with_after(name(&format!("n{before}")));
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
    if chance.one_in(8) {
        node = node.with_input(Payload::of(&index).expect("a number is JSON"));
    }
    node
}
