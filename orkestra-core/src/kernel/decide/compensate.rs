//! Compensation of completed nodes, when a run ends early.
//!
//! The plan grows by one node for each completed node that has a compensation, in reverse order of completion. Each
//! runs after the one before it has ended, whatever the result. From then on they are ordinary nodes.

use std::collections::BTreeSet;

use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{Growth, Join, Name, NodeId, NodeSpec, Retry};

use super::super::event::Event;
use super::super::status::{NodeStatus, RunStatus};
use super::{Decision, Rejection};

/// How many attempts a compensation gets by default, with growing delays between them.
const UNDO_ATTEMPTS_MAX: u32 = 5;

/// Covers `undo:`, two numbers of ten digits, and the separators.
const UNDO_PREFIX_BYTES_MAX: usize = 28;

impl Decision<'_> {
    /// Starts the compensation. Returns false when there is nothing to compensate.
    pub(super) fn compensate(&mut self) -> bool {
        let state = self.state();
        if state.status != RunStatus::Stopping || state.undoable.is_empty() {
            return false;
        }
        let (mut growth, mut taken) = (Growth::new(), BTreeSet::new());
        for id in state.undoable.iter().rev() {
            let before = growth.nodes.last().map(|node: &NodeSpec| node.name.clone());
            let node = self.undo_node(*id, before, &taken);
            taken.insert(node.name.clone());
            growth.nodes.push(node);
        }
        let first = NodeId(u32::try_from(state.plan.nodes().len()).expect("NODES_MAX fits"));
        self.emit(Event::CompensationStarted { growth });
        self.enter_all(vec![first]);
        true
    }

    /// Retries one failed compensation of an ended run. Nothing else of the run continues.
    pub(super) fn retry_undo(&mut self, id: NodeId) -> Result<(), Rejection> {
        let state = self.state();
        if !state.is_undo(id) {
            return Err(Rejection::Undone);
        }
        let node = state.name(id).clone();
        if !matches!(state.node(id).status, NodeStatus::Failed | NodeStatus::Cancelled) {
            return Err(Rejection::NotFailed(node));
        }
        self.emit(Event::UndoRetried { node });
        self.enter_all(vec![id]);
        Ok(())
    }

    /// The node that compensates `id`. Its input is the output of `id`, taken from the state, so that the event does
    /// not repeat all outputs.
    fn undo_node(&self, id: NodeId, before: Option<Name>, taken: &BTreeSet<Name>) -> NodeSpec {
        let spec = &self.state().plan.node(id).spec;
        let task = spec.compensate.clone().expect("undoable nodes have a compensation");
        let retry = spec.compensate_retry.clone().unwrap_or_else(|| Retry::exponential(UNDO_ATTEMPTS_MAX));
        let node = NodeSpec::task(self.undo_name(id, taken), task).with_join(Join::Settled).with_retry(retry);
        let node = NodeSpec { timeout_ms: spec.compensate_timeout_ms, ..node };
        before.into_iter().fold(node, NodeSpec::with_after)
    }

    /// `undo:` and the node's name; shortened and numbered when that is too long or taken.
    fn undo_name(&self, id: NodeId, taken: &BTreeSet<Name>) -> Name {
        let (plan, name) = (&self.state().plan, self.state().name(id).as_str());
        let cut = &name[..name.len().min(NAME_BYTES_MAX - UNDO_PREFIX_BYTES_MAX)];
        let plain = (cut.len() == name.len()).then(|| format!("undo:{name}"));
        let numbered = (1_u32..).map(|number| format!("undo:{}.{number}:{cut}", id.0));
        let names = plain.into_iter().chain(numbered).filter_map(|name| Name::new(name).ok());
        let mut free = names.filter(|name| plan.id(name).is_none() && !taken.contains(name));
        free.next().expect("there are more numbers than nodes")
    }
}
