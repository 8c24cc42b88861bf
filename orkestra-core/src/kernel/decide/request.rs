//! What a running attempt asks for: steps, waits, growth, reports.

use crate::model::limits::STEP_KEY_BYTES_MAX;
use crate::model::{Growth, Name, NodeId, Payload, Timestamp};

use super::super::event::Event;
use super::super::input::TaskRequest;
use super::super::state::{NodeStatus, RunStatus, StepState};
use super::{Decision, Rejection};

impl Decision<'_> {
    pub(super) fn request(&mut self, node: &Name, attempt: u32, request: TaskRequest) -> Result<(), Rejection> {
        let id = self.running(node, attempt)?;
        if let Some(step) = request.step() {
            if step.len() > STEP_KEY_BYTES_MAX {
                return Err(Rejection::StepKeyTooLong);
            }
            match self.step(id, step) {
                // Whoever asks for what is settled already is answered from the state.
                Some(known) if known.result().is_some() => return Ok(()),
                Some(known) if !is_about(&request, known) => {
                    let (node, step, known) = (node.clone(), step.to_owned(), known.to_string());
                    return Err(Rejection::KeyTaken { node, step, known });
                }
                _ => {}
            }
        }
        let node = node.clone();
        match request {
            TaskRequest::StartStep { step } => self.emit(Event::StepStarted { node, step }),
            TaskRequest::EndStep { step, result: Ok(result) } => self.emit(Event::StepCompleted { node, step, result }),
            TaskRequest::EndStep { step, result: Err(failure) } => self.emit(Event::StepFailed { node, step, failure }),
            TaskRequest::Emit { kind, payload } => self.emit(Event::Emitted { node, kind, payload }),
            TaskRequest::Sleep { step, due } => self.sleep(id, node, step, due),
            TaskRequest::AwaitSignal { step, signal } => self.await_signal(id, node, step, signal),
            TaskRequest::Grow { step, growth } => self.grow(node, step, growth)?,
        }
        Ok(())
    }

    fn step(&self, id: NodeId, step: &str) -> Option<&StepState> {
        self.state().node(id).steps.get(step)
    }

    /// A wait that is under way keeps its deadline when the task asks again.
    fn sleep(&mut self, id: NodeId, node: Name, step: String, due: Timestamp) {
        if self.step(id, &step).is_none() {
            self.emit(Event::TimerSet { node, step, due });
        }
    }

    fn await_signal(&mut self, id: NodeId, node: Name, step: String, signal: Name) {
        if self.step(id, &step).is_some() {
            return;
        }
        let waiting = self.state().signals.get(&signal).is_some_and(|queue| !queue.is_empty());
        self.emit(Event::SignalAwaited { node: node.clone(), step: step.clone(), signal: signal.clone() });
        if waiting {
            self.emit(Event::SignalConsumed { node, step: Some(step), signal });
        }
    }

    fn grow(&mut self, node: Name, step: String, growth: Growth) -> Result<(), Rejection> {
        let state = self.state();
        if state.status == RunStatus::Stopping {
            return Err(Rejection::Stopping);
        }
        let started = |id: NodeId| state.node(id).status != NodeStatus::Pending;
        state.plan.check_growth(&growth, started)?;
        let old = state.nodes.len();
        let inputs = growth.nodes.iter().filter_map(|node| node.input.as_ref());
        let bytes = inputs.map(|input| input.as_json().len()).sum();
        Payload::fits(bytes)?;
        self.emit(Event::Grown { node, step, growth });
        let state = self.state();
        let ready = |id: &NodeId| state.node(*id).waiting_for == 0;
        let nodes = state.plan.ids_from(old).filter(ready).collect();
        self.start_all(nodes);
        Ok(())
    }
}

/// Whether the request is about what is known under its key, which is not settled.
fn is_about(request: &TaskRequest, known: &StepState) -> bool {
    match (request, known) {
        (TaskRequest::StartStep { .. } | TaskRequest::EndStep { .. }, StepState::Started)
        | (TaskRequest::Sleep { .. }, StepState::Sleeping(_)) => true,
        (TaskRequest::AwaitSignal { signal, .. }, StepState::Awaiting(known)) => signal == known,
        _ => false,
    }
}
