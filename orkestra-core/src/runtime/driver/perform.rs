//! What a durable state owes, done: tasks called, asked to stop, or ended.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;

use crate::kernel::{RunState, Work, work_of};
use crate::model::{Failure, NodeId, NodeKind};

use super::super::context::{Context, Inner};
use super::super::invocation::Invocation;
use super::Driver;

impl Driver {
    /// Brings every node's call in line with what the run owes.
    pub(super) fn perform_all(&mut self) {
        let running = self.state.iter().flat_map(RunState::running);
        let mut nodes: Vec<_> = running.chain(self.invoked.keys().copied()).collect();
        nodes.sort_unstable();
        nodes.dedup();
        nodes.into_iter().for_each(|node| self.perform(node));
    }

    /// Brings one node's call in line with what the run owes.
    pub(super) fn perform(&mut self, id: NodeId) {
        let Some(state) = &self.state else { return };
        let durable = state.node(id).changed <= self.durable;
        let under_way = self.invoked.get(&id).map(|invocation| invocation.attempt);
        match work_of(state, id) {
            Some(Work::Invoke { attempt, .. }) if under_way == Some(attempt) => {}
            Some(Work::Invoke { attempt, .. }) => {
                self.invoked.remove(&id);
                if durable {
                    self.invoke(id, attempt);
                }
            }
            Some(Work::AskToStop { attempt, .. }) if durable && under_way == Some(attempt) => {
                if let Some(invocation) = self.invoked.get(&id) {
                    invocation.ask_to_stop();
                }
            }
            Some(Work::AskToStop { attempt, .. }) if durable && under_way.is_none() => {
                self.invoke_cancelled(id, attempt);
            }
            Some(Work::AskToStop { .. }) => {}
            Some(_) | None => drop(self.invoked.remove(&id)),
        }
    }

    /// The run was cancelled before this process called the task: there is nobody to wait for.
    fn invoke_cancelled(&mut self, id: NodeId, attempt: u32) {
        let Some(state) = &self.state else { return };
        let ended = async { Err(Failure::permanent("cancelled", "the run was cancelled")) };
        let (node, sender) = (state.name(id).clone(), self.sender.clone());
        self.invoked.insert(id, Invocation::spawn(node, attempt, watch::Sender::new(false), sender, ended));
    }

    fn invoke(&mut self, id: NodeId, attempt: u32) {
        let Some(state) = &self.state else { return };
        let spec = &state.plan().node(id).spec;
        let NodeKind::Task(task) = &spec.kind else { return };
        let (cancel, cancelled) = watch::channel(false);
        let inner = Inner {
            run: self.run.clone(),
            node: spec.name.clone(),
            attempt,
            run_input: state.input().clone(),
            last_failure: state.node(id).last_failure.clone(),
            steps: state.node(id).steps.clone(),
            keys: Mutex::new(HashMap::new()),
            driver: self.sender.clone(),
            outbox: self.outbox.clone(),
            cancelled,
            clock: self.shared.clock.clone(),
        };
        let input = state.node_input(id).map_err(|error| Failure::permanent("bad_input", error.to_string()));
        let code = self.shared.task(state.plan().workflow(), task);
        let unknown = Failure::permanent("bad_input", format!("the task `{task}` is not known"));
        let work = async move {
            let code = code.ok_or(unknown)?;
            code.call(Context::new(inner), input?).await
        };
        let invocation = Invocation::spawn(spec.name.clone(), attempt, cancel, self.sender.clone(), work);
        self.invoked.insert(id, invocation);
    }
}
