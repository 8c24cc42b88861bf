//! What follows from the end of a node: the next nodes, or the end of the run.

use std::time::Duration;

use crate::model::limits::PAYLOAD_INLINE_BYTES_MAX;
use crate::model::{Failure, FailureKind, KeptAt, Name, NodeId, NodeKind, OnFailure, Payload};

use super::super::event::Event;
use super::super::looks;
use super::super::node::Verdict;
use super::super::reason::{PauseReason, SkipReason, StopReason};
use super::super::status::{NodeStatus, RunStatus};
use super::Decision;

impl Decision<'_> {
    /// Starts or skips nodes that are ready, and whatever becomes ready because of that.
    pub(super) fn enter_all(&mut self, nodes: Vec<NodeId>) {
        // An explicit stack: a chain of ten thousand open gates must not recurse ten thousand deep.
        let mut ready = nodes;
        ready.reverse();
        while let Some(id) = ready.pop() {
            let mut next = self.enter(id);
            next.reverse();
            ready.append(&mut next);
        }
        self.end_if_done();
    }

    /// Starts the node, queues it for its slots, or skips it. Returns the nodes that can move on because of that.
    fn enter(&mut self, id: NodeId) -> Vec<NodeId> {
        let state = self.state();
        let status = state.node(id).status;
        let ending = state.stopping.is_some() && !state.is_undo(id);
        if ending || state.pause.is_some() || !matches!(status, NodeStatus::Pending | NodeStatus::Backoff) {
            return Vec::new();
        }
        let verdict = if status == NodeStatus::Backoff { Verdict::Ready } else { state.verdict(id) };
        match verdict {
            Verdict::Wait => return Vec::new(),
            Verdict::Skip => return self.skip(id, SkipReason::Upstream),
            Verdict::Ready => {}
        }
        let spec = &state.plan.node(id).spec;
        if let Some(when) = spec.when.as_ref().filter(|_| status == NodeStatus::Pending) {
            let value = |of: Option<&Name>| state.value(of);
            if !when.is_decidable(&value) {
                return self.fail_undecidable(id);
            }
            if !when.holds(&value) {
                return self.skip(id, SkipReason::Condition);
            }
        }
        if !spec.limits.is_empty() {
            let node = spec.name.clone();
            self.emit(Event::SlotAwaited { node });
            return Vec::new();
        }
        self.start_attempt(id);
        self.open_gate(id).map_or_else(Vec::new, |payload| self.complete(id, payload))
    }

    /// Starts a node that has everything it waited for.
    pub(super) fn begin(&mut self, id: NodeId) {
        self.start_attempt(id);
        if let Some(payload) = self.open_gate(id) {
            let next = self.complete(id, payload);
            self.enter_all(next);
        }
    }

    fn start_attempt(&mut self, id: NodeId) {
        let state = self.state();
        let spec = &state.plan.node(id).spec;
        let deadline = spec.timeout_ms.map(|millis| self.now.saturating_add(Duration::from_millis(millis)));
        let (node, attempt) = (spec.name.clone(), state.node(id).attempt + 1);
        self.emit(Event::AttemptStarted { node, attempt, deadline });
    }

    /// The condition tests a large value that could not be read.
    fn fail_undecidable(&mut self, id: NodeId) -> Vec<NodeId> {
        let node = self.state().name(id).clone();
        let message = format!("cannot decide the condition of `{node}`: it tests a large value that could not be read");
        let failure = Failure::permanent(FailureKind::BadInput, message);
        self.emit(Event::NodeFailed { node, failure: failure.clone() });
        self.node_failed(id, failure);
        Vec::new()
    }

    fn skip(&mut self, id: NodeId, reason: SkipReason) -> Vec<NodeId> {
        let node = self.state().name(id).clone();
        self.emit(Event::NodeSkipped { node, reason });
        self.movable_after(id)
    }

    /// Takes the signal for a gate whose signal has already arrived.
    fn open_gate(&mut self, id: NodeId) -> Option<Payload> {
        let spec = &self.state().plan.node(id).spec;
        let NodeKind::Gate(signal) = &spec.kind else {
            return None;
        };
        let payload = self.state().signals.get(signal)?.values().next()?.clone();
        let (node, signal) = (spec.name.clone(), signal.clone());
        self.emit(Event::SignalConsumed { node, step: None, signal });
        Some(payload)
    }

    /// Completes a node. Returns the nodes that can move on because of it.
    pub(super) fn complete(&mut self, id: NodeId, output: Payload) -> Vec<NodeId> {
        let (node, output) =
            (self.state().name(id).clone(), output.looked_at(&looks::at_output(&self.state().plan, id)));
        self.emit(Event::NodeCompleted { node, output });
        self.movable_after(id)
    }

    /// The nodes right after `id` that are no longer waiting, in starting order.
    fn movable_after(&self, id: NodeId) -> Vec<NodeId> {
        let state = self.state();
        if state.status == RunStatus::Stopping {
            return Vec::new();
        }
        self.in_order(state.plan.dependents(id).filter(|id| state.can_move(*id)).collect())
    }

    /// Sorts nodes by priority, highest first, then by order of declaration.
    pub(super) fn in_order(&self, mut nodes: Vec<NodeId>) -> Vec<NodeId> {
        let plan = &self.state().plan;
        nodes.sort_unstable_by_key(|id| (std::cmp::Reverse(plan.node(*id).spec.priority), *id));
        nodes
    }

    /// Starts or skips all nodes that are ready. Walks over the whole plan: only for events that may make any node
    /// ready.
    pub(super) fn enter_ready(&mut self) {
        let state = self.state();
        let nodes = self.in_order(state.plan.ids().filter(|id| state.can_move(*id)).collect());
        self.enter_all(nodes);
    }

    /// The last attempt of a node failed: its policy decides what follows.
    pub(super) fn node_failed(&mut self, id: NodeId, failure: Failure) {
        let state = self.state();
        let (node, policy) = (state.name(id).clone(), state.plan.node(id).spec.on_failure);
        if state.is_undo(id) {
            // A failed compensation shows in its node; the others still run.
            let next = self.movable_after(id);
            return self.enter_all(next);
        }
        match policy {
            OnFailure::Skip | OnFailure::Continue => {
                let next = self.movable_after(id);
                self.enter_all(next);
            }
            OnFailure::Pause => {
                // During another pause the failure waits for its decision: the state keeps it.
                if state.pause.is_none() {
                    self.emit(Event::RunPaused { reason: PauseReason::NodeFailed { node } });
                }
            }
            _ => self.stop(StopReason::NodeFailed { node, failure }),
        }
    }

    /// Ends the run when nothing is left to do.
    pub(super) fn end_if_done(&mut self) {
        let state = self.state();
        if state.status.is_final() || state.pause.is_some() {
            return;
        }
        let left = match state.status {
            RunStatus::Stopping => !state.running.is_empty(),
            _ => state.open > 0,
        };
        if left || self.compensate() {
            return;
        }
        if let Some((node, failure)) = self.leftover_failure() {
            return self.stop(StopReason::NodeFailed { node, failure });
        }
        let end = match self.state().stopping.as_ref().map(|stopping| stopping.reason.clone()) {
            None => self.completed(),
            Some(StopReason::Cancelled { reason }) => Event::RunCancelled { reason },
            Some(StopReason::NodeFailed { node, failure }) => Event::RunFailed { node, failure },
            Some(StopReason::DeadlinePassed { deadline }) => Event::RunTimedOut { deadline },
            Some(StopReason::Terminated { reason }) => Event::RunTerminated { reason },
        };
        self.emit(end);
    }

    /// When all nodes have ended: a failure that fails the run. It can be left over when another node was retried.
    fn leftover_failure(&self) -> Option<(Name, Failure)> {
        let state = self.state();
        let fails = |id: &NodeId| {
            state.node(*id).status == NodeStatus::Failed && state.plan.node(*id).spec.on_failure == OnFailure::Fail
        };
        let id = state.plan.ids().find(|id| state.stopping.is_none() && fails(id))?;
        Some((state.name(id).clone(), state.node(id).last_failure.clone()?))
    }

    /// Several outputs become one object when they are small together; otherwise the output refers to the outputs of
    /// the nodes.
    fn completed(&self) -> Event {
        let outputs = self.state().last_outputs();
        if let [(_, only)] = outputs.as_slice() {
            return Event::RunCompleted { output: only.clone() };
        }
        let bytes: usize = outputs.iter().map(|(name, output)| name.len() + output.as_json().len()).sum();
        let object = (bytes <= PAYLOAD_INLINE_BYTES_MAX).then(|| Payload::object(&outputs).ok()).flatten();
        Event::RunCompleted { output: object.unwrap_or_else(|| Payload::beside(KeptAt::Outputs)) }
    }
}
