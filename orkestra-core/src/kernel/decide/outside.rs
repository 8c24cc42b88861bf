//! Inputs from outside: signals, answers, the ends of other runs.
//!
//! Signals are kept until something waits for them, and go to the longest waiting first.

use std::collections::BTreeMap;

use crate::model::limits::SIGNALS_BUFFERED_MAX;
use crate::model::{Amount, Answers, Name, Parent, Payload, RunId, Seq};

use super::super::event::Event;
use super::super::looks::{self, KeptValue};
use super::super::reason::StopReason;
use super::super::status::Outcome;
use super::{Decision, Rejection};

impl Decision<'_> {
    pub(super) fn signal(&mut self, signal: &Name, payload: Payload) -> Result<(), Rejection> {
        let state = self.state();
        let waiter = state.waiters.get(signal);
        // An awaited signal is consumed at once: a flood of one signal must not block the others.
        if waiter.is_none() && state.signals_buffered >= SIGNALS_BUFFERED_MAX {
            return Err(Rejection::TooManySignals);
        }
        let payload = payload.looked_at(&looks::at_signal(&state.plan, signal));
        self.emit(Event::SignalReceived { signal: signal.clone(), payload });
        self.hand_over(signal);
        Ok(())
    }

    /// Gives the oldest unread signal of this name to the node that has waited longest for it, if any.
    pub(super) fn hand_over(&mut self, signal: &Name) {
        let state = self.state();
        let waiter = state.waiters.get(signal).and_then(|queue| queue.values().next()).cloned();
        let oldest = state.signals.get(signal).and_then(|signals| signals.values().next()).cloned();
        let (Some((id, step)), Some(payload)) = (waiter, oldest) else { return };
        let node = state.name(id).clone();
        let is_gate = step.is_none();
        self.emit(Event::SignalConsumed { node, step, signal: signal.clone() });
        if is_gate {
            let next = self.complete(id, payload);
            self.enter_all(next);
        }
    }

    pub(super) fn answer(&mut self, question: Seq, answer: Payload) -> Result<(), Rejection> {
        let state = self.state();
        let asked = state.questions.get(&question).ok_or(Rejection::NoQuestion(question))?;
        let (node, step) = (state.name(asked.0).clone(), asked.1.clone());
        self.emit(Event::QuestionAnswered { node, step, answer });
        Ok(())
    }

    pub(super) fn child_ended(
        &mut self,
        child: RunId,
        outcome: Outcome,
        charges: BTreeMap<Name, Amount>,
    ) -> Result<(), Rejection> {
        let state = self.state();
        let Some((id, step)) = state.children.get(&child) else {
            return Err(Rejection::NoChild(child));
        };
        let (node, step) = (state.name(*id).clone(), step.clone());
        self.emit(Event::ChildEnded { node, step, outcome, charges });
        self.check_budget();
        Ok(())
    }

    pub(super) fn child_cancelled(&mut self, child: RunId) {
        if self.state().abandoned.contains_key(&child) {
            self.emit(Event::ChildCancelled { child });
        }
    }

    /// The run that requested this one no longer waits for it.
    pub(super) fn cancel_child(&mut self, parent: &Parent, reason: String) {
        let state = self.state();
        if parent.asked_for(state.options.parent.as_ref()) && !state.status.is_ending() {
            self.stop(StopReason::Cancelled { reason });
        }
    }

    /// Stores what was read of a large value. Ignored when the value is gone.
    pub(super) fn value_read(&mut self, value: KeptValue, answers: Answers) {
        if self.state().kept_value(&value).is_some() && !answers.is_empty() {
            self.emit(Event::ValueRead { value, answers });
        }
    }

    pub(super) fn parent_told(&mut self) {
        if self.state().owes_parent.is_some() {
            self.emit(Event::ParentTold);
        }
    }
}
