//! Performs what a durable state owes: tasks are called, asked to stop, or ended.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use crate::kernel::{NodeStatus, StepState, Work, work_of};
use crate::model::{Failure, FailureKind, NodeId, NodeKind};

use super::session::Session;
use crate::runtime::error::Error;
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;
use crate::runtime::support::watch;
use crate::runtime::task::activity::Activity;
use crate::runtime::task::call::watched;
use crate::runtime::task::context::{Context, Inner};
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::keys::base;

impl Session<'_> {
    /// Updates every node's call, and the errands, to what the run owes.
    pub(super) fn perform_all(&mut self) {
        self.run_errands();
        let running = self.state.running().chain(self.state.queued());
        let mut nodes: Vec<_> = running.chain(self.driver.invoked.keys().copied()).collect();
        // A node that ended in this commit, or while there was no session, may still have slots.
        let plan = self.state.plan();
        nodes.extend(self.driver.shared.slots.nodes_of(&self.driver.run).iter().filter_map(|node| plan.id(node)));
        nodes.sort_unstable();
        nodes.dedup();
        nodes.into_iter().for_each(|node| self.perform(node));
    }

    /// Updates one node's call to what the run owes.
    pub(super) fn perform(&mut self, id: NodeId) {
        let state = &self.state;
        let durable = state.node(id).changed <= self.driver.known.durable;
        let under_way = self.driver.invoked.get(&id).map(|invocation| invocation.attempt);
        let has_slots = self.sync_slots(id, durable);
        self.driver.trace.node(state, id, durable);
        match work_of(state, id) {
            // Tasks of a paused run stop by themselves at their next step.
            None if state.pause().is_some() && state.node(id).status == NodeStatus::Running => {}
            Some(Work::Invoke { attempt, .. }) if under_way == Some(attempt) => {}
            Some(Work::Invoke { attempt, .. }) => {
                self.driver.invoked.remove(&id);
                if durable && has_slots {
                    self.invoke(id, attempt);
                }
            }
            Some(Work::AskToStop { attempt, .. }) if durable && under_way == Some(attempt) => {
                if let Some(invocation) = self.driver.invoked.get(&id) {
                    invocation.ask_to_stop();
                }
            }
            Some(Work::AskToStop { attempt, .. }) if durable && under_way.is_none() => {
                self.invoke_cancelled(id, attempt);
            }
            Some(Work::AskToStop { .. }) => {}
            _ => {
                self.driver.invoked.remove(&id);
                self.driver.beating.remove(&id);
            }
        }
    }

    /// The run was cancelled before this process called the task: there is no task to wait for.
    fn invoke_cancelled(&mut self, id: NodeId, attempt: u32) {
        let state = &self.state;
        let ended = async { Err(Failure::permanent(FailureKind::Cancelled, "the run was cancelled")) };
        let (node, sender) = (state.name(id).clone(), self.driver.sender.clone());
        let activity = Arc::new(Activity::begin(self.driver.shared.clock.now()));
        let cancel = watch::Sender::new(false);
        let seen = self.driver.trace.attempt(state, id, attempt);
        self.driver.invoked.insert(id, Invocation::spawn(node, attempt, activity, cancel, sender, seen, ended));
    }

    fn invoke(&mut self, id: NodeId, attempt: u32) {
        let state = &self.state;
        let spec = &state.plan().node(id).spec;
        let NodeKind::Task(task) = &spec.kind else { return };
        let (cancel, cancelled) = watch::channel(false);
        let seen = self.driver.trace.attempt(state, id, attempt);
        let activity = Arc::new(Activity::begin(self.driver.shared.clock.now()));
        let inner = Inner {
            run: self.driver.run.clone(),
            incarnation: state.options().incarnation.clone(),
            node: spec.name.clone(),
            attempt,
            run_input: state.input().clone(),
            last_failure: state.node(id).last_failure.clone(),
            steps: state.node(id).steps.clone(),
            keys: Mutex::new(HashMap::new()),
            withdrawals: Mutex::default(),
            interrupted: Mutex::new(interrupted(&state.node(id).steps)),
            paused: self.driver.known.paused.subscribe(),
            driver: self.driver.sender.clone(),
            outbox: self.driver.outbox.clone(),
            cancelled,
            clock: self.driver.shared.clock.clone(),
            activity: Arc::clone(&activity),
            ownership: Arc::clone(&self.driver.ownership),
            drain: Arc::clone(&self.driver.shared.drain),
            store: Arc::downgrade(&self.driver.shared.store),
            jobs: self.driver.shared.jobs.clone(),
            seen: seen.clone(),
        };
        let (input, run_input) = (state.node_inputs(id), Arc::clone(&self.driver.known.run_input));
        let store = Arc::clone(&self.driver.shared.store);
        let code = self.driver.shared.code.task(state.plan().workflow(), task);
        let unknown =
            Failure::permanent(FailureKind::BadInput, format!("task `{task}` is not registered with this engine"));
        // Boxed: each function that takes a future by value and awaits it stores it twice.
        let work = Box::pin(async move {
            let (code, mut inner) = (code.ok_or(unknown)?, inner);
            let run = inner.run.clone();
            let unread = |error: Error| Failure::retryable(FailureKind::Store, error.to_string());
            let given = inner.run_input.clone();
            let given = run_input.get_or_try_init(|| insist(|| blobs::fetch(&*store, &run, given.clone()))).await;
            inner.run_input = given.map_err(unread)?.clone();
            let input = insist(|| blobs::fetch_input(&*store, &run, input.clone())).await.map_err(unread)?;
            let cx = Context::new(inner);
            let output = watched(Arc::clone(cx.inner()), code.call(cx, input)).await?;
            insist(|| blobs::keep(&*store, &run, output.clone())).await.map_err(unread)
        });
        // Counted because it holds the store: shutdown waits for it.
        let work = self.driver.shared.jobs.counted(work);
        let invocation =
            Invocation::spawn(spec.name.clone(), attempt, activity, cancel, self.driver.sender.clone(), seen, work);
        if !spec.limits.is_empty() {
            self.driver.shared.slots.watch_call(&self.driver.run, &spec.name, &invocation.activity);
        }
        if spec.heartbeat_timeout_ms.is_some() {
            self.driver.beating.insert(id);
        }
        self.driver.invoked.insert(id, invocation);
    }
}

/// The keys of interrupted steps, whose effect is unknown.
fn interrupted(steps: &HashMap<String, StepState>) -> BTreeSet<String> {
    let interrupted = steps.iter().filter(|(_, known)| match known {
        StepState::Started => true,
        StepState::Failed(failure) => failure.kind == FailureKind::Interrupted,
        _ => false,
    });
    interrupted.map(|(step, _)| base(step)).collect()
}
