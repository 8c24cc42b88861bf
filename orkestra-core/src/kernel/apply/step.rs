//! Steps and waits: what tasks are remembered for, and what they and gates wait for.
//!
//! A wait is found by its node and key, and in the queue of its signal by the event that began it: no price depends on
//! how many others wait.

use std::mem;

use crate::model::{Name, NodeId, NodeKind, Payload, Seq, Timestamp};

use super::super::state::{OpenWait, RunState, StepState, Timer};
use super::Written;

impl RunState {
    pub(super) fn set_step(&mut self, node: &Name, step: &str, new: StepState) -> Result<NodeId, String> {
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
        Ok(id)
    }

    pub(super) fn timer_set(&mut self, node: &Name, step: &str, due: Timestamp) -> Written {
        let id = self.set_step(node, step, StepState::Sleeping(due))?;
        self.open_wait(id, Some(step.to_owned()));
        self.timers.insert((due, Timer::Sleep(id, step.to_owned())));
        Ok(())
    }

    pub(super) fn timer_fired(&mut self, node: &Name, step: &str) -> Written {
        let id = self.find(node)?;
        let state = &mut self.nodes[id.index()];
        let Some(slot) = state.steps.get_mut(step) else {
            return Err(format!("no timer `{step}` of `{node}` is set"));
        };
        let StepState::Sleeping(due) = *slot else {
            return Err(format!("step `{step}` of `{node}` is no timer"));
        };
        *slot = StepState::Done(Payload::null());
        state.waits.remove(&Some(step.to_owned()));
        self.timers.remove(&(due, Timer::Sleep(id, step.to_owned())));
        Ok(())
    }

    pub(super) fn signal_awaited(&mut self, node: &Name, step: &str, signal: &Name) -> Written {
        let id = self.set_step(node, step, StepState::Awaiting(signal.clone()))?;
        self.wait_for(id, Some(step.to_owned()), signal);
        Ok(())
    }

    pub(super) fn signal_received(&mut self, signal: &Name, payload: &Payload) {
        self.signals.entry(signal.clone()).or_default().push_back(payload.clone());
        self.signals_buffered += 1;
    }

    pub(super) fn signal_consumed(&mut self, node: &Name, step: Option<&str>, signal: &Name) -> Written {
        let id = self.find(node)?;
        let key = step.map(str::to_owned);
        let since = self.node(id).waits.get(&key).map(|wait| wait.since);
        let queue = self.waiters.get(signal);
        let Some(since) = since.filter(|since| queue.is_some_and(|queue| queue.contains_key(since))) else {
            return Err(format!("`{node}` does not wait for signal `{signal}`"));
        };
        let buffer = self.signals.get_mut(signal);
        let Some((payload, left)) = buffer.and_then(|buffer| Some((buffer.pop_front()?, buffer.len()))) else {
            return Err(format!("there is no signal `{signal}` to consume"));
        };
        if left == 0 {
            self.signals.remove(signal);
        }
        self.signals_buffered -= 1;
        self.forget_waiter(signal, since);
        let state = &mut self.nodes[id.index()];
        state.waits.remove(&key);
        if let Some(step) = key {
            state.steps.insert(step, StepState::Done(payload));
        }
        Ok(())
    }

    /// A gate, or a step of a task, begins to wait for a signal, after all who wait for it already.
    pub(super) fn wait_for(&mut self, id: NodeId, step: Option<String>, signal: &Name) {
        let queue = self.waiters.entry(signal.clone()).or_default();
        queue.insert(self.last, (id, step.clone()));
        self.open_wait(id, step);
    }

    fn open_wait(&mut self, id: NodeId, step: Option<String>) {
        let since = self.last;
        let state = &mut self.nodes[id.index()];
        state.waits.insert(step, OpenWait { since, attempt: state.attempt });
    }

    fn forget_waiter(&mut self, signal: &Name, since: Seq) {
        if let Some(queue) = self.waiters.get_mut(signal) {
            queue.remove(&since);
            if queue.is_empty() {
                self.waiters.remove(signal);
            }
        }
    }

    /// Ends the waits of a node. Waits for time outlive an attempt unless it ends `for_good`, waits for a signal do
    /// not: a signal must not be eaten by an attempt that is over.
    pub(super) fn forget_waits(&mut self, id: NodeId, for_good: bool) {
        for (key, wait) in mem::take(&mut self.nodes[id.index()].waits) {
            let Some(step) = key else {
                if let NodeKind::Gate(signal) = self.plan.node(id).spec.kind.clone() {
                    self.forget_waiter(&signal, wait.since);
                }
                continue;
            };
            let state = &mut self.nodes[id.index()];
            match state.steps.get(&step).cloned() {
                Some(StepState::Sleeping(due)) if for_good => {
                    state.steps.remove(&step);
                    self.timers.remove(&(due, Timer::Sleep(id, step)));
                }
                Some(StepState::Awaiting(signal)) => {
                    state.steps.remove(&step);
                    self.forget_waiter(&signal, wait.since);
                }
                _ => drop(state.waits.insert(Some(step), wait)),
            }
        }
    }
}
