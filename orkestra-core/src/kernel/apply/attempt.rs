//! Attempts and nodes: how they begin, end and are forgotten.

use std::sync::Arc;

use crate::model::{Name, NodeId, NodeKind, Payload, Timestamp};

use super::super::event::Next;
use super::super::state::{NodeStatus, RunState, Timer};
use super::Written;

impl RunState {
    pub(super) fn attempt_started(&mut self, node: &Name, attempt: u32, deadline: Option<Timestamp>) -> Written {
        let id = self.find(node)?;
        let (seq, now) = (self.last, self.updated_at);
        let state = &mut self.nodes[id.index()];
        let may_start = match state.status {
            NodeStatus::Pending => state.waiting_for == 0,
            NodeStatus::Backoff => true,
            _ => false,
        };
        if !may_start || attempt != state.attempt + 1 || self.stopping.is_some() {
            return Err(format!("attempt {attempt} of `{node}` cannot start"));
        }
        let retry_at = state.retry_at.take();
        state.status = NodeStatus::Running;
        state.attempt = attempt;
        state.started_at.get_or_insert(now);
        state.deadline = deadline;
        state.interruptions = 0;
        state.changed = seq;
        self.running.insert(id);
        if let Some(at) = retry_at {
            self.timers.remove(&(at, Timer::Retry(id)));
        }
        if let Some(at) = deadline {
            self.timers.insert((at, Timer::Attempt(id)));
        }
        let plan = Arc::clone(&self.plan);
        match &plan.node(id).spec.kind {
            NodeKind::Task(_) => drop(self.tasks.insert(id)),
            NodeKind::Gate(signal) => self.wait_for(id, None, signal),
        }
        Ok(())
    }

    pub(super) fn attempt_failed(&mut self, id: NodeId, next: Next) -> Written {
        if self.stopping.is_some() {
            return Err("nothing fails in a run that is stopping".into());
        }
        match next {
            Next::GiveUp => self.close(id, NodeStatus::Failed),
            Next::RetryAt(at) => {
                self.leave_running(id);
                self.forget_waits(id, false);
                let seq = self.last;
                let state = &mut self.nodes[id.index()];
                state.status = NodeStatus::Backoff;
                state.retry_at = Some(at);
                state.changed = seq;
                self.timers.insert((at, Timer::Retry(id)));
            }
        }
        Ok(())
    }

    pub(super) fn node_completed(&mut self, node: &Name, output: &Payload) -> Written {
        let id = self.find(node)?;
        if self.node(id).status != NodeStatus::Running {
            return Err(format!("node `{node}` completed without an attempt under way"));
        }
        self.close(id, NodeStatus::Completed);
        self.nodes[id.index()].output = Some(output.clone());
        let plan = Arc::clone(&self.plan);
        for dependent in plan.dependents(id) {
            self.nodes[dependent.index()].waiting_for -= 1;
        }
        Ok(())
    }

    pub(super) fn node_cancelled(&mut self, node: &Name) -> Written {
        let id = self.find(node)?;
        if self.node(id).status.is_final() {
            return Err(format!("node `{node}` has ended"));
        }
        if self.stopping.is_none() {
            return Err(format!("node `{node}` cannot be cancelled: the run is not stopping"));
        }
        self.close(id, NodeStatus::Cancelled);
        Ok(())
    }

    /// Makes the node final and forgets all that it waited for.
    fn close(&mut self, id: NodeId, status: NodeStatus) {
        self.leave_running(id);
        self.forget_waits(id, true);
        let (seq, now) = (self.last, self.updated_at);
        let state = &mut self.nodes[id.index()];
        state.status = status;
        state.ended_at = Some(now);
        state.changed = seq;
        let retry_at = state.retry_at.take();
        if let Some(at) = retry_at {
            self.timers.remove(&(at, Timer::Retry(id)));
        }
        self.open -= 1;
    }

    fn leave_running(&mut self, id: NodeId) {
        self.running.remove(&id);
        self.tasks.remove(&id);
        if let Some(at) = self.nodes[id.index()].deadline.take() {
            self.timers.remove(&(at, Timer::Attempt(id)));
        }
    }
}
