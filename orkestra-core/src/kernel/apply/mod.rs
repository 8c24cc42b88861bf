//! The only writer of a run's state: one event at a time, when deciding and when replaying alike.
//!
//! `apply` chooses nothing. History that does not fit is an error that names the place; it leaves the state unusable.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Growth, Name, NodeId, NodeKind, Payload, Plan, RunId, Seq, Timestamp};

use super::event::{Event, Next, StopReason};
use super::state::{NodeState, NodeStatus, Outcome, RunState, RunStatus, StepState, Stopping, Timer};

/// An event that cannot have happened to the state it was applied to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("event {seq} of run `{run}` is illegal: {why}")]
pub struct IllegalEvent {
    /// The run.
    pub run: RunId,
    /// The event's position.
    pub seq: Seq,
    /// What is wrong with it.
    pub why: String,
}

/// Applies the next event of `run`: to nothing when it is the first, else to the state so far.
///
/// # Errors
/// [`IllegalEvent`] when it cannot have happened; the state is not to be used any more.
pub fn apply(run: &RunId, state: &mut Option<RunState>, at: Timestamp, event: &Event) -> Result<(), IllegalEvent> {
    let illegal = |seq, why: String| IllegalEvent { run: run.clone(), seq, why };
    match (state, event) {
        (slot @ None, Event::RunCreated { plan, input, labels }) => {
            *slot = Some(created(run, plan, input, labels, at));
            Ok(())
        }
        (None, _) => Err(illegal(Seq(1), "the first event must be RunCreated".into())),
        (Some(state), Event::RunCreated { .. }) => {
            Err(illegal(state.last.plus(1), "the run was created before".into()))
        }
        (Some(state), event) => {
            let seq = state.last.plus(1);
            if state.status.is_final() {
                return Err(illegal(seq, "the run has ended".into()));
            }
            state.advance(at);
            state.write(event).map_err(|why| illegal(seq, why))
        }
    }
}

fn created(
    run: &RunId,
    plan: &Arc<Plan>,
    input: &Payload,
    labels: &BTreeMap<String, String>,
    at: Timestamp,
) -> RunState {
    let first = Seq(1);
    let nodes: Vec<_> = plan.ids().map(|id| NodeState::new(plan.in_degree(id), first)).collect();
    RunState {
        id: run.clone(),
        plan: Arc::clone(plan),
        input: input.clone(),
        labels: labels.clone(),
        status: RunStatus::Running,
        open: nodes.len(),
        nodes,
        running: BTreeSet::new(),
        timers: BTreeSet::new(),
        signals: BTreeMap::new(),
        signals_buffered: 0,
        waiters: BTreeMap::new(),
        stopping: None,
        outcome: None,
        last: first,
        created_at: at,
        updated_at: at,
    }
}

type Written = Result<(), String>;

impl RunState {
    /// Time does not go back within a run, whatever the clock of its driver does.
    fn advance(&mut self, at: Timestamp) {
        self.last = self.last.plus(1);
        self.updated_at = self.updated_at.max(at);
    }

    fn write(&mut self, event: &Event) -> Written {
        match event {
            Event::RunCreated { .. } => Err("the run was created before".into()),
            Event::AttemptStarted { node, attempt, deadline } => self.attempt_started(node, *attempt, *deadline),
            Event::AttemptFailed { node, attempt, failure, next } => {
                let id = self.running_attempt(node, *attempt)?;
                if self.stopping.is_some() {
                    return Err("nothing fails in a run that is stopping".into());
                }
                self.nodes[id.index()].last_failure = Some(failure.clone());
                self.attempt_failed(id, *next)
            }
            Event::NodeCompleted { node, output } => self.node_completed(node, output),
            Event::NodeCancelled { node } => {
                let id = self.open_node(node)?;
                if self.stopping.is_none() {
                    return Err(format!("node `{node}` cannot be cancelled: the run is not stopping"));
                }
                self.close(id, NodeStatus::Cancelled);
                Ok(())
            }
            Event::StepStarted { node, step } => self.set_step(node, step, StepState::Started),
            Event::StepCompleted { node, step, result } => self.set_step(node, step, StepState::Done(result.clone())),
            Event::StepFailed { node, step, failure } => self.set_step(node, step, StepState::Failed(failure.clone())),
            Event::TimerSet { node, step, due } => self.timer_set(node, step, *due),
            Event::TimerFired { node, step } => self.timer_fired(node, step),
            Event::SignalAwaited { node, step, signal } => {
                self.set_step(node, step, StepState::Awaiting(signal.clone()))?;
                let id = self.find(node)?;
                self.waiters.entry(signal.clone()).or_default().push_back((id, Some(step.clone())));
                Ok(())
            }
            Event::SignalReceived { signal, payload } => {
                self.signals.entry(signal.clone()).or_default().push_back(payload.clone());
                self.signals_buffered += 1;
                Ok(())
            }
            Event::SignalConsumed { node, step, signal } => self.signal_consumed(node, step.as_deref(), signal),
            Event::Grown { node, step, growth } => self.grown(node, step, growth),
            Event::Emitted { node, .. } => match self.find(node)? {
                id if self.is_running_task(id) => Ok(()),
                _ => Err(format!("`{node}` reports without an attempt under way")),
            },
            Event::Recovered => {
                self.recovered();
                Ok(())
            }
            Event::StopRequested { reason, grace_until } => self.stop_requested(reason, *grace_until),
            Event::RunCompleted { output } => self.end(RunStatus::Completed, Outcome::Completed(output.clone())),
            Event::RunFailed { node, failure } => {
                self.find(node)?;
                let outcome = Outcome::Failed { node: node.clone(), failure: failure.clone() };
                self.end(RunStatus::Failed, outcome)
            }
            Event::RunCancelled { reason } => self.end(RunStatus::Cancelled, Outcome::Cancelled(reason.clone())),
        }
    }

