//! How attempts and nodes start, end and are reset.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Failure, Join, Name, NodeId, NodeKind, OnFailure, Payload, Timestamp};

use super::super::node::{StepState, Verdict};
use super::super::reason::{Next, SkipReason};
use super::super::state::{RunState, Timer};
use super::super::status::NodeStatus;
use super::Applied;

impl RunState {
    /// Whether an attempt of the node may start.
    fn may_start(&self, id: NodeId) -> bool {
        let ending = self.stopping.is_some() && !self.is_undo(id);
        let stands = match self.node(id).status {
            NodeStatus::Pending => self.verdict(id) == Verdict::Ready,
            NodeStatus::Backoff | NodeStatus::Queued => true,
            _ => false,
        };
        stands && !ending && self.pause.is_none()
    }

    pub(super) fn slot_awaited(&mut self, node: &Name) -> Applied {
        let id = self.find(node)?;
        if !self.may_start(id) || self.node(id).status == NodeStatus::Queued {
            return Err(format!("`{node}` does not wait for slots"));
        }
        self.take_retry_timer(id);
        self.choose(id);
        self.change(id, NodeStatus::Queued);
        self.queued.insert(id);
        Ok(())
    }

    pub(super) fn attempt_started(&mut self, node: &Name, attempt: u32, deadline: Option<Timestamp>) -> Applied {
        let id = self.find(node)?;
        if !self.may_start(id) || attempt != self.node(id).attempt + 1 {
            return Err(format!("attempt {attempt} of `{node}` cannot start"));
        }
        self.take_retry_timer(id);
        self.queued.remove(&id);
        let (plan, now) = (Arc::clone(&self.plan), self.updated_at);
        let spec = &plan.node(id).spec;
        self.choose(id);
        let state = &mut self.nodes[id.index()];
        if state.attempt == state.attempts_before {
            let total = spec.total_timeout_ms.map(|millis| now.saturating_add(Duration::from_millis(millis)));
            state.total_deadline = total;
            self.timers.extend(total.map(|at| (at, Timer::Total(id))));
        }
        let state = &mut self.nodes[id.index()];
        state.attempt = attempt;
        state.started_at.get_or_insert(now);
        state.deadline = deadline;
        state.interruptions = 0;
        state.parked = false;
        self.change(id, NodeStatus::Running);
        self.running.insert(id);
        self.timers.extend(deadline.map(|at| (at, Timer::Attempt(id))));
        match &spec.kind {
            NodeKind::Task(_) => drop(self.tasks.insert(id)),
            NodeKind::Gate(signal) => self.wait_for(id, None, signal, None),
        }
        Ok(())
    }

    /// Fixes the nodes whose outputs the node gets, where its join rule leaves a choice. Done once, when the node
    /// becomes ready.
    fn choose(&mut self, id: NodeId) {
        let node = self.plan.node(id);
        let wanted = match node.spec.join {
            Join::Any => 1,
            Join::AtLeast(wanted) => wanted,
            _ => return,
        };
        if self.node(id).status == NodeStatus::Pending {
            let done = node.after.iter().copied().filter(|before| self.is_done(*before));
            let chosen = done.take(wanted).collect();
            self.nodes[id.index()].chosen = chosen;
        }
    }

    /// Whether the nodes after this one may treat it as done.
    pub(in super::super) fn is_done(&self, id: NodeId) -> bool {
        match self.node(id).status {
            NodeStatus::Completed => true,
            NodeStatus::Failed => self.plan.node(id).spec.on_failure == OnFailure::Continue,
            _ => false,
        }
    }

    pub(super) fn attempt_failed(&mut self, node: &Name, attempt: u32, failure: &Failure, next: Next) -> Applied {
        let id = self.find(node)?;
        if self.node(id).status != NodeStatus::Running || self.node(id).attempt != attempt {
            return Err(format!("attempt {attempt} of `{node}` is not running"));
        }
        if self.stopping.is_some() && !self.is_undo(id) {
            return Err("an attempt cannot fail while the run is stopping".into());
        }
        self.nodes[id.index()].last_failure = Some(failure.clone());
        match next {
            Next::GiveUp => self.close_failed(id),
            Next::RetryAt(at) => {
                self.leave_running(id);
                self.forget_waits(id, false);
                self.nodes[id.index()].retry_at = Some(at);
                self.change(id, NodeStatus::Backoff);
                self.set_timer(at, Timer::Retry(id));
            }
        }
        Ok(())
    }

    /// A report of a task. The state keeps nothing of it.
    pub(super) fn emitted(&self, node: &Name) -> Applied {
        match self.find(node)? {
            id if self.is_running_task(id) => Ok(()),
            _ => Err(format!("`{node}` reports without a running attempt")),
        }
    }

    pub(super) fn node_failed(&mut self, node: &Name, failure: &Failure) -> Applied {
        let id = self.find(node)?;
        let waits = matches!(self.node(id).status, NodeStatus::Pending | NodeStatus::Queued | NodeStatus::Backoff);
        if !waits || (self.stopping.is_some() && !self.is_undo(id)) {
            return Err(format!("node `{node}` cannot fail without a running attempt"));
        }
        self.nodes[id.index()].last_failure = Some(failure.clone());
        self.close_failed(id);
        Ok(())
    }

