//! Undoing what was done, when a run ends before its nodes are done.
//!
//! The plan grows by a node for each completed one that can be undone, in reverse order of completion, each after the
//! one before it has ended, however. From then on they are nodes like any other.

use crate::model::limits::{NAME_BYTES_MAX, NODES_MAX};
use crate::model::{Growth, Join, Name, NodeId, NodeSpec, Payload, Retry};

use super::super::event::Event;
use super::super::status::RunStatus;
use super::Decision;

/// How often undoing is tried before it is given up, with growing delays between.
const UNDO_ATTEMPTS_MAX: u32 = 5;

impl Decision<'_> {
    /// Begins to undo; false when there is nothing to undo.
    pub(super) fn compensate(&mut self) -> bool {
        let state = self.state();
        if state.status != RunStatus::Stopping || state.undoable.is_empty() {
            return false;
        }
        let mut growth = Growth::new();
        let mut before: Option<Name> = None;
        let room = NODES_MAX.saturating_sub(state.plan.nodes().len());
        for id in state.undoable.iter().rev().take(room) {
            let Some(node) = self.undo_node(*id, before.clone()) else { continue };
            before = Some(node.name.clone());
            growth.nodes.push(node);
        }
        if growth.nodes.is_empty() {
            return false;
        }
        let first = NodeId(u32::try_from(state.plan.nodes().len()).expect("NODES_MAX fits"));
        self.emit(Event::CompensationStarted { growth });
        self.enter_all(vec![first]);
        true
    }

    fn undo_node(&self, id: NodeId, before: Option<Name>) -> Option<NodeSpec> {
        let state = self.state();
        let task = state.plan.node(id).spec.compensate.clone()?;
        let output = state.node(id).output.clone().unwrap_or_else(Payload::null);
        let node = NodeSpec::task(self.undo_name(id)?, task).with_input(output).with_join(Join::Settled);
        let node = node.with_retry(Retry::exponential(UNDO_ATTEMPTS_MAX));
        Some(before.into_iter().fold(node, NodeSpec::with_after))
    }

    /// `undo:` and the node's name, cut and numbered where that is no free name.
    fn undo_name(&self, id: NodeId) -> Option<Name> {
        let (plan, name) = (&self.state().plan, self.state().name(id).as_str());
        let cut = &name[..name.len().min(NAME_BYTES_MAX - 16)];
        let plain = (cut.len() == name.len()).then(|| Name::new(format!("undo:{name}")).ok()).flatten();
        let numbered = || Name::new(format!("undo:{}:{cut}", id.0)).ok();
        plain.filter(|name| plan.id(name).is_none()).or_else(numbered).filter(|name| plan.id(name).is_none())
    }
}
