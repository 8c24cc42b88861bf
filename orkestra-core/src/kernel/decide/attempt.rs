//! How an attempt ends, and what follows from its failure.

use crate::model::{Failure, Name, NodeId, Payload};

use super::super::event::Event;
use super::super::reason::Next;
use super::super::status::RunStatus;
use super::{Decision, Rejection};

impl Decision<'_> {
    pub(super) fn attempt_ended(
        &mut self,
        node: &Name,
        attempt: u32,
        result: Result<Payload, Failure>,
    ) -> Result<(), Rejection> {
        let id = self.running(node, attempt)?;
        match result {
            Ok(output) => {
                let next = self.complete(id, output);
                self.enter_all(next);
            }
            Err(_) if self.state().status == RunStatus::Stopping => {
                self.cancel_node(id);
                self.end_if_done();
            }
            Err(failure) => self.fail_attempt(id, failure),
        }
        Ok(())
    }

    /// The node has got its slots: its attempt starts.
    pub(super) fn slot_granted(&mut self, node: &Name, attempt: u32) -> Result<(), Rejection> {
        let state = self.state();
        let waits = |id: &NodeId| state.queued.contains(id) && state.node(*id).attempt + 1 == attempt;
        let id = state.plan.id(node).filter(waits).ok_or_else(|| Rejection::Stale { node: node.clone(), attempt })?;
        if state.pause.is_some() {
            return Err(Rejection::Paused);
        }
        if state.status == RunStatus::Stopping {
            return Err(Rejection::Stopping);
        }
        self.begin(id);
        Ok(())
    }

    /// The task only waits and was dropped from memory.
    pub(super) fn task_parked(&mut self, node: &Name, attempt: u32) -> Result<(), Rejection> {
        let id = self.running(node, attempt)?;
        let state = self.state();
        // The wait may have been started by an earlier attempt.
        let waits = !state.node(id).waits.is_empty();
        if waits && state.tasks.contains(&id) && (state.stopping.is_none() || state.is_undo(id)) {
            self.emit(Event::TaskParked { node: node.clone() });
        }
        Ok(())
    }

    /// Ends an attempt with `failure`. Another attempt follows if the node's retry policy allows it.
    pub(super) fn fail_attempt(&mut self, id: NodeId, failure: Failure) {
        let state = self.state();
        let (node, spec) = (state.node(id), &state.plan.node(id).spec);
        let attempt = node.attempt;
        let delay = spec.retry.delay(attempt - node.attempts_before, self.chance).filter(|_| failure.retryable);
        let retry_at = delay.map(|delay| self.now.saturating_add(delay));
        // An attempt that would start after the total deadline is not scheduled.
        let retry_at = retry_at.filter(|at| node.total_deadline.is_none_or(|deadline| *at < deadline));
        let next = retry_at.map_or(Next::GiveUp, Next::RetryAt);
        let node = spec.name.clone();
        self.emit(Event::AttemptFailed { node, attempt, failure: failure.clone(), next });
        match next {
            Next::GiveUp => self.node_failed(id, failure),
            Next::RetryAt(at) if at <= self.now => self.enter_all(vec![id]),
            Next::RetryAt(_) => {}
        }
    }
}