    fn find(&self, node: &Name) -> Result<NodeId, String> {
        self.plan.id(node).ok_or_else(|| format!("`{node}` is no node"))
    }

    fn open_node(&self, node: &Name) -> Result<NodeId, String> {
        let id = self.find(node)?;
        if self.node(id).status.is_final() {
            return Err(format!("node `{node}` has ended"));
        }
        Ok(id)
    }

    fn running_attempt(&self, node: &Name, attempt: u32) -> Result<NodeId, String> {
        let id = self.find(node)?;
        let state = self.node(id);
        if state.status != NodeStatus::Running || state.attempt != attempt {
            return Err(format!("attempt {attempt} of `{node}` is not under way"));
        }
        Ok(id)
    }

    fn attempt_started(&mut self, node: &Name, attempt: u32, deadline: Option<Timestamp>) -> Written {
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
        if let NodeKind::Gate(signal) = &self.plan.node(id).spec.kind {
            self.waiters.entry(signal.clone()).or_default().push_back((id, None));
        }
        Ok(())
    }

    fn attempt_failed(&mut self, id: NodeId, next: Next) -> Written {
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

    fn node_completed(&mut self, node: &Name, output: &Payload) -> Written {
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
        if let Some(at) = self.nodes[id.index()].deadline.take() {
            self.timers.remove(&(at, Timer::Attempt(id)));
        }
        if let NodeKind::Gate(signal) = &self.plan.node(id).spec.kind
            && let Some(queue) = self.waiters.get_mut(signal)
        {
            queue.retain(|(waiter, _)| *waiter != id);
        }
    }

    /// Ends the waits of a node's steps. Waits for time outlive an attempt, waits for a signal do not: a signal must
    /// not be eaten by an attempt that is over.
    fn forget_waits(&mut self, id: NodeId, with_timers: bool) {
        let (waiters, timers) = (&mut self.waiters, &mut self.timers);
        self.nodes[id.index()].steps.retain(|step, state| match state {
            StepState::Awaiting(signal) => {
                if let Some(queue) = waiters.get_mut(signal) {
                    queue.retain(|(waiter, key)| *waiter != id || key.as_deref() != Some(step));
                }
                false
            }
            StepState::Sleeping(due) if with_timers => {
                timers.remove(&(*due, Timer::Sleep(id, step.clone())));
                false
            }
            _ => true,
        });
    }

    fn set_step(&mut self, node: &Name, step: &str, new: StepState) -> Written {
        let id = self.find(node)?;
        let is_running = self.is_running_task(id);
        let state = &mut self.nodes[id.index()];
        if !is_running {
            return Err(format!("step `{step}` of `{node}` without an attempt under way"));
        }
        let is_step = matches!(new, StepState::Started | StepState::Done(_) | StepState::Failed(_));
        match state.steps.get(step) {
            None => {}
            Some(StepState::Started) if is_step => {}
            Some(known) => return Err(format!("step `{step}` of `{node}` is {known} already")),
        }
        state.interruptions = 0;
        state.steps.insert(step.to_owned(), new);
        Ok(())
    }

    fn timer_set(&mut self, node: &Name, step: &str, due: Timestamp) -> Written {
        self.set_step(node, step, StepState::Sleeping(due))?;
        let id = self.find(node)?;
        self.timers.insert((due, Timer::Sleep(id, step.to_owned())));
        Ok(())
    }

    fn timer_fired(&mut self, node: &Name, step: &str) -> Written {
        let id = self.find(node)?;
        let Some(slot) = self.nodes[id.index()].steps.get_mut(step) else {
            return Err(format!("no timer `{step}` of `{node}` is set"));
        };
        let StepState::Sleeping(due) = *slot else {
            return Err(format!("step `{step}` of `{node}` is no timer"));
        };
        *slot = StepState::Done(Payload::null());
        self.timers.remove(&(due, Timer::Sleep(id, step.to_owned())));
        Ok(())
    }

    fn signal_consumed(&mut self, node: &Name, step: Option<&str>, signal: &Name) -> Written {
        let id = self.find(node)?;
        let waiter = self.waiters.get_mut(signal).and_then(|queue| {
            let place = queue.iter().position(|(waiter, key)| *waiter == id && key.as_deref() == step)?;
            queue.remove(place)
        });
        if waiter.is_none() {
            return Err(format!("`{node}` does not wait for signal `{signal}`"));
        }
        let Some(payload) = self.signals.get_mut(signal).and_then(std::collections::VecDeque::pop_front) else {
            return Err(format!("there is no signal `{signal}` to consume"));
        };
        self.signals_buffered -= 1;
        if let Some(step) = step {
            self.nodes[id.index()].steps.insert(step.to_owned(), StepState::Done(payload));
        }
        Ok(())
    }

    fn grown(&mut self, node: &Name, step: &str, growth: &Growth) -> Written {
        if self.stopping.is_some() {
            return Err("a run that is stopping does not grow".into());
        }
        if self.node(self.find(node)?).steps.contains_key(step) {
            return Err(format!("step `{step}` of `{node}` is no growth"));
        }
        self.set_step(node, step, StepState::Done(Payload::null()))?;
        let started = |id: NodeId| self.node(id).status != NodeStatus::Pending;
        let plan = self.plan.grown(growth, started).map_err(|error| error.to_string())?;
        let old = self.nodes.len();
        let added = plan.nodes().len() - old;
        self.nodes.extend((0..added).map(|_| NodeState::new(0, self.last)));
        self.open += added;
        let edges = growth.edges.iter().map(|(_, after)| after);
        let touched: BTreeSet<_> = growth.nodes.iter().map(|node| &node.name).chain(edges).collect();
        for id in touched.into_iter().filter_map(|name| plan.id(name)) {
            let waiting = plan.node(id).after.iter();
            let undone = waiting.filter(|before| self.nodes[before.index()].status != NodeStatus::Completed);
            self.nodes[id.index()].waiting_for = undone.count();
        }
        self.plan = Arc::new(plan);
        Ok(())
    }

    fn recovered(&mut self) {
        let seq = self.last;
        for id in &self.running {
            if matches!(self.plan.node(*id).spec.kind, NodeKind::Task(_)) {
                let node = &mut self.nodes[id.index()];
                node.interruptions += 1;
                node.changed = seq;
            }
        }
    }

    fn stop_requested(&mut self, reason: &StopReason, grace_until: Timestamp) -> Written {
        if self.stopping.is_some() {
            return Err("the run is stopping already".into());
        }
        self.stopping = Some(Stopping { reason: reason.clone(), grace_until });
        self.status = RunStatus::Stopping;
        self.timers.insert((grace_until, Timer::Grace));
        let seq = self.last;
        for id in &self.running {
            self.nodes[id.index()].changed = seq;
        }
        Ok(())
    }

    /// Whether the run can end like this now: done, or stopping for that reason with nothing under way.
    fn may_end(&self, status: RunStatus) -> bool {
        match self.stopping.as_ref().map(|stopping| &stopping.reason) {
            // Outputs that are too large together fail a run whose nodes are all done.
            None => self.open == 0 && status != RunStatus::Cancelled,
            Some(StopReason::Cancelled { .. }) => self.running.is_empty() && status == RunStatus::Cancelled,
            Some(StopReason::NodeFailed { .. }) => self.running.is_empty() && status == RunStatus::Failed,
        }
    }

    fn end(&mut self, status: RunStatus, outcome: Outcome) -> Written {
        if !self.may_end(status) {
            return Err(format!("the run cannot end like this: {} nodes are not done", self.open));
        }
        let (seq, now) = (self.last, self.updated_at);
        for node in self.nodes.iter_mut().filter(|node| !node.status.is_final()) {
            node.status = NodeStatus::Cancelled;
            node.ended_at = Some(now);
            node.changed = seq;
            node.retry_at = None;
        }
        self.status = status;
        self.outcome = Some(outcome);
        self.open = 0;
        self.running.clear();
        self.timers.clear();
        self.waiters.clear();
        self.stopping = None;
        Ok(())
    }
}
