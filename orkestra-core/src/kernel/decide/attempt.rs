//! How an attempt ends, and what its failure leads to.

use crate::model::{Failure, Name, NodeId, Payload};

use super::super::event::{Event, Next};
use super::super::state::RunStatus;
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
                self.start_all(next);
            }
            Err(_) if self.state().status == RunStatus::Stopping => {
                self.cancel_node(id);
                self.end_if_done();
            }
            Err(failure) => self.fail_attempt(id, failure),
        }
        Ok(())
    }

    /// Ends an attempt with `failure`; another follows if the node's policy says so.
    pub(super) fn fail_attempt(&mut self, id: NodeId, failure: Failure) {
        let state = self.state();
        let attempt = state.node(id).attempt;
        let spec = &state.plan.node(id).spec;
        let delay = spec.retry.delay(attempt, self.chance).filter(|_| failure.retryable);
        let next = delay.map_or(Next::GiveUp, |delay| Next::RetryAt(self.now.saturating_add(delay)));
        let node = spec.name.clone();
        self.emit(Event::AttemptFailed { node, attempt, failure: failure.clone(), next });
        match next {
            Next::GiveUp => self.node_failed(id, failure),
            Next::RetryAt(at) if at <= self.now => self.start_all(vec![id]),
            Next::RetryAt(_) => {}
        }
    }
}
