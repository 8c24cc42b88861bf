//! Parks what only waits: first single tasks, then the whole run.

use crate::kernel::{InputKind, NodeStatus, QUEUED_AT, Work, is_busy, wake_at, work_for_others};
use crate::model::{Failure, FailureKind, NodeId};

use super::session::Session;
use super::{Driver, Stop};
use crate::runtime::limiter::slots::slot_request;
use crate::runtime::task::invocation::Invocation;

impl Session<'_> {
    /// Whether the run has been quiet, so that checking for idle tasks is worthwhile.
    pub(super) fn may_park(&self) -> bool {
        self.pending.is_empty() && self.driver.messages.is_empty()
    }

    /// Called after a quiet period: drops tasks that only wait, then parks a run without tasks.
    pub(super) async fn park(&mut self) -> Result<(), Stop> {
        self.look_at_children();
        let state = &self.state;
        let paused = state.pause().is_some();
        let waits = |invocation: &Invocation| {
            let activity = &invocation.activity;
            if paused { activity.waits_for_driver() } else { activity.only_waits() }
        };
        // Slots belong to attempts in memory: a task that holds some is not dropped.
        let holds = |id: NodeId| !state.plan().node(id).spec.limits.is_empty();
        let still: Vec<NodeId> =
            self.driver.invoked.iter().filter(|(_, call)| waits(call)).map(|(id, _)| *id).collect();
        let still: Vec<NodeId> = still.into_iter().filter(|id| paused || !holds(*id)).collect();
        if still.is_empty() {
            let lost = self
                .driver
                .invoked
                .iter()
                .find(|(_, call)| !paused && call.activity.waits_forever())
                .map(|(id, _)| *id);
            if let Some(id) = lost {
                return self.end_never_woken(id).await;
            }
            if self.is_idle() {
                return Err(Stop::Idle);
            }
            let is_over = state.status().is_final();
            if self.driver.invoked.values().all(waits) && (self.errands_done() || is_over) {
                self.set_idle();
                self.report_idle_slots();
            } else if self.waits_beside_work() {
                self.set_idle();
            }
            return Ok(());
        }
        if !self.errands_done() {
            return Ok(());
        }
        let dropped: Vec<_> = still.iter().filter_map(|id| Some((*id, self.driver.invoked.remove(id)?))).collect();
        let (ids, calls): (Vec<_>, Vec<_>) = dropped.into_iter().unzip();
        let attempts: Vec<u32> = calls.iter().map(|call: &Invocation| call.attempt).collect();
        Invocation::end_all(calls).await;
        // Their last messages are handled before they are recorded as parked.
        self.reports().await?;
        while let Ok(message) = self.driver.messages.try_recv() {
            self.message(Some(message)).await?;
        }
        for (id, attempt) in ids.into_iter().zip(attempts) {
            if !paused {
                let node = self.state.name(id).clone();
                self.input(InputKind::TaskParked { node, attempt }, None).await?;
                // If its wait has ended in the meantime, it is called again.
                self.perform(id);
            }
        }
        Ok(())
    }

    /// Ends a call that waits only for what an earlier call of the same attempt withdrew.
    async fn end_never_woken(&mut self, id: NodeId) -> Result<(), Stop> {
        let Some(call) = self.driver.invoked.remove(&id) else { return Ok(()) };
        let attempt = call.attempt;
        Invocation::end_all(vec![call]).await;
        let node = self.state.name(id).clone();
        let message =
            "the task waits for something that an earlier call of it withdrew; its code must do the same in each call";
        let result = Err(Failure::permanent(FailureKind::NotRepeatable, message));
        self.input(InputKind::AttemptEnded { node, attempt, result }, None).await
    }

    /// The run only waits, perhaps for other runs, and stays in memory: it frees its capacity for them.
    fn set_idle(&mut self) {
        self.driver.idle = true;
        self.driver.set_frees_capacity(true);
    }

    /// Whether every task waits for something, whatever else it does.
    fn waits_beside_work(&self) -> bool {
        !self.driver.invoked.is_empty() && self.driver.invoked.values().all(|call| call.activity.waits())
    }

    /// Whether the run waits for child runs that may need its capacity. Its tasks' other work is expected to end with
    /// them.
    pub(super) fn waits_for_children(&self) -> bool {
        !self.state.children().is_empty() && self.waits_beside_work()
    }

    /// Tasks that hold slots are not dropped, and may wait for runs that need those slots.
    fn report_idle_slots(&self) {
        let state = &self.state;
        for id in self.driver.invoked.keys().filter(|id| !state.plan().node(**id).spec.limits.is_empty()) {
            self.driver.shared.slots.set_idle(&self.driver.run, state.name(*id));
        }
    }

    /// Whether the run only waits for something outside.
    pub(super) fn is_idle(&self) -> bool {
        !is_busy(&self.state) && self.errands_done() && self.may_park_quietly() && self.driver.invoked.is_empty()
    }

    /// A child that still has to be started must not be forgotten.
    fn may_park_quietly(&self) -> bool {
        self.may_park() && work_for_others(&self.state).all(|(work, _)| self.errands.contains_key(&work))
    }

    /// Registers the slots of attempts that were running when the run was loaded: they hold them already.
    pub(super) fn hold_slots(&self) {
        for id in self.state.running() {
            // An attempt that lost its slots waits, and is called when it is granted new ones.
            let _has_them = self.sync_slots(id, true);
        }
    }

    /// The run is left before it has started. If it only waits for slots, it requests them and is woken by the grant:
    /// such runs are not searched for.
    pub(super) fn queue_up(&self) {
        if wake_at(&self.state) != Some(QUEUED_AT) {
            return;
        }
        for id in self.state.queued() {
            // It has not started, so there is nothing to call.
            let _has_them = self.sync_slots(id, true);
        }
    }

    /// Updates the slots of a node to its status; returns `false` if a running attempt has to wait for them.
    pub(super) fn sync_slots(&self, id: NodeId, durable: bool) -> bool {
        let state = &self.state;
        let spec = &state.plan().node(id).spec;
        if spec.limits.is_empty() || !durable {
            return true;
        }
        let (node, slots) = (state.node(id), &self.driver.shared.slots);
        let priority = state.options().priority.saturating_add(spec.priority);
        let of = |attempt| slot_request(&self.driver.run, &spec.name, attempt, state.slots(id), priority);
        match node.status {
            NodeStatus::Queued if state.stopping().is_none() || state.is_undo(id) => {
                if state.pause().is_none() {
                    slots.request(self.driver.shared.clock.now(), of(node.attempt + 1));
                }
            }
            NodeStatus::Running => return slots.hold(self.driver.shared.clock.now(), &of(node.attempt)),
            _ => slots.release(&self.driver.run, &spec.name),
        }
        true
    }

    /// Ends calls that have been silent for longer than their nodes' heartbeat timeout.
    pub(super) async fn end_silent(&mut self) -> Result<(), Stop> {
        let now = self.driver.shared.clock.now();
        let silent: Vec<_> = self.heartbeats().filter(|(_, due)| *due <= now).map(|(id, _)| id).collect();
        for id in silent {
            let Some(call) = self.driver.invoked.remove(&id) else { continue };
            let attempt = call.attempt;
            Invocation::end_all(vec![call]).await;
            let spec = &self.state.plan().node(id).spec;
            let millis = spec.heartbeat_timeout_ms.unwrap_or_default();
            let failure = Failure::retryable(
                FailureKind::HeartbeatTimedOut,
                format!("`{}` was silent for {millis} ms", spec.name),
            );
            let node = spec.name.clone();
            self.input(InputKind::AttemptEnded { node, attempt, result: Err(failure) }, None).await?;
        }
        Ok(())
    }

    /// When the calls with a heartbeat timeout must next show that they are alive.
    pub(super) fn heartbeats(&self) -> impl Iterator<Item = (NodeId, crate::model::Timestamp)> + '_ {
        let state = &self.state;
        self.driver.beating.iter().filter(|_| state.pause().is_none()).filter_map(move |id| {
            let call = self.driver.invoked.get(id)?;
            let millis = state.plan().node(*id).spec.heartbeat_timeout_ms?;
            // A call whose request is unanswered is silent because of the engine.
            let waits =
                call.activity.asks() || !matches!(crate::kernel::work_of(state, *id), Some(Work::Invoke { .. }));
            let due = call.activity.last_beat().saturating_add(std::time::Duration::from_millis(millis));
            (!waits).then_some((*id, due))
        })
    }
}

impl Driver {
    /// Something happened in the run.
    pub(super) fn set_active(&mut self) {
        if std::mem::take(&mut self.idle) {
            self.shared.slots.set_active(&self.run);
        }
    }

    /// Frees the run's capacity for other runs, or takes it again.
    pub(super) fn set_frees_capacity(&mut self, leaves: bool) {
        if std::mem::replace(&mut self.frees_capacity, leaves) == leaves {
            return;
        }
        if !leaves {
            return self.shared.capacity.remove_idle();
        }
        self.shared.capacity.add_idle();
        if self.shared.capacity.has_waiting() {
            self.shared.parked.notify_one();
        }
    }
}
