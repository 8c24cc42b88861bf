//! Steps and waits: the results that tasks have stored, and what tasks and gates wait for.
//!
//! A wait is found by its node and key, and in the queue of its signal by the event that started it: the cost does not
//! depend on how many others wait.

use std::collections::BTreeMap;
use std::mem;

use crate::model::{Amount, Failure, FailureKind, Name, NodeId, NodeKind, Payload, RunId, Seq, Timestamp};

use super::super::node::{ChildState, OpenWait, StepState};
use super::super::state::{RunState, Timer};
use super::super::status::Outcome;
use super::Applied;

impl RunState {
    pub(super) fn set_step(&mut self, node: &Name, step: &str, new: StepState) -> Result<NodeId, String> {
        let id = self.find(node)?;
        let is_running = self.is_running_task(id);
        let state = &mut self.nodes[id.index()];
        if !is_running {
            return Err(format!("step `{step}` of `{node}` has no running attempt"));
        }
        match state.steps.get(step) {
            None => {}
            Some(StepState::Started) if !new.is_wait() => {}
            Some(known) => return Err(format!("step `{step}` of `{node}` is already {known}")),
        }
        state.interruptions = 0;
        state.steps.insert(step.to_owned(), new);
        Ok(id)
    }

    pub(super) fn step_started(&mut self, node: &Name, step: &str) -> Applied {
        let id = self.set_step(node, step, StepState::Started)?;
        self.nodes[id.index()].once.insert(step.to_owned());
        Ok(())
    }

    pub(super) fn step_completed(
        &mut self,
        node: &Name,
        step: &str,
        result: &Payload,
        charges: &BTreeMap<Name, Amount>,
    ) -> Applied {
        self.spend(charges);
        self.set_step(node, step, StepState::Done(result.clone())).map(drop)
    }

    pub(super) fn step_failed(
        &mut self,
        node: &Name,
        step: &str,
        failure: &Failure,
        charges: &BTreeMap<Name, Amount>,
    ) -> Applied {
        self.spend(charges);
        self.set_step(node, step, StepState::Failed(failure.clone())).map(drop)
    }

    pub(super) fn value_published(&mut self, node: &Name, step: &str, key: &Name, value: &Payload) -> Applied {
        self.set_step(node, step, StepState::Done(Payload::null()))?;
        self.published.insert(key.clone(), value.clone());
        Ok(())
    }

    fn spend(&mut self, charges: &BTreeMap<Name, Amount>) {
        for (meter, amount) in charges {
            let spent = self.spent.entry(meter.clone()).or_default();
            *spent = *spent + *amount;
        }
    }

    pub(super) fn timer_set(&mut self, node: &Name, step: &str, due: Timestamp) -> Applied {
        let id = self.set_step(node, step, StepState::Sleeping(due))?;
        self.open_wait(id, Some(step.to_owned()), None);
        self.timers.insert((due, Timer::Sleep(id, step.to_owned())));
        Ok(())
    }

    pub(super) fn timer_fired(&mut self, node: &Name, step: &str) -> Applied {
        let id = self.find(node)?;
        let Some(StepState::Sleeping(due)) = self.node(id).steps.get(step) else {
            return Err(format!("`{node}` has set no timer `{step}`"));
        };
        self.timers.remove(&(*due, Timer::Sleep(id, step.to_owned())));
        self.end_wait(id, step, StepState::Done(Payload::null()));
        Ok(())
    }

    pub(super) fn signal_awaited(
        &mut self,
        node: &Name,
        step: &str,
        signal: &Name,
        until: Option<Timestamp>,
    ) -> Applied {
        let id = self.set_step(node, step, StepState::Awaiting(signal.clone()))?;
        self.wait_for(id, Some(step.to_owned()), signal, until);
        Ok(())
    }

    pub(super) fn signal_received(&mut self, signal: &Name, payload: &Payload) -> Applied {
        self.keep_signal(signal.clone(), self.last, payload.clone());
        Ok(())
    }

    fn keep_signal(&mut self, signal: Name, since: Seq, payload: Payload) {
        self.signals.entry(signal).or_default().insert(since, payload);
        self.signals_buffered += 1;
    }

    pub(super) fn signal_consumed(&mut self, node: &Name, step: Option<&str>, signal: &Name) -> Applied {
        let id = self.find(node)?;
        let key = step.map(str::to_owned);
        let since = self.node(id).waits.get(&key).map(|wait| wait.since);
        let queue = self.waiters.get(signal);
        let Some(since) = since.filter(|since| queue.is_some_and(|queue| queue.contains_key(since))) else {
            return Err(format!("`{node}` does not wait for signal `{signal}`"));
        };
        let buffer = self.signals.get_mut(signal);
        let Some(((came, payload), left)) = buffer.and_then(|buffer| Some((buffer.pop_first()?, buffer.len()))) else {
            return Err(format!("there is no signal `{signal}` to consume"));
        };
        if left == 0 {
            self.signals.remove(signal);
        }
        self.signals_buffered -= 1;
        self.forget_waiter(signal, since);
        match step {
            Some(step) => {
                self.end_wait(id, step, StepState::Done(payload));
                self.nodes[id.index()].received.insert(step.to_owned(), (signal.clone(), came));
            }
            None => drop(self.nodes[id.index()].waits.remove(&None)),
        }
        Ok(())
    }

