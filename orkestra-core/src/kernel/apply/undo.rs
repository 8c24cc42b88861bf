//! Compensation: what a run undoes, and what it must leave to the run it was forked from.

use std::collections::BTreeSet;
use std::mem;

use crate::model::{Growth, Name, NodeId, PlanSize};

use super::super::reason::StopReason;
use super::super::state::{RunState, Stopping, Timer};
use super::super::status::{NodeStatus, Outcome, RunStatus};
use super::Applied;

impl RunState {
    /// Marks everything so far as done by the run whose events were copied; that run compensates it.
    pub(super) fn forked(&mut self, shared: &[Name]) -> Applied {
        if self.options.forked_from.is_none() || self.stopping.is_some() {
            return Err("the run is not a fork".into());
        }
        let shared: Result<BTreeSet<_>, _> = shared.iter().map(|node| self.find(node)).collect();
        self.shared.extend(shared?);
        self.undoable.clear();
        Ok(())
    }

    /// Remembers a completed node that can be compensated and is the run's own.
    pub(super) fn record_undoable(&mut self, id: NodeId) {
        if self.plan.node(id).spec.compensate.is_some() && !self.shared.contains(&id) {
            self.undoable.push(id);
        }
    }

    pub(super) fn compensation_started(&mut self, growth: &Growth) -> Applied {
        if self.status != RunStatus::Stopping || !self.running.is_empty() || self.undo_from.is_some() {
            return Err("compensation cannot start now".into());
        }
        self.cancel_open();
        if let Some(stopping) = &self.stopping {
            self.timers.remove(&(stopping.grace_until, Timer::Grace));
        }
        self.status = RunStatus::Compensating;
        let first = u32::try_from(self.nodes.len()).map_err(|_| "too many nodes")?;
        self.undo_from = Some(NodeId(first));
        self.undone = mem::take(&mut self.undoable).into_iter().rev().collect();
        if growth.nodes.len() != self.undone.len() {
            return Err(format!("compensation must add {} nodes", self.undone.len()));
        }
        self.add_to_plan(growth, PlanSize::WITH_COMPENSATION)
    }

    /// An ended run retries a failed compensation, and then ends as before.
    pub(super) fn undo_retried(&mut self, node: &Name) -> Applied {
        let id = self.find(node)?;
        let failed = matches!(self.node(id).status, NodeStatus::Failed | NodeStatus::Cancelled);
        let Some(outcome) = self.outcome.clone().filter(|_| failed && self.is_undo(id)) else {
            return Err(format!("`{node}` is not a failed compensation"));
        };
        let reason = match outcome {
            Outcome::Completed(_) => return Err("a completed run has nothing to compensate".into()),
            Outcome::Failed { node, failure } => StopReason::NodeFailed { node, failure },
            Outcome::Cancelled(reason) => StopReason::Cancelled { reason },
            Outcome::Terminated(reason) => StopReason::Terminated { reason },
            Outcome::TimedOut(deadline) => StopReason::DeadlinePassed { deadline },
        };
        self.status = RunStatus::Compensating;
        self.stopping = Some(Stopping { reason, grace_until: self.updated_at });
        self.outcome = None;
        self.owes_parent = None;
        self.reset_node(id);
        Ok(())
    }
}
