//! How an engine begins.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Name, WorkerId};
use crate::store::{MemoryStore, Store};

use super::handle::Engine;
use super::retention::Retention;
use super::{closing, deadlock, grants, retention, upgrade};
use crate::runtime::clock::{Clock, SystemClock, fresh_id};
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::limiter::Limit;
use crate::runtime::ownership::{inbox, leases, waker};
use crate::runtime::schedule;
use crate::runtime::shared::registry::Registry;
use crate::runtime::shared::{Parts, Shared};
use crate::runtime::support::panics;
use crate::runtime::task::code::{ErasedTask, IntoTask};
use crate::runtime::workflow::definition::Workflow;

/// How long a run that only waits stays in memory.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// How long a lease lasts without being renewed.
const LEASE: Duration = Duration::from_secs(30);

/// Events after which a snapshot of a run is worth its price: as many commits as are read from a store at once are read
/// in a few milliseconds.
const SNAPSHOT_EVENTS: u64 = 1024;

/// An engine about to be started. Made by [`Engine::builder`].
#[must_use = "an engine does nothing until it is started"]
pub struct EngineBuilder {
    store: Option<Arc<dyn Store>>,
    clock: Arc<dyn Clock>,
    park_after: Duration,
    lease: Duration,
    worker: Option<String>,
    runs_max: usize,
    snapshot_events: u64,
    limits: Vec<Limit>,
    retention: Retention,
    code: Registry,
    around: Vec<Around>,
    mistake: Option<Error>,
}

/// Gives what is called in a task's place.
type Around = Box<dyn Fn(Arc<dyn ErasedTask>) -> Arc<dyn ErasedTask> + Send>;

impl Default for EngineBuilder {
    fn default() -> Self {
        Self {
            store: None,
            clock: Arc::new(SystemClock),
            park_after: PARK_AFTER,
            lease: LEASE,
            worker: None,
            runs_max: usize::MAX,
            snapshot_events: SNAPSHOT_EVENTS,
            limits: Vec::new(),
            retention: Retention::default(),
            code: Registry::default(),
            around: Vec::new(),
            mistake: None,
        }
    }
}

