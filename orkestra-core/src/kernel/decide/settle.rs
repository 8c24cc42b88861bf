//! What follows from the end of a node, whatever ended it: the next nodes, or the end of the run.

use std::collections::BTreeMap;

use crate::model::{Failure, NodeId, NodeKind, Payload};

use super::super::event::{Event, StopReason};
use super::super::state::{NodeStatus, RunStatus};
use super::Decision;

impl Decision<'_> {
    /// Starts nodes that wait for nothing any more, and whatever can start because of them.
    pub(super) fn start_all(&mut self, nodes: Vec<NodeId>) {
        // A stack of its own: a chain of ten thousand gates that are all open must not become ten thousand calls.
        let mut ready = nodes;
        ready.reverse();
        while let Some(id) = ready.pop() {
            self.start_attempt(id);
            if let Some(payload) = self.open_gate(id) {
                let mut next = self.complete(id, payload);
                next.reverse();
                ready.append(&mut next);
            }
        }
        self.end_if_done();
    }

    fn start_attempt(&mut self, id: NodeId) {
        let state = self.state();
        let spec = &state.plan.node(id).spec;
        let deadline = spec.timeout_ms.map(|millis| self.now.saturating_add(std::time::Duration::from_millis(millis)));
        let (node, attempt) = (spec.name.clone(), state.node(id).attempt + 1);
        self.emit(Event::AttemptStarted { node, attempt, deadline });
    }

    /// Takes the signal that a waiting gate can have at once.
    fn open_gate(&mut self, id: NodeId) -> Option<Payload> {
        let spec = &self.state().plan.node(id).spec;
        let NodeKind::Gate(signal) = &spec.kind else {
            return None;
        };
        let payload = self.state().signals.get(signal)?.front()?.clone();
        let (node, signal) = (spec.name.clone(), signal.clone());
        self.emit(Event::SignalConsumed { node, step: None, signal });
        Some(payload)
    }

    /// Completes a node; returns the nodes that wait for nothing any more because of it.
    pub(super) fn complete(&mut self, id: NodeId, output: Payload) -> Vec<NodeId> {
        let node = self.state().name(id).clone();
        self.emit(Event::NodeCompleted { node, output });
        let state = self.state();
        if state.status != RunStatus::Running {
            return Vec::new();
        }
        let ready = |id: &NodeId| state.node(*id).status == NodeStatus::Pending && state.node(*id).waiting_for == 0;
        let mut nodes: Vec<_> = state.plan.dependents(id).filter(ready).collect();
        nodes.sort_unstable();
        nodes
    }

    /// The last attempt of a node failed: the run fails.
    pub(super) fn node_failed(&mut self, id: NodeId, failure: Failure) {
        let node = self.state().name(id).clone();
        self.stop(StopReason::NodeFailed { node, failure });
    }

    /// Ends the run when nothing is left to do.
    pub(super) fn end_if_done(&mut self) {
        let state = self.state();
        let end = match &state.stopping {
            _ if state.status.is_final() => return,
            None if state.open > 0 => return,
            Some(_) if !state.running.is_empty() => return,
            None => self.completed(),
            Some(stopping) => match stopping.reason.clone() {
                StopReason::Cancelled { reason } => Event::RunCancelled { reason },
                StopReason::NodeFailed { node, failure } => Event::RunFailed { node, failure },
            },
        };
        self.emit(end);
    }

    fn completed(&self) -> Event {
        let state = self.state();
        let output = |id: NodeId| state.node(id).output.clone().unwrap_or_else(Payload::null);
        let sinks: Vec<_> = state.plan.sinks().collect();
        let output = match sinks.as_slice() {
            [only] => Ok(output(*only)),
            several => {
                Payload::of(&several.iter().map(|id| (state.name(*id), output(*id))).collect::<BTreeMap<_, _>>())
            }
        };
        match output {
            Ok(output) => Event::RunCompleted { output },
            Err(error) => {
                let node = state.name(sinks[0]).clone();
                Event::RunFailed { node, failure: Failure::permanent("bad_output", error.to_string()) }
            }
        }
    }
}