    /// Marks a node as failed for good. With [`OnFailure::Pause`] someone has to decide on the failure.
    fn close_failed(&mut self, id: NodeId) {
        self.close(id, NodeStatus::Failed);
        if self.plan.node(id).spec.on_failure == OnFailure::Pause && !self.is_undo(id) {
            self.undecided.push(id);
        }
    }

    pub(super) fn node_skipped(&mut self, node: &Name, reason: &SkipReason) -> Applied {
        let id = self.find(node)?;
        let wanted = if *reason == SkipReason::Condition { Verdict::Ready } else { Verdict::Skip };
        let stands = self.node(id).status == NodeStatus::Pending && self.verdict(id) == wanted;
        // Compensating nodes are never skipped.
        if !stands || self.stopping.is_some() || self.pause.is_some() {
            return Err(format!("node `{node}` cannot be skipped"));
        }
        self.nodes[id.index()].skipped = Some(reason.clone());
        self.close(id, NodeStatus::Skipped);
        Ok(())
    }

    pub(super) fn node_completed(&mut self, node: &Name, output: &Payload) -> Applied {
        let id = self.find(node)?;
        if self.node(id).status != NodeStatus::Running {
            return Err(format!("node `{node}` completed without a running attempt"));
        }
        self.nodes[id.index()].output = Some(output.clone());
        self.close(id, NodeStatus::Completed);
        self.record_undoable(id);
        Ok(())
    }

    pub(super) fn node_cancelled(&mut self, node: &Name) -> Applied {
        let id = self.find(node)?;
        if self.node(id).status.is_final() {
            return Err(format!("node `{node}` has already ended"));
        }
        if self.stopping.is_none() {
            return Err(format!("node `{node}` cannot be cancelled: the run is not stopping"));
        }
        self.close(id, NodeStatus::Cancelled);
        Ok(())
    }

    /// Resets a failed node, and all nodes that were skipped because of it.
    pub(super) fn node_reset(&mut self, node: &Name) -> Applied {
        let id = self.find(node)?;
        if self.node(id).status != NodeStatus::Failed || self.stopping.is_some() {
            return Err(format!("node `{node}` cannot be reset"));
        }
        self.undecided.retain(|undecided| *undecided != id);
        self.reset_node(id);
        Ok(())
    }

    /// Makes a node that has ended, and all nodes that were skipped because of it, pending again.
    pub(super) fn reset_node(&mut self, id: NodeId) {
        let plan = Arc::clone(&self.plan);
        let mut reset = vec![id];
        while let Some(id) = reset.pop() {
            let was_done = self.is_done(id);
            let seq = self.last;
            let state = &mut self.nodes[id.index()];
            state.attempts_before = state.attempt;
            let once = &state.once;
            // A reset also retries steps that failed for good, except those that must not run twice.
            state.steps.retain(|key, step| once.contains(key) || !matches!(step, StepState::Failed(_)));
            state.skipped = None;
            state.ended_at = None;
            state.changed = seq;
            state.status = NodeStatus::Pending;
            self.open += 1;
            for dependent in plan.dependents(id) {
                let after = &mut self.nodes[dependent.index()];
                if was_done {
                    after.before_done -= 1;
                } else {
                    after.before_lost -= 1;
                }
                if after.skipped == Some(SkipReason::Upstream) && !reset.contains(&dependent) {
                    reset.push(dependent);
                }
            }
        }
    }

    pub(super) fn input_replaced(&mut self, node: &Name, input: &Payload) -> Applied {
        let id = self.find(node)?;
        if self.node(id).status != NodeStatus::Pending {
            return Err(format!("node `{node}` has already taken its input"));
        }
        self.nodes[id.index()].input = Some(input.clone());
        Ok(())
    }

    /// Makes the node final, drops all its waits, and updates the nodes after it.
    fn close(&mut self, id: NodeId, status: NodeStatus) {
        self.leave_running(id);
        self.take_retry_timer(id);
        self.queued.remove(&id);
        self.forget_waits(id, true);
        if let Some(at) = self.nodes[id.index()].total_deadline.take() {
            self.drop_timer(at, Timer::Total(id));
        }
        self.nodes[id.index()].ended_at = Some(self.updated_at);
        self.change(id, status);
        self.open -= 1;
        let (plan, done) = (Arc::clone(&self.plan), self.is_done(id));
        for dependent in plan.dependents(id) {
            let after = &mut self.nodes[dependent.index()];
            if done {
                after.before_done += 1;
            } else {
                after.before_lost += 1;
            }
        }
    }

    fn change(&mut self, id: NodeId, status: NodeStatus) {
        let seq = self.last;
        let state = &mut self.nodes[id.index()];
        state.status = status;
        state.changed = seq;
    }

    fn take_retry_timer(&mut self, id: NodeId) {
        if let Some(at) = self.nodes[id.index()].retry_at.take() {
            self.drop_timer(at, Timer::Retry(id));
        }
    }

    fn leave_running(&mut self, id: NodeId) {
        self.running.remove(&id);
        self.tasks.remove(&id);
        let state = &mut self.nodes[id.index()];
        state.parked = false;
        if let Some(at) = state.deadline.take() {
            self.drop_timer(at, Timer::Attempt(id));
        }
    }
}