impl fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineBuilder").field("workflows", &self.code.plans.keys()).finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Where the journals live. Without one they live in memory and end with the process.
    pub fn store(self, store: impl Store) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// The same with a store that others hold too.
    pub fn shared_store(self, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Where the time comes from; the system's clock unless a test says otherwise.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// How long a run that only waits stays in memory; a second unless said otherwise.
    pub fn park_after(self, idle: Duration) -> Self {
        Self { park_after: idle, ..self }
    }

    /// How long a run stays with an engine that does not say anything any more before another one on the same store has
    /// taken it; 30 seconds unless said otherwise, more than two are wise. Leases are renewed every third of it. On a store
    /// that several processes share they run out after seven eighths of it: the rest is for noticing.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: lease.max(Duration::from_millis(3)), ..self }
    }

    /// Names this engine among those on the same store. An engine that starts with the name of one that died goes on at once
    /// with the runs that it left, without waiting for their leases to run out; should the other one live, it is fenced.
    /// Without a name each start makes a new one.
    pub fn worker(self, name: &str) -> Self {
        Self { worker: Some(name.to_owned()), ..self }
    }

    /// How many runs this engine drives at once: any number unless said otherwise. Those that are started or due on top
    /// of it stay in the store, for this engine when it has room or for another one on the same store: so runs, and child
    /// runs, spread over machines. Runs that somebody sends something to are driven in any case.
    ///
    /// With 0 it drives none: what it starts, and what it sends to runs, is for other engines on the same store. Its tasks are
    /// never called; it must know their names, for a workflow is checked where it is started.
    ///
    /// A run that only waits does not count: it is parked, or, when it holds slots, stays in memory beside the others. Nor
    /// does one that waits for child runs, whatever its tasks do beside that.
    pub fn runs_max(self, runs: usize) -> Self {
        Self { runs_max: runs, ..self }
    }

    /// After how many events of a run a snapshot of its state is kept, which saves reading what is before it when the run is
    /// taken up again; 1,024 unless said otherwise. In a long journal they are farther apart: half its length.
    pub fn snapshot_every(self, events: u64) -> Self {
        Self { snapshot_events: events.max(1), ..self }
    }

    /// Defines a limit that nodes can be under.
    pub fn limit(mut self, limit: Limit) -> Self {
        match limit.name() {
            Err(error) => self.note(error.into()),
            Ok(name) if self.limits.iter().any(|known| known.name().as_ref() == Ok(&name)) => {
                self.note(Error::new(ErrorKind::Invalid, format!("two limits are named `{name}`")));
            }
            Ok(_) => self.limits.push(limit),
        }
        self
    }

    /// How long runs are kept after they have ended; for ever unless said otherwise.
    pub fn retention(self, retention: Retention) -> Self {
        Self { retention, ..self }
    }

    /// Registers a workflow.
    pub fn workflow(mut self, workflow: Workflow) -> Self {
        let name = workflow.name().clone();
        if self.code.plans.insert(name.clone(), workflow.plan).is_some() {
            self.note(Error::new(ErrorKind::Invalid, format!("two workflows are named `{name}`")));
        }
        self.code.workflow_tasks.insert(name, workflow.tasks);
        self
    }

    /// Registers a task for workflows that come as data, and for nodes that are added while a run is under way.
    pub fn task<Marker>(mut self, name: &str, task: impl IntoTask<Marker>) -> Self {
        let registered = Name::new(name).map_err(Error::from).and_then(|name| {
            let twice = Error::new(ErrorKind::Invalid, format!("two tasks are named `{name}`"));
            self.code.tasks.insert(name, task.into_task()).map_or(Ok(()), |_| Err(twice))
        });
        if let Err(error) = registered {
            self.note(error);
        }
        self
    }

    /// Puts something around every task: `around` gets each one and gives what is called in its place. For measuring, and
    /// for tests that let tasks fail. A later one is put around those before it.
    pub fn around(mut self, around: impl Fn(Arc<dyn ErasedTask>) -> Arc<dyn ErasedTask> + Send + 'static) -> Self {
        self.around.push(Box::new(around));
        self
    }

    fn put_around(&mut self) {
        for around in self.around.drain(..) {
            let own = self.code.workflow_tasks.values_mut().flat_map(HashMap::values_mut);
            for task in self.code.tasks.values_mut().chain(own) {
                *task = around(Arc::clone(task));
            }
        }
    }

    fn note(&mut self, mistake: Error) {
        self.mistake.get_or_insert(mistake);
    }

    /// Starts the engine on the current tokio runtime. Runs that a process before left unfinished go on at once.
    ///
    /// # Errors
    /// When a name is none or is used twice; for an engine with a name, when the store cannot be written.
    pub async fn start(mut self) -> Result<Engine, Error> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        self.put_around();
        panics::install_hook();
        let store = self.store.unwrap_or_else(|| Arc::new(MemoryStore::new()));
        let worker = match self.worker {
            None => WorkerId::new(format!("w-{}", fresh_id()))?,
            Some(name) => {
                let worker = WorkerId::new(name)?;
                store.release_all(&worker).await?;
                worker
            }
        };
        let shared = Arc::new(Shared::new(Parts {
            store,
            clock: self.clock,
            worker,
            park_after: self.park_after,
            lease: self.lease,
            runs_max: self.runs_max,
            snapshot_events: self.snapshot_events,
            limits: self.limits,
            code: self.code,
        }));
        shared.neighbours.enter(&shared);
        // IMPORTANT: before anything is driven. Should the caller not wait for the start to end, the engine ends with its handle.
        let engine = Engine::new(Arc::clone(&shared));
        // Not one of those that it waits for.
        tokio::spawn(closing::close(Arc::clone(&shared)));
        if !shared.capacity.is_closed() {
            let looked = waker::wake_first(&shared).await;
            shared.keep_doing("waker", move |shared| waker::watch(shared, looked));
            shared.keep_doing("inbox", inbox::hear);
        }
        shared.keep_doing("leases", leases::renew);
        if shared.store.is_shared() {
            shared.keep_doing("leases", leases::end);
        }
        shared.keep_doing("slots", grants::hand_out);
        if !shared.slots.none() {
            shared.keep_doing("deadlocks", deadlock::watch);
        }
        shared.keep_doing("retention", move |shared| retention::sweep(shared, self.retention));
        shared.keep_doing("schedules", schedule::tick);
        shared.keep_doing("upgrade", upgrade::log);
        Ok(engine)
    }
}
