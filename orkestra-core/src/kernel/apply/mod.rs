//! The only writer of a run's state: one event at a time, when deciding and when replaying alike.
//!
//! `apply` chooses nothing. History that does not fit is an error that names the place; it leaves the state unusable.
//!
//! Here is what concerns the whole run; `attempt` has nodes and attempts, `step` has steps and waits.

mod attempt;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{Growth, Name, NodeId, Payload, Plan, RunId, Seq, Timestamp};

use super::event::{Event, StopReason};
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
        tasks: BTreeSet::new(),
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
                self.nodes[id.index()].last_failure = Some(failure.clone());
                self.attempt_failed(id, *next)
            }
            Event::NodeCompleted { node, output } => self.node_completed(node, output),
            Event::NodeCancelled { node } => self.node_cancelled(node),
            Event::StepStarted { node, step } => self.set_step(node, step, StepState::Started).map(drop),
            Event::StepCompleted { node, step, result } => {
                self.set_step(node, step, StepState::Done(result.clone())).map(drop)
            }
            Event::StepFailed { node, step, failure } => {
                self.set_step(node, step, StepState::Failed(failure.clone())).map(drop)
            }
            Event::TimerSet { node, step, due } => self.timer_set(node, step, *due),
            Event::TimerFired { node, step } => self.timer_fired(node, step),
            Event::SignalAwaited { node, step, signal } => self.signal_awaited(node, step, signal),
            Event::SignalReceived { signal, payload } => {
                self.signal_received(signal, payload);
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

    fn running_attempt(&self, node: &Name, attempt: u32) -> Result<NodeId, String> {
        let id = self.find(node)?;
        let state = self.node(id);
        if state.status != NodeStatus::Running || state.attempt != attempt {
            return Err(format!("attempt {attempt} of `{node}` is not under way"));
        }
        Ok(id)
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
        self.plan.check_growth(growth, started).map_err(|error| error.to_string())?;
        // Whoever looks at the plan meanwhile keeps the one it has.
        Arc::make_mut(&mut self.plan).grow(growth).map_err(|error| error.to_string())?;
        let plan = Arc::clone(&self.plan);
        let added = growth.nodes.len();
        self.nodes.extend((0..added).map(|_| NodeState::new(0, self.last)));
        self.open += added;
        let edges = growth.edges.iter().map(|(_, after)| after);
        let touched: BTreeSet<_> = growth.nodes.iter().map(|node| &node.name).chain(edges).collect();
        for id in touched.into_iter().filter_map(|name| plan.id(name)) {
            let waiting = plan.node(id).after.iter();
            let undone = waiting.filter(|before| self.nodes[before.index()].status != NodeStatus::Completed);
            self.nodes[id.index()].waiting_for = undone.count();
        }
        Ok(())
    }

    fn recovered(&mut self) {
        let seq = self.last;
        for id in &self.tasks {
            let node = &mut self.nodes[id.index()];
            // An attempt that waits does nothing that could take its process down.
            let waits = node.waits.values().any(|wait| wait.attempt == node.attempt);
            node.interruptions += u32::from(!waits);
            node.changed = seq;
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
        self.tasks.clear();
        self.timers.clear();
        self.waiters.clear();
        self.stopping = None;
        Ok(())
    }
}
