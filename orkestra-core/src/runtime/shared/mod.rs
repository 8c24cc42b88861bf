//! What all parts of an engine share, and how its runs are reached.

mod ask;
pub(super) mod begin;
mod keep;
pub(super) mod ticking;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::kernel::{InputKind, RunState};
use crate::model::{Growth, Name, NodeKind, NodeSpec, Plan, RunId, Seq, Timestamp, WorkerId};
use crate::store::Store;

use self::ticking::Ticking;
use crate::runtime::clock::Clock;
use crate::runtime::driver::Driver;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::limiter::Limit;
use crate::runtime::limiter::slots::Slots;
use crate::runtime::ownership::capacity::Capacity;
use crate::runtime::ownership::claims::{Claimer, Claims};
use crate::runtime::ownership::leases::Leases;
use crate::runtime::ownership::live::{Live, Registration};
use crate::runtime::ownership::neighbours::Neighbours;
use crate::runtime::storage::committer::Committer;
use crate::runtime::support::drain::Drain;
use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::timeout::Timeout;
use crate::runtime::support::watch;
use crate::runtime::task::code::ErasedTask;
use crate::runtime::task::message::Message;
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
    plans: HashMap<Name, Arc<Plan>>,
    tasks: HashMap<Name, Arc<dyn ErasedTask>>,
    workflow_tasks: HashMap<Name, HashMap<Name, Arc<dyn ErasedTask>>>,
    blocked: Mutex<BTreeMap<RunId, Blocked>>,
}

/// Why this engine does not drive a run that should go on.
struct Blocked {
    error: Error,
    /// When it is tried again, by a clock that nobody sets; never by itself when there is none.
    retry_at: Option<Instant>,
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
    pub(super) plans: HashMap<Name, Arc<Plan>>,
    pub(super) tasks: HashMap<Name, Arc<dyn ErasedTask>>,
    pub(super) workflow_tasks: HashMap<Name, HashMap<Name, Arc<dyn ErasedTask>>>,
}

