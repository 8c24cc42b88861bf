//! A run as a reader sees it: its state, and what only an engine or the store knows of why it waits.
//!
//! Nothing here is kept: it is worked out when somebody asks. It must never change anything.

use crate::kernel::{NodeStatus, QUEUED_AT, RunState, broken_invariant, wake_at};
use crate::model::{Name, Timestamp};
use crate::projection::{LeaseView, RunView, RunWaitsFor, SlotWait, WaitsFor};
use crate::store::{Lease, LeaseState};

use super::handle::Run;
use crate::runtime::error::Error;
use crate::runtime::storage::load::load;

impl Run {
    /// The run node by node, as far as it is durable, with what it waits for: see [`RunView::waits_for`] and
    /// [`NodeView::waits_for`](crate::projection::NodeView::waits_for). Any engine on the store can be asked. Places in the queue of a
    /// limit are known only to the engine that drives the run.
    ///
    /// # Errors
    /// When the store cannot be read, the journal is damaged, or the run was deleted.
    pub async fn view(&self) -> Result<RunView, Error> {
        let state = load(&*self.shared().store, self.id()).await?.ok_or_else(|| self.not_found())?;
        let mut view = RunView::of(&state);
        if state.status().is_final() {
            return Ok(view);
        }
        let now = self.shared().clock.now();
        for (node, slots) in self.shared().slots.queue_of(self.id(), now) {
            fill_in(&mut view, &node, slots);
        }
        let lease = match self.shared().leases.of(self.id()) {
            Some(lease) => LeaseState::Held(lease),
            None => self.shared().store.lease(self.id(), now).await?,
        };
        view.waits_for = self.waits_for(&state, &lease, now);
        view.lease = lease.held().map(|Lease { worker, epoch, until, .. }| LeaseView { worker, epoch, until });
        Ok(view)
    }

    /// What the run as a whole waits for, as far as this engine knows.
    fn waits_for(&self, state: &RunState, lease: &LeaseState, now: Timestamp) -> Option<RunWaitsFor> {
        let shared = self.shared();
        let held = matches!(lease, LeaseState::Held(_));
        if let Some(error) = shared.blocked.reason(self.id()).filter(|_| !held) {
            return Some(RunWaitsFor::Blocked { reason: error.to_string() });
        }
        if let Some(reason) = shared.slots.deadlock_of(self.id()).or_else(|| broken_invariant(state)) {
            return Some(RunWaitsFor::Stuck { reason });
        }
        // One that waits for slots is parked with the engine whose limits it is under.
        let due = wake_at(state).filter(|due| *due <= now && *due != QUEUED_AT)?;
        if *lease != LeaseState::Free || shared.live.is_driven(self.id()) {
            return None;
        }
        let since = due.max(state.updated_at());
        let capacity = shared.capacity.used_up(shared.busy());
        Some(capacity.map_or(RunWaitsFor::Engine { since }, |runs_max| RunWaitsFor::Capacity { runs_max }))
    }
}

/// Adds places in queues. An attempt whose driver was lost may wait for its slots again while it counts as running.
fn fill_in(view: &mut RunView, node: &Name, queue: Vec<SlotWait>) {
    let Some(node) = view.nodes.iter_mut().find(|known| known.name == *node) else { return };
    if !matches!(node.status, NodeStatus::Queued | NodeStatus::Running) {
        return;
    }
    let known = node.waits_for.iter_mut().find_map(|wait| match wait {
        WaitsFor::Slots { slots } => Some(slots),
        _ => None,
    });
    match known {
        Some(slots) => *slots = queue,
        None => node.waits_for.insert(0, WaitsFor::Slots { slots: queue }),
    }
}
