//! Dropping from memory what only waits: a task first, then the whole run.

use crate::kernel::{InputKind, NodeStatus, QUEUED_AT, Work, is_busy, wake_at, work_for_others};
use crate::model::{Failure, FailureKind, NodeId};

use super::session::Session;
use super::{Driver, Turn};
use crate::runtime::limiter::slots::claim;
use crate::runtime::task::invocation::Invocation;

impl Session<'_> {
    /// Whether it is worth looking, after a while without news, at whether the run only waits.
    pub(super) fn may_park(&self) -> bool {
        self.pending.is_empty() && self.driver.messages.is_empty()
    }

    /// A while without news: tasks that only wait are dropped, then a run without any.
    pub(super) async fn park(&mut self) -> Result<(), Turn> {
        self.look_at_children();
        let state = &self.state;
        let paused = state.pause().is_some();
        let waits = |invocation: &Invocation| {
            let activity = &invocation.activity;
            if paused { activity.is_held() } else { activity.only_waits() }
        };
        // Slots are held by those who are there: a task that has some is not dropped.
        let holds = |id: NodeId| !state.plan().node(id).spec.limits.is_empty();
        let still: Vec<NodeId> =
            self.driver.invoked.iter().filter(|(_, call)| waits(call)).map(|(id, _)| *id).collect();
        let still: Vec<NodeId> = still.into_iter().filter(|id| paused || !holds(*id)).collect();
        if still.is_empty() {
            let lost =
                self.driver.invoked.iter().find(|(_, call)| !paused && call.activity.is_lost()).map(|(id, _)| *id);
            if let Some(id) = lost {
                return self.end_lost(id).await;
            }
            if self.is_idle() {
                return Err(Turn::Rest);
            }
            let is_over = state.status().is_final();
            if self.driver.invoked.values().all(waits) && (self.errands_done() || is_over) {
                self.rest();
                self.rest_with_slots();
            } else if self.waits_beside_work() {
                self.rest();
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
        // What they said last comes before that they are gone.
        self.reports().await?;
        while let Ok(message) = self.driver.messages.try_recv() {
            self.message(Some(message)).await?;
        }
        for (id, attempt) in ids.into_iter().zip(attempts) {
            if !paused {
                let node = self.state.name(id).clone();
                self.input(InputKind::TaskParked { node, attempt }, None).await?;
                // One whose wait was over meanwhile is called again.
                self.perform(id);
            }
        }
        Ok(())
    }

    /// Ends a call that waits for nothing but what an earlier call of the same attempt has let go.
    async fn end_lost(&mut self, id: NodeId) -> Result<(), Turn> {
        let Some(call) = self.driver.invoked.remove(&id) else { return Ok(()) };
        let attempt = call.attempt;
        Invocation::end_all(vec![call]).await;
        let node = self.state.name(id).clone();
        let message =
            "the task waits for what an earlier call of it has let go: its code must do the same in each call";
        let result = Err(Failure::permanent(FailureKind::NotRepeatable, message));
        self.input(InputKind::AttemptEnded { node, attempt, result }, None).await
    }

    /// The run only waits, for other runs perhaps, and stays in memory: it leaves its capacity to them.
    fn rest(&mut self) {
        self.driver.rests = true;
        self.driver.leave_capacity(true);
    }

    /// Whether each task waits for something, and may do more beside it.
    fn waits_beside_work(&self) -> bool {
        !self.driver.invoked.is_empty() && self.driver.invoked.values().all(|call| call.activity.waits())
    }

    /// Whether the run waits for runs that may need its room. What its tasks do meanwhile ends with them perhaps.
    pub(super) fn waits_for_children(&self) -> bool {
        !self.state.children().is_empty() && self.waits_beside_work()
    }

    /// Tasks with slots are not dropped, and may wait for runs that need their slots.
    fn rest_with_slots(&self) {
        let state = &self.state;
        for id in self.driver.invoked.keys().filter(|id| !state.plan().node(**id).spec.limits.is_empty()) {
            self.driver.shared.slots.rests(&self.driver.run, state.name(*id));
        }
    }

    /// Whether the run only waits for something outside.
    pub(super) fn is_idle(&self) -> bool {
        !is_busy(&self.state) && self.errands_done() && self.may_park_quietly() && self.driver.invoked.is_empty()
    }

    /// A child that is to be started and is not yet must not be forgotten.
    fn may_park_quietly(&self) -> bool {
        self.may_park() && work_for_others(&self.state).all(|(work, _)| self.errands.contains_key(&work))
    }

    /// Registers the slots of attempts that were under way when the run was taken over: they are held already.
    pub(super) fn hold_slots(&self) {
        for id in self.state.running() {
            // One that lost them waits: it is called when it is told of the grant.
            let _has_them = self.sync_slots(id, true);
        }
    }

    /// The run leaves before it has begun. If slots are all that it waits for it asks for them, and is woken by their grant:
    /// nobody looks for such runs.
    pub(super) fn queue_up(&self) {
        if wake_at(&self.state) != Some(QUEUED_AT) {
            return;
        }
        for id in self.state.queued() {
            // It has not begun: there is nothing to call.
            let _has_them = self.sync_slots(id, true);
        }
    }

    /// Brings the slots of a node in line with where it stands; false when an attempt that is under way has to wait for them.
    pub(super) fn sync_slots(&self, id: NodeId, durable: bool) -> bool {
        let state = &self.state;
        let spec = &state.plan().node(id).spec;
        if spec.limits.is_empty() || !durable {
            return true;
        }
        let (node, slots) = (state.node(id), &self.driver.shared.slots);
        let priority = state.options().priority.saturating_add(spec.priority);
        let of = |attempt| claim(&self.driver.run, &spec.name, attempt, state.slots(id), priority);
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

    /// Ends the calls that have been silent for longer than their nodes allow.
    pub(super) async fn end_silent(&mut self) -> Result<(), Turn> {
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

    /// Until when the calls with a heartbeat timeout have to give a sign of life.
    pub(super) fn heartbeats(&self) -> impl Iterator<Item = (NodeId, crate::model::Timestamp)> + '_ {
        let state = &self.state;
        self.driver.beating.iter().filter(|_| state.pause().is_none()).filter_map(move |id| {
            let call = self.driver.invoked.get(id)?;
            let millis = state.plan().node(*id).spec.heartbeat_timeout_ms?;
            // One that was not answered yet is silent because of us.
            let waits =
                call.activity.asks() || !matches!(crate::kernel::work_of(state, *id), Some(Work::Invoke { .. }));
            let due = call.activity.last_beat().saturating_add(std::time::Duration::from_millis(millis));
            (!waits).then_some((*id, due))
        })
    }
}

impl Driver {
    /// Something happens in the run.
    pub(super) fn stir(&mut self) {
        if std::mem::take(&mut self.rests) {
            self.shared.slots.stirs(&self.run);
        }
    }

    /// Leaves its capacity to other runs, or takes it again.
    pub(super) fn leave_capacity(&mut self, leaves: bool) {
        if std::mem::replace(&mut self.leaves_capacity, leaves) == leaves {
            return;
        }
        if !leaves {
            return self.shared.capacity.stirs();
        }
        self.shared.capacity.rests();
        if self.shared.capacity.has_waiting() {
            self.shared.parked.notify_one();
        }
    }
}
