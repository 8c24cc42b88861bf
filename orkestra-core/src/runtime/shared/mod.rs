//! What all parts of an engine share, and how its runs are reached.

mod ask;
pub(super) mod begin;
mod blocked;
mod keep;
pub(super) mod registry;
mod router;
pub(super) mod ticking;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{Name, Plan, Seq, Timestamp, WorkerId};
use crate::store::Store;

use self::blocked::BlockedRuns;
use self::registry::Registry;
use self::ticking::Ticking;
use crate::runtime::clock::Clock;
use crate::runtime::limiter::Limit;
use crate::runtime::limiter::slots::Slots;
use crate::runtime::ownership::capacity::Capacity;
use crate::runtime::ownership::claims::{Claimer, Claims};
use crate::runtime::ownership::leases::Leases;
use crate::runtime::ownership::live::Live;
use crate::runtime::ownership::neighbours::Neighbours;
use crate::runtime::storage::committer::Committer;
use crate::runtime::support::drain::Drain;
use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::timeout::Timeout;
use crate::runtime::support::watch;
use crate::runtime::telemetry::Telemetry;

/// What all parts of an engine share.
pub(super) struct Shared {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) committer: Committer,
    pub(super) claims: Claims,
    pub(super) live: Live,
    pub(super) worker: WorkerId,
    pub(super) park_after: Duration,
    pub(super) lease: Duration,
    lease_lasts: Duration,
    pub(super) timeout: Timeout,
    snapshot_events: u64,
    pub(super) drain: Arc<Drain>,
    pub(super) capacity: Capacity,
    pub(super) leases: Leases,
    pub(super) slots: Slots,
    pub(super) telemetry: Telemetry,
    pub(super) schedules: Ticking,
    /// All that runs beside the callers, but for `keepers`.
    pub(super) jobs: Jobs,
    /// Those who keep the journals: they end when all others have.
    pub(super) keepers: Jobs,
    pub(super) neighbours: Neighbours,
    pub(in crate::runtime) shutdown: watch::Sender<bool>,
    /// Tells the keepers to end.
    pub(in crate::runtime) stopped: watch::Sender<bool>,
    /// Whether nothing of the engine holds the store any more.
    pub(in crate::runtime) closed: watch::Sender<bool>,
    /// Told when a run was parked that has a wake-up time.
    pub(super) parked: Notify,
    pub(super) code: Registry,
    pub(super) blocked: BlockedRuns,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("worker", &self.worker).finish_non_exhaustive()
    }
}

/// What a builder brings.
pub(super) struct Parts {
    pub(super) store: Arc<dyn Store>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) worker: WorkerId,
    pub(super) park_after: Duration,
    pub(super) lease: Duration,
    pub(super) runs_max: usize,
    pub(super) snapshot_events: u64,
    pub(super) limits: Vec<Limit>,
    pub(super) code: Registry,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts { store, clock, worker, park_after, lease, runs_max, snapshot_events, limits, code } = parts;
        let telemetry = Telemetry::start();
        // Another engine looks for what has run out now and then: so it has a run before the whole time is gone.
        let lease_lasts = if store.is_shared() { lease / 8 * 7 } else { lease };
        let asked = Arc::clone(&clock);
        let timeout = Timeout::of_lease(&*store, lease);
        let (claims_of, name) = (Arc::clone(&store), worker.clone());
        let claimer = Claimer { store: claims_of, clock: asked, worker: name, lasts: lease_lasts, timeout };
        let write = Timeout::of_append(&*store, lease);
        let (keepers, stopped) = (Jobs::here(), watch::Sender::new(false));
        let (written, commits) = (Arc::clone(&store), telemetry.commits.clone());
        Self {
            claims: Claims::start(&keepers, claimer, stopped.subscribe()),
            committer: Committer::start(&keepers, written, write, commits, stopped.subscribe()),
            neighbours: Neighbours::on(&*store),
            jobs: Jobs::here(),
            keepers,
            stopped,
            closed: watch::Sender::new(false),
            store,
            clock,
            live: Live::new(telemetry.live.clone()),
            worker,
            park_after,
            lease,
            lease_lasts,
            timeout,
            snapshot_events,
            drain: Arc::default(),
            capacity: Capacity::new(runs_max),
            leases: Leases::default(),
            slots: Slots::new(limits),
            telemetry,
            schedules: Ticking::default(),
            shutdown: watch::Sender::new(false),
            parked: Notify::new(),
            code,
            blocked: BlockedRuns::default(),
        }
    }

    /// Returns when the engine is to shut down.
    pub(super) async fn down(&self) {
        // The sender is a field of ours: it cannot be gone.
        drop(self.shutdown.subscribe().wait_for(|down| *down).await);
    }

    /// Whether a journal that ends at `last` is long enough to have a snapshot.
    pub(super) const fn may_have_snapshot(&self, last: Seq) -> bool {
        last.0 >= self.snapshot_events
    }

    /// From which position on the next snapshot is taken after one at `last`: so many events later, or when the journal is
    /// half as long again.
    pub(super) fn next_snapshot(&self, last: Seq) -> Seq {
        last.plus(self.snapshot_events.max(last.0 / 2))
    }

    /// How many runs in memory take room.
    pub(super) fn busy(&self) -> usize {
        self.capacity.busy(self.live.count())
    }

    /// Whether a run that is in memory had better be driven by another engine, or later.
    pub(super) fn is_crowded(&self) -> bool {
        self.capacity.is_over(self.busy())
    }

    pub(super) fn lease_until(&self) -> Timestamp {
        self.clock.now().saturating_add(self.lease_lasts)
    }

    /// A limit that the plan's nodes are under and that this engine does not define.
    pub(super) fn missing_limit(&self, plan: &Plan) -> Option<Name> {
        let mut limits = plan.nodes().iter().flat_map(|node| &node.spec.limits);
        limits.find(|slot| !self.slots.knows(&slot.limit)).map(|slot| slot.limit.clone())
    }

    /// A run was parked with this wake-up time.
    pub(super) fn wake(&self, at: Option<Timestamp>) {
        if at.is_some() {
            self.parked.notify_one();
            // Whichever engine of the process is there then. On a store that others write to it looks by itself.
            if !self.store.is_shared() {
                self.neighbours.for_others(|other| other.parked.notify_one());
            }
        }
    }
}
