//! Signals: kept until somebody waits for them, handed to whoever waited first.

use crate::model::limits::SIGNALS_BUFFERED_MAX;
use crate::model::{Name, Payload};

use super::super::event::Event;
use super::{Decision, Rejection};

impl Decision<'_> {
    pub(super) fn signal(&mut self, signal: Name, payload: Payload) -> Result<(), Rejection> {
        let state = self.state();
        let waiter = state.waiters.get(&signal).and_then(|queue| queue.values().next()).cloned();
        // What is waited for is read at once: a flood of one signal must not lock out the others.
        if waiter.is_none() && state.signals_buffered >= SIGNALS_BUFFERED_MAX {
            return Err(Rejection::TooManySignals);
        }
        self.emit(Event::SignalReceived { signal: signal.clone(), payload: payload.clone() });
        let Some((id, step)) = waiter else {
            return Ok(());
        };
        let node = self.state().name(id).clone();
        let is_gate = step.is_none();
        self.emit(Event::SignalConsumed { node, step, signal });
        if is_gate {
            let next = self.complete(id, payload);
            self.start_all(next);
        }
        Ok(())
    }
}