impl Shared {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            store,
            clock,
            worker,
            park_after,
            lease,
            runs_max,
            snapshot_events,
            limits,
            plans,
            tasks,
            workflow_tasks,
        } = parts;
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
            plans,
            tasks,
            workflow_tasks,
            blocked: Mutex::default(),
        }
    }

    /// The registered workflow of this name.
    pub(super) fn plan(&self, workflow: &str) -> Option<Arc<Plan>> {
        self.plans.get(workflow).cloned()
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

    /// The code of a task: the workflow's own, or one registered for all.
    pub(super) fn task(&self, workflow: &Name, task: &Name) -> Option<Arc<dyn ErasedTask>> {
        let own = self.workflow_tasks.get(workflow).and_then(|tasks| tasks.get(task));
        own.or_else(|| self.tasks.get(task)).cloned()
    }

    pub(super) fn missing_task(&self, plan: &Plan) -> Option<Name> {
        let nodes = plan.nodes().iter().map(|node| &node.spec);
        self.missing(plan.workflow(), nodes)
    }

    /// A limit that the plan's nodes are under and that this engine does not define.
    pub(super) fn missing_limit(&self, plan: &Plan) -> Option<Name> {
        let mut limits = plan.nodes().iter().flat_map(|node| &node.spec.limits);
        limits.find(|slot| !self.slots.knows(&slot.limit)).map(|slot| slot.limit.clone())
    }

    pub(super) fn missing_growth_task(&self, state: Option<&RunState>, growth: &Growth) -> Option<Name> {
        self.missing(state?.plan().workflow(), growth.nodes.iter())
    }

    fn missing<'a>(&self, workflow: &Name, mut nodes: impl Iterator<Item = &'a NodeSpec>) -> Option<Name> {
        nodes.find_map(|node| {
            let task = match &node.kind {
                NodeKind::Task(task) => Some(task),
                NodeKind::Gate(_) => None,
            };
            task.into_iter().chain(&node.compensate).find(|task| self.task(workflow, task).is_none()).cloned()
        })
    }

    /// Lets the run's driver decide on something; answers when what follows is durable.
    /// A run that another engine drives finds it in its inbox.
    pub(super) async fn tell(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<(), Error> {
        self.tell_surely(run, kind).await.map(drop)
    }

    /// The same; answers whether it was decided on, and does not wait in the run's inbox still.
    pub(super) async fn tell_surely(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<bool, Error> {
        let begins = matches!(kind, InputKind::Create { .. } | InputKind::Fork { .. } | InputKind::CancelChild { .. });
        if self.capacity.is_closed() && !begins {
            return self.post(run, kind).await;
        }
        match self.tell_driver(run, kind.clone()).await {
            Err(error) if error.is_elsewhere() => self.post(run, kind).await,
            // Another engine may drive it, now or later. On a store of our own alone there is none, but one that comes
            // after us: the end of a child waits for it, and whoever calls a verb is better told why nothing happens.
            Err(error) if error.is_not_drivable() && (self.others_may_drive() || kind.is_owed()) => {
                self.post(run, kind).await
            }
            told => told.map(|()| true),
        }
    }

    async fn tell_driver(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.deliver(run, Message::Input { kind, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(self.unanswered(run)))
    }

    /// Why a driver ended before it answered.
    fn unanswered(&self, run: &RunId) -> Error {
        if self.shutdown.get() {
            return Error::shut_down();
        }
        let gone = || Error::new(ErrorKind::Unknown, "the run's driver ended before it answered");
        self.blocked_by(run).unwrap_or_else(gone)
    }

    async fn deliver(self: &Arc<Self>, run: &RunId, mut message: Message) -> Result<(), Error> {
        loop {
            if self.shutdown.get() {
                return Err(Error::shut_down());
            }
            match Self::ensure_driven(self, run).send(message).await {
                Ok(()) => return Ok(()),
                // The driver was about to leave: the next one takes it.
                Err(returned) => message = returned.0,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Passes a message on that reached a driver which was about to leave.
    pub(super) fn forward(self: &Arc<Self>, run: &RunId, message: Message) {
        let (shared, run) = (Arc::clone(self), run.clone());
        self.jobs.spawn(async move {
            // Whoever sent it learns from the dropped reply that the engine shuts down.
            drop(shared.deliver(&run, message).await);
        });
    }

    /// The way to the run's driver, which is started if need be.
    pub(super) fn ensure_driven(shared: &Arc<Self>, run: &RunId) -> tokio::sync::mpsc::Sender<Message> {
        match shared.live.driver(run) {
            Ok(sender) => sender,
            Err(channels) => {
                shared.blocked().remove(run);
                let sender = channels.sender.clone();
                let registration = Registration::new(shared, run, &channels);
                shared.jobs.spawn(Driver::new(Arc::clone(shared), run.clone(), channels).drive(registration));
                sender
            }
        }
    }

    /// The run is not driven any more; it is tried again at `retry_at`, or when somebody sends it something.
    pub(super) fn block(&self, run: &RunId, error: Error, retry_at: Option<Instant>) {
        self.blocked().insert(run.clone(), Blocked { error, retry_at });
    }

    /// The run is tried again, or has ended, or is not there any more.
    pub(super) fn unblock_run(&self, run: &RunId) {
        self.blocked().remove(run);
    }

    /// The runs that should go on and cannot here, with the reason.
    pub(super) fn blocked_runs(&self) -> Vec<(RunId, Error)> {
        self.blocked().iter().map(|(run, blocked)| (run.clone(), blocked.error.clone())).collect()
    }

    /// Why this engine does not drive the run although it should.
    pub(super) fn blocked_by(&self, run: &RunId) -> Option<Error> {
        self.blocked().get(run).map(|blocked| blocked.error.clone())
    }

    /// Whether a run that cannot be driven here may be driven by another engine: of another process, or of this one.
    pub(super) fn others_may_drive(&self) -> bool {
        self.store.is_shared() || self.neighbours.any()
    }

    /// Why those who wait for the run wait in vain, as far as this engine can tell.
    pub(super) fn given_up_on(&self, run: &RunId) -> Option<Error> {
        self.blocked_by(run).filter(|error| !(error.is_not_drivable() && self.others_may_drive()))
    }

    /// Whether the run is blocked and not to be tried again yet.
    pub(super) fn is_blocked_still(&self, run: &RunId) -> bool {
        let now = Instant::now();
        self.blocked().get(run).is_some_and(|blocked| blocked.retry_at.is_none_or(|at| at > now))
    }

    /// Forgets what is to be tried again by now. Another engine may have gone on with it.
    pub(super) fn unblock(&self) {
        let now = Instant::now();
        self.blocked().retain(|_, blocked| blocked.retry_at.is_none_or(|at| at > now));
    }

    fn blocked(&self) -> MutexGuard<'_, BTreeMap<RunId, Blocked>> {
        self.blocked.lock().unwrap_or_else(PoisonError::into_inner)
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
