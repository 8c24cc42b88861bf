//! The view of a run: its state, and what only an engine or the store knows about why it waits.
//!
//! Nothing is stored: it is computed on request. It must never change anything.

use crate::kernel::{NodeStatus, QUEUED_AT, RunState, broken_invariant, wake_at};
use crate::model::{Name, Timestamp};
use crate::projection::{LeaseView, RunView, RunWaitsFor, SlotWait, WaitsFor};
use crate::store::{Lease, LeaseState};

use super::handle::Run;
use crate::runtime::error::Error;
use crate::runtime::storage::load::load;

impl Run {
    /// Returns the run's nodes and their states, as far as they are durable, and what each waits for: see
    /// [`RunView::waits_for`] and [`NodeView::waits_for`](crate::projection::NodeView::waits_for). Any engine on the store
    /// can answer; only the engine that drives the run knows its places in the queues of limits.
    ///
    /// # Errors
    /// If the store cannot be read, the journal is damaged, or the run does not exist.
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
        // This engine keeps its lease while it keeps the tasks of a blocked run.
        let is_elsewhere = matches!(lease, LeaseState::Held(lease) if lease.worker != shared.worker);
        if let Some(error) = shared.blocked.reason(self.id()).filter(|_| !is_elsewhere) {
            return Some(RunWaitsFor::Blocked { reason: error.to_string() });
        }
        if let Some(reason) = shared.slots.deadlock_of(self.id()).or_else(|| broken_invariant(state)) {
            return Some(RunWaitsFor::Stuck { reason });
        }
        // A run that waits for slots is parked in the engine whose limits apply.
        let due = wake_at(state).filter(|due| *due <= now && *due != QUEUED_AT)?;
        if *lease != LeaseState::Free || shared.live.is_driven(self.id()) {
            return None;
        }
        let since = due.max(state.updated_at());
        let capacity = shared.capacity.used_up(shared.busy());
        Some(capacity.map_or(RunWaitsFor::Engine { since }, |runs_max| RunWaitsFor::Capacity { runs_max }))
    }
}

/// Adds places in queues. A running attempt whose driver was lost may be waiting for its slots again.
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