    pub(super) fn question_asked(
        &mut self,
        node: &Name,
        step: &str,
        question: &Payload,
        until: Option<Timestamp>,
    ) -> Applied {
        let id = self.set_step(node, step, StepState::Asking(question.clone()))?;
        self.open_wait(id, Some(step.to_owned()), until);
        self.questions.insert(self.last, (id, step.to_owned()));
        Ok(())
    }

    pub(super) fn question_answered(&mut self, node: &Name, step: &str, answer: &Payload) -> Applied {
        let id = self.find(node)?;
        let wait = self.node(id).waits.get(&Some(step.to_owned())).map(|wait| wait.since);
        if wait.and_then(|since| self.questions.remove(&since)).is_none() {
            return Err(format!("`{node}` has no open question `{step}`"));
        }
        self.end_wait(id, step, StepState::Done(answer.clone()));
        Ok(())
    }

    pub(super) fn child_requested(
        &mut self,
        node: &Name,
        step: &str,
        child: ChildState,
        until: Option<Timestamp>,
    ) -> Applied {
        let run = child.run.clone();
        if self.children.contains_key(&run) || self.abandoned.contains_key(&run) {
            return Err(format!("run `{run}` is already waited for"));
        }
        let id = self.set_step(node, step, StepState::Child(Box::new(child)))?;
        self.open_wait(id, Some(step.to_owned()), until);
        self.children.insert(run, (id, step.to_owned()));
        let seq = self.last;
        self.nodes[id.index()].changed = seq;
        Ok(())
    }

    pub(super) fn child_ended(
        &mut self,
        node: &Name,
        step: &str,
        outcome: &Outcome,
        charges: &BTreeMap<Name, Amount>,
    ) -> Applied {
        let id = self.find(node)?;
        let Some(StepState::Child(child)) = self.node(id).steps.get(step) else {
            return Err(format!("`{node}` does not wait for a run as `{step}`"));
        };
        let run = child.run.clone();
        self.children.remove(&run);
        self.spend(charges);
        self.end_wait(id, step, result_of(&run, outcome));
        Ok(())
    }

    pub(super) fn child_cancelled(&mut self, child: &RunId) -> Applied {
        self.abandoned.remove(child).map(drop).ok_or_else(|| format!("run `{child}` is not an abandoned child"))
    }

    pub(super) fn task_parked(&mut self, node: &Name) -> Applied {
        let id = self.find(node)?;
        let state = &self.nodes[id.index()];
        if !self.tasks.contains(&id) || state.waits.is_empty() {
            return Err(format!("the task of `{node}` cannot be parked"));
        }
        let seq = self.last;
        self.tasks.remove(&id);
        let state = &mut self.nodes[id.index()];
        state.parked = true;
        state.changed = seq;
        Ok(())
    }

    /// A step was recorded as started, but did not start.
    pub(super) fn step_not_begun(&mut self, node: &Name, step: &str) -> Applied {
        let id = self.find(node)?;
        let state = &mut self.nodes[id.index()];
        if !matches!(state.steps.get(step), Some(StepState::Started)) {
            return Err(format!("step `{step}` of `{node}` was not about to start"));
        }
        state.steps.remove(step);
        state.once.remove(step);
        Ok(())
    }

    /// Withdraws a wait. A signal that it received but the task did not take goes back to its place in the queue.
    pub(super) fn wait_let_go(&mut self, node: &Name, step: &str) -> Applied {
        let id = self.find(node)?;
        let (is_running, state) = (self.is_running_task(id), &mut self.nodes[id.index()]);
        if !is_running || state.parked {
            return Err(format!("`{node}` drops `{step}` without a running attempt"));
        }
        match (state.steps.get(step).cloned(), state.received.remove(step)) {
            (Some(StepState::Done(payload)), Some((signal, came))) => self.keep_signal(signal, came, payload),
            (Some(StepState::Done(_)), None) => {}
            (Some(known), _) if known.is_wait() => self.withdraw(id, step, &known),
            _ => return Err(format!("`{step}` of `{node}` is not a wait")),
        }
        self.nodes[id.index()].steps.insert(step.to_owned(), StepState::LetGo);
        Ok(())
    }

    /// A wait passed its time limit.
    pub(super) fn wait_timed_out(&mut self, node: &Name, step: &str) -> Applied {
        let id = self.find(node)?;
        let known = self.node(id).steps.get(step).filter(|known| known.is_wait()).cloned();
        let Some(known) = known.filter(|known| !matches!(known, StepState::Sleeping(_))) else {
            return Err(format!("`{step}` of `{node}` is not a wait with a time limit"));
        };
        self.withdraw(id, step, &known);
        let message = format!("{known} was not over in time");
        self.end_wait(id, step, StepState::Failed(Failure::permanent(FailureKind::TimedOut, message)));
        Ok(())
    }

