//! Undoing what was done, when a run ends before its nodes are done.
//!
//! The plan grows by a node for each completed one that can be undone, in reverse order of completion, each after the
//! one before it has ended, however. From then on they are nodes like any other.

use std::collections::BTreeSet;

use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{Growth, Join, Name, NodeId, NodeSpec, Retry};

use super::super::event::Event;
use super::super::status::{NodeStatus, RunStatus};
use super::{Decision, Rejection};

/// How often undoing is tried before it is given up, with growing delays between, unless the node says otherwise.
const UNDO_ATTEMPTS_MAX: u32 = 5;

/// Room for `undo:`, two numbers of ten digits, and what separates them.
const UNDO_PREFIX_BYTES_MAX: usize = 28;

impl Decision<'_> {
    /// Begins to undo; false when there is nothing to undo.
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

    /// Undoes once more what an ended run could not undo. Nothing else of it goes on.
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

    /// Its input is the output of the node at `id`: the state gives it, so that the event does not repeat all outputs.
    fn undo_node(&self, id: NodeId, before: Option<Name>, taken: &BTreeSet<Name>) -> NodeSpec {
        let spec = &self.state().plan.node(id).spec;
        let task = spec.compensate.clone().expect("only what can be undone is to be undone");
        let retry = spec.compensate_retry.clone().unwrap_or_else(|| Retry::exponential(UNDO_ATTEMPTS_MAX));
        let node = NodeSpec::task(self.undo_name(id, taken), task).with_join(Join::Settled).with_retry(retry);
        let node = NodeSpec { timeout_ms: spec.compensate_timeout_ms, ..node };
        before.into_iter().fold(node, NodeSpec::with_after)
    }

    /// `undo:` and the node's name, cut and numbered where that is no free name.
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
