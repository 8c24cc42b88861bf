//! How a run is created, recovered, released and stopped.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::model::limits::{CANCEL_GRACE, INTERRUPTIONS_MAX};
use crate::model::{
    Failure, FailureKind, Name, NodeId, NodeSpec, Payload, Plan, RunId, RunOptions, Timestamp, WorkflowSpec,
};

use super::super::apply;
use super::super::event::Event;
use super::super::reason::{PauseReason, StopReason};
use super::super::state::RunState;
use super::super::status::RunStatus;
use super::{Decision, Rejection};

pub(super) fn create(run: &RunId, now: Timestamp, created: Event) -> Result<(RunState, Vec<Event>), Rejection> {
    let mut state = apply::create(run, &created, now).map_err(Rejection::Broken)?;
    let mut decision = Decision { events: vec![created], ..Decision::new(&mut state, now, 0.0) };
    decision.enter_ready();
    decision.check_budget();
    let events = decision.finish()?;
    Ok((state, events))
}

/// Creates a run that is already cancelled. It reserves the id against a start that is still under way, and informs no
/// parent.
pub(super) fn create_cancelled(
    run: &RunId,
    now: Timestamp,
    (workflow, options, reason): (Name, RunOptions, String),
) -> Result<(RunState, Vec<Event>), Rejection> {
    let gate = Name::new("cancelled").expect("letters are a name");
    let nodes = vec![NodeSpec::gate(gate.clone(), gate)];
    let plan = Arc::new(Plan::new(&WorkflowSpec { name: workflow, version: None, nodes })?);
    let (input, labels, options) = (Payload::null(), BTreeMap::new(), Box::new(options));
    let created = Event::RunCreated { plan, input, labels, options };
    let mut state = apply::create(run, &created, now).map_err(Rejection::Broken)?;
    let mut decision = Decision { events: vec![created], ..Decision::new(&mut state, now, 0.0) };
    decision.emit(Event::StopRequested { reason: StopReason::Cancelled { reason: reason.clone() }, grace_until: now });
    decision.emit(Event::RunCancelled { reason });
    decision.parent_told();
    let events = decision.finish()?;
    Ok((state, events))
}

impl Decision<'_> {
    /// Running attempts continue in this process, unless they lost their process too often: that pauses the run where its
    /// options say so, and fails the attempt otherwise.
    pub(super) fn recover(&mut self) {
        let tasks: Vec<_> = self.state().tasks.iter().copied().collect();
        if tasks.is_empty() || self.state().pause.is_some() {
            return;
        }
        self.emit(Event::Recovered);
        if self.pause_after_losses(&tasks) {
            return;
        }
        for id in tasks {
            // The first attempt that gives up may stop the run and end the others.
            let state = self.state();
            let lost = state.tasks.contains(&id) && state.node(id).interruptions > INTERRUPTIONS_MAX;
            if lost && state.status != RunStatus::Stopping && !state.status.is_final() {
                let times = INTERRUPTIONS_MAX + 1;
                let message = format!("the process was lost {times} times before a step finished");
                self.fail_attempt(id, Failure::retryable(FailureKind::Crashed, message));
            }
        }
        if self.state().status == RunStatus::Stopping {
            // No process runs the attempts any more, so there is none to ask.
            self.give_up_running();
        }
    }

    /// Pauses the run when its processes were lost too often; whether it did.
    fn pause_after_losses(&mut self, tasks: &[NodeId]) -> bool {
        let state = self.state();
        let Some(most) = state.options().lost_processes_max.map(NonZeroU32::get) else { return false };
        if state.status != RunStatus::Running {
            return false;
        }
        let Some(id) = tasks.iter().copied().find(|id| state.node(*id).interruptions >= most) else { return false };
        let (node, times) = (state.name(id).clone(), state.node(id).interruptions);
        self.emit(Event::RunPaused { reason: PauseReason::ProcessesLost { node, times } });
        true
    }

    /// Records that the shutdown is orderly, where a lost process would be counted against running attempts.
    pub(super) fn release(&mut self) {
        let state = self.state();
        if state.pause.is_none() && state.tasks.iter().any(|id| !state.node(*id).only_waits()) {
            self.emit(Event::Released);
        }
    }

    pub(super) fn cancel(&mut self, reason: String) -> Result<(), Rejection> {
        if self.state().status.is_ending() {
            return Err(Rejection::Stopping);
        }
        self.stop(StopReason::Cancelled { reason });
        Ok(())
    }

    /// Starts to stop the run: nodes that only wait end at once, running tasks get time to end by themselves.
    pub(super) fn stop(&mut self, reason: StopReason) {
        let grace_until = self.now.saturating_add(CANCEL_GRACE);
        self.emit(Event::StopRequested { reason, grace_until });
        let state = self.state();
        let waiting: Vec<_> = state.running.difference(&state.tasks).copied().collect();
        for id in waiting {
            self.cancel_node(id);
        }
        self.end_if_done();
    }

    /// Ends a stopping run although some attempts have not ended.
    pub(super) fn give_up_running(&mut self) {
        let running: Vec<_> = self.state().running().collect();
        for id in running {
            self.cancel_node(id);
        }
        self.end_if_done();
    }

    pub(super) fn cancel_node(&mut self, id: NodeId) {
        let node = self.state().name(id).clone();
        self.emit(Event::NodeCancelled { node });
    }
}