    /// Removes a wait from every index, but not its step's own state.
    fn withdraw(&mut self, id: NodeId, step: &str, known: &StepState) {
        let Some(wait) = self.nodes[id.index()].waits.remove(&Some(step.to_owned())) else { return };
        self.forget_limit(id, step, wait);
        match known {
            StepState::Sleeping(due) => drop(self.timers.remove(&(*due, Timer::Sleep(id, step.to_owned())))),
            StepState::Awaiting(signal) => self.forget_waiter(signal, wait.since),
            StepState::Asking(_) => drop(self.questions.remove(&wait.since)),
            StepState::Child(child) => self.abandon(id, step, wait, child),
            _ => {}
        }
    }

    fn forget_limit(&mut self, id: NodeId, step: &str, wait: OpenWait) {
        if let Some(until) = wait.until {
            self.timers.remove(&(until, Timer::Sleep(id, step.to_owned())));
        }
    }

    /// A gate, or a step of a task, starts to wait for a signal, behind those already waiting.
    pub(super) fn wait_for(&mut self, id: NodeId, step: Option<String>, signal: &Name, until: Option<Timestamp>) {
        let queue = self.waiters.entry(signal.clone()).or_default();
        queue.insert(self.last, (id, step.clone()));
        self.open_wait(id, step, until);
    }

    fn open_wait(&mut self, id: NodeId, step: Option<String>, until: Option<Timestamp>) {
        if let (Some(until), Some(step)) = (until, &step) {
            self.timers.insert((until, Timer::Sleep(id, step.clone())));
        }
        let since = self.last;
        let state = &mut self.nodes[id.index()];
        state.waits.insert(step, OpenWait { since, attempt: state.attempt, until });
    }

    /// Ends the wait of a task. A parked task becomes due for a call.
    fn end_wait(&mut self, id: NodeId, step: &str, result: StepState) {
        let seq = self.last;
        let state = &mut self.nodes[id.index()];
        let wait = state.waits.remove(&Some(step.to_owned()));
        state.steps.insert(step.to_owned(), result);
        if mem::take(&mut state.parked) {
            state.changed = seq;
            self.tasks.insert(id);
        }
        if let Some(wait) = wait {
            self.forget_limit(id, step, wait);
        }
    }

    fn forget_waiter(&mut self, signal: &Name, since: Seq) {
        if let Some(queue) = self.waiters.get_mut(signal) {
            queue.remove(&since);
            if queue.is_empty() {
                self.waiters.remove(signal);
            }
        }
    }

    /// Ends the waits of a node. Waits for times, answers and other runs outlive an attempt unless it ends `for_good`.
    /// Waits for signals do not: an attempt that is over must not consume a signal.
    pub(super) fn forget_waits(&mut self, id: NodeId, for_good: bool) {
        for (key, wait) in self.nodes[id.index()].waits.clone() {
            let Some(step) = key else {
                self.nodes[id.index()].waits.remove(&None);
                if let NodeKind::Gate(signal) = self.plan.node(id).spec.kind.clone() {
                    self.forget_waiter(&signal, wait.since);
                }
                continue;
            };
            let known = self.nodes[id.index()].steps.get(&step).cloned();
            if let Some(known) = known.filter(|known| for_good || matches!(known, StepState::Awaiting(_))) {
                self.withdraw(id, &step, &known);
                self.nodes[id.index()].steps.remove(&step);
            }
        }
        let state = &mut self.nodes[id.index()];
        state.steps.retain(|_, step| *step != StepState::LetGo);
        if for_good {
            state.received.clear();
        }
    }
}

/// The result that a task gets when the run it waited for ends.
fn result_of(run: &RunId, outcome: &Outcome) -> StepState {
    let failed = |kind: FailureKind, message: String| StepState::Failed(Failure::permanent(kind, message));
    match outcome {
        Outcome::Completed(output) => StepState::Done(output.clone()),
        // No node of the child failed, so its failure is passed on as it is.
        Outcome::Failed { failure, .. } if failure.known_kind().is_some_and(FailureKind::concerns_no_node) => {
            StepState::Failed(failure.clone())
        }
        Outcome::Failed { node, failure } => {
            let message = format!("node `{node}` of run `{run}` failed: {failure}");
            StepState::Failed(Failure {
                detail: failure.detail.clone(),
                ..Failure::permanent(FailureKind::ChildFailed, message)
            })
        }
        Outcome::Cancelled(reason) => {
            failed(FailureKind::ChildCancelled, format!("run `{run}` was cancelled: {reason}"))
        }
        Outcome::Terminated(reason) => {
            failed(FailureKind::ChildTerminated, format!("run `{run}` was terminated: {reason}"))
        }
        Outcome::TimedOut(deadline) => {
            failed(FailureKind::ChildTimedOut, format!("run `{run}` passed its deadline, {deadline}"))
        }
    }
}
