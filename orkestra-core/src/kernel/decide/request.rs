//! Requests of running attempts: steps, waits, growth, reports.

use std::collections::BTreeMap;

use crate::model::limits::{METERS_MAX, PUBLISHED_KEYS_MAX, STEP_KEY_BYTES_MAX};
use crate::model::{Amount, Failure, FailureKind, Growth, Name, NodeId, Payload, PlanSize, RunId, Timestamp};

use super::super::event::Event;
use super::super::input::TaskRequest;
use super::super::node::StepState;
use super::super::status::NodeStatus;
use super::{Decision, Rejection};

type Charges = BTreeMap<Name, Amount>;

impl Decision<'_> {
    pub(super) fn request(&mut self, node: &Name, attempt: u32, request: TaskRequest) -> Result<(), Rejection> {
        let id = match (self.running(node, attempt), &request) {
            (Err(_), TaskRequest::LetGo { step, begun: false }) => return self.not_begun(node, attempt, step),
            (id, _) => id?,
        };
        if let Some(step) = request.step() {
            if step.len() > STEP_KEY_BYTES_MAX {
                return Err(Rejection::StepKeyTooLong);
            }
            match self.step(id, step) {
                // A settled step is answered from the state.
                Some(known) if known.result().is_some() => return Ok(()),
                Some(known) if !continues(&request, known) => {
                    let (node, step, known) = (node.clone(), step.to_owned(), known.to_string());
                    return Err(Rejection::KeyTaken { node, step, known });
                }
                _ => {}
            }
        }
        let node = node.clone();
        match request {
            TaskRequest::StartStep { step } => {
                if self.step(id, &step).is_none() {
                    self.emit(Event::StepStarted { node, step });
                }
            }
            TaskRequest::EndStep { step, result, charges } => self.end_step(node, step, result, charges)?,
            TaskRequest::Charge { step, charges } => self.charge(node, step, charges)?,
            TaskRequest::Publish { step, key, value } => self.publish(node, step, key, value)?,
            TaskRequest::Emit { kind, payload } => self.emit(Event::Emitted { node, kind, payload }),
            TaskRequest::Sleep { step, due } => self.sleep(id, node, step, due),
            TaskRequest::AwaitSignal { step, signal, until } => self.await_signal(id, node, step, signal, until),
            TaskRequest::Ask { step, question, until } => self.ask(id, node, step, question, until),
            TaskRequest::Child { step, child, workflow, input, until } => {
                if self.step(id, &step).is_none() {
                    self.child_is_new(&child)?;
                    self.emit(Event::ChildRequested { node, step, child, workflow, input, until });
                }
            }
            TaskRequest::LetGo { step, begun } => self.let_go(id, node, step, begun),
            TaskRequest::Grow { step, growth } => self.grow(node, step, growth)?,
        }
        Ok(())
    }

    fn step(&self, id: NodeId, step: &str) -> Option<&StepState> {
        self.state().node(id).steps.get(step)
    }

    fn end_step(
        &mut self,
        node: Name,
        step: String,
        result: Result<Payload, Failure>,
        charges: Charges,
    ) -> Result<(), Rejection> {
        check_charges(&charges)?;
        match result {
            Ok(result) => self.emit(Event::StepCompleted { node, step, result, charges }),
            Err(failure) => self.emit(Event::StepFailed { node, step, failure, charges }),
        }
        self.check_budget();
        Ok(())
    }

    fn charge(&mut self, node: Name, step: String, charges: Charges) -> Result<(), Rejection> {
        check_charges(&charges)?;
        self.emit(Event::Charged { node, step, charges });
        self.check_budget();
        Ok(())
    }

    fn publish(&mut self, node: Name, step: String, key: Name, value: Payload) -> Result<(), Rejection> {
        let published = &self.state().published;
        if published.len() >= PUBLISHED_KEYS_MAX && !published.contains_key(&key) {
            return Err(Rejection::TooManyPublished);
        }
        self.emit(Event::Published { node, step, key, value });
        Ok(())
    }

    fn ask(&mut self, id: NodeId, node: Name, step: String, question: Payload, until: Option<Timestamp>) {
        if self.step(id, &step).is_none() {
            self.emit(Event::QuestionAsked { node, step, question, until });
        }
    }

    fn child_is_new(&self, child: &RunId) -> Result<(), Rejection> {
        let state = self.state();
        let taken = *child == state.id || state.children.contains_key(child) || state.abandoned.contains_key(child);
        if taken { Err(Rejection::ChildTaken(child.clone())) } else { Ok(()) }
    }

    /// A wait that already exists keeps its deadline.
    fn sleep(&mut self, id: NodeId, node: Name, step: String, due: Timestamp) {
        if self.step(id, &step).is_none() {
            self.emit(Event::TimerSet { node, step, due });
        }
    }

    fn await_signal(&mut self, id: NodeId, node: Name, step: String, signal: Name, until: Option<Timestamp>) {
        if self.step(id, &step).is_some() {
            return;
        }
        let waiting = self.state().signals.contains_key(&signal);
        self.emit(Event::SignalAwaited { node: node.clone(), step: step.clone(), signal: signal.clone(), until });
        if waiting {
            self.emit(Event::SignalConsumed { node, step: Some(step), signal });
        }
    }

    /// The future of a wait was dropped: the wait is withdrawn, and a signal that it received goes to the next in line.
    /// A step that must not run twice and has started counts as interrupted.
    fn let_go(&mut self, id: NodeId, node: Name, step: String, begun: bool) {
        let signal = self.state().node(id).received.get(&step).map(|(signal, _)| signal.clone());
        match self.step(id, &step) {
            _ if self.state().node(id).parked => {}
            Some(StepState::Started) if begun => {
                let message =
                    format!("step `{step}` was dropped while it was running; it may or may not have taken effect");
                let failure = Failure::permanent(FailureKind::Interrupted, message);
                self.emit(Event::StepFailed { node, step, failure, charges: Charges::new() });
            }
            Some(StepState::Started) => self.emit(Event::StepNotBegun { node, step }),
            None | Some(StepState::Failed(_) | StepState::LetGo) => {}
            // A step that must not run twice completed before the drop was known.
            Some(_) if begun => {}
            Some(_) => {
                self.emit(Event::WaitLetGo { node, step });
                if let Some(signal) = signal {
                    self.hand_over(&signal);
                }
            }
        }
    }

    /// A step was recorded as started when its attempt ended, but its work was never called: the next attempt may start
    /// it.
    fn not_begun(&mut self, node: &Name, attempt: u32, step: &str) -> Result<(), Rejection> {
        let state = self.state();
        let known = state.plan.id(node).map(|id| state.node(id)).filter(|known| attempt <= known.attempt);
        if !known.is_some_and(|known| matches!(known.steps.get(step), Some(StepState::Started))) {
            return Err(Rejection::Stale { node: node.clone(), attempt });
        }
        self.emit(Event::StepNotBegun { node: node.clone(), step: step.to_owned() });
        Ok(())
    }

    fn grow(&mut self, node: Name, step: String, growth: Growth) -> Result<(), Rejection> {
        let state = self.state();
        if state.status.is_ending() {
            return Err(Rejection::Stopping);
        }
        let started = |id: NodeId| state.node(id).status != NodeStatus::Pending;
        growth.check()?;
        state.plan.check_growth(&growth, PlanSize::WORK, started)?;
        let inputs = growth.nodes.iter().filter_map(|node| node.input.as_ref());
        let bytes = inputs.map(|input| input.as_json().len()).sum();
        Payload::fits_large(bytes)?;
        let first = state.nodes.len();
        let edges: Vec<_> = growth.edges.iter().map(|(_, after)| after.clone()).collect();
        self.emit(Event::Grown { node, step, growth });
        let moves = self.grown(first, &edges);
        self.enter_all(moves);
        Ok(())
    }
}

impl Decision<'_> {
    /// The nodes that a growth may move on: new ones, and existing ones that wait for more nodes, or can never start
    /// now.
    fn grown(&self, first: usize, edges: &[Name]) -> Vec<NodeId> {
        let state = self.state();
        let old = edges.iter().filter_map(|name| state.plan.id(name));
        let mut nodes: Vec<_> = state.plan.ids_from(first).chain(old).filter(|id| state.can_move(*id)).collect();
        nodes.sort_unstable();
        nodes.dedup();
        self.in_order(nodes)
    }
}

fn check_charges(charges: &Charges) -> Result<(), Rejection> {
    if charges.len() > METERS_MAX { Err(Rejection::TooManyMeters) } else { Ok(()) }
}

/// Whether the request continues what is stored under its key.
fn continues(request: &TaskRequest, known: &StepState) -> bool {
    match (request, known) {
        (TaskRequest::StartStep { .. } | TaskRequest::EndStep { .. }, StepState::Started)
        | (TaskRequest::Sleep { .. }, StepState::Sleeping(_))
        | (TaskRequest::Ask { .. }, StepState::Asking(_)) => true,
        (TaskRequest::Child { child, .. }, StepState::Child(known)) => *child == known.run,
        (TaskRequest::AwaitSignal { signal, .. }, StepState::Awaiting(known)) => signal == known,
        _ => false,
    }
}
