//! The builder of an engine.

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

/// How long an idle run stays in memory.
const PARK_AFTER: Duration = Duration::from_secs(1);

/// How long a lease lasts unless it is renewed.
const LEASE: Duration = Duration::from_secs(30);

/// How many events after the last snapshot a new one is worth its cost. As many commits as one read of the store
/// returns are read in a few milliseconds.
const SNAPSHOT_EVENTS: u64 = 1024;

/// Configures and starts an engine. Created by [`Engine::builder`].
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

/// Wraps a task: returns what is called instead of it.
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
    /// Sets the store that holds the journals. Without one, journals are kept in memory and are lost when the process
    /// ends.
    pub fn store(self, store: impl Store) -> Self {
        self.shared_store(Arc::new(store))
    }

    /// Like [`store`](Self::store), for a store that is used elsewhere too.
    pub fn shared_store(self, store: Arc<dyn Store>) -> Self {
        Self { store: Some(store), ..self }
    }

    /// Sets the source of time. Default: the system clock.
    pub fn clock(self, clock: impl Clock) -> Self {
        Self { clock: Arc::new(clock), ..self }
    }

    /// How long a run that only waits stays in memory. Default: 1 second.
    pub fn park_after(self, idle: Duration) -> Self {
        Self { park_after: idle, ..self }
    }

    /// How long a run stays with an engine that has stopped responding before another engine on the same store takes it
    /// over. Default: 30 seconds; use more than two. Leases are renewed every third of this time. On a store that
    /// several processes share, they expire after seven eighths of it: the rest is for noticing.
    pub fn lease(self, lease: Duration) -> Self {
        Self { lease: lease.max(Duration::from_millis(3)), ..self }
    }

    /// Names this engine among those on the same store. An engine that starts with the name of one that died takes over
    /// its runs at once, without waiting for their leases to expire. If the other engine is still alive, it is fenced.
    /// Without a name, each start generates a new one.
    pub fn worker(self, name: &str) -> Self {
        Self { worker: Some(name.to_owned()), ..self }
    }

    /// The engine's capacity: how many runs it drives at once. Default: unlimited. Runs beyond it that are started or
    /// due stay in the store until this engine has capacity or another one on the same store takes them; this is how
    /// runs and child runs spread over machines. A run that is sent something is driven in any case.
    ///
    /// With 0 it drives none: the runs that it starts, and the letters that it sends, are for other engines on the same
    /// store. Its tasks are never called, but it must know their names, because a workflow is checked where it is
    /// started.
    ///
    /// A run that only waits does not count: it is parked or, if it holds slots, stays in memory beside the others.
    /// Neither does a run that waits for child runs, whatever else its tasks do.
    pub fn runs_max(self, runs: usize) -> Self {
        Self { runs_max: runs, ..self }
    }

    /// How many events apart snapshots of a run's state are taken. Default: 1,024. A snapshot saves reading the journal
    /// before it when the run is loaded again. In a long journal snapshots are farther apart: half its length.
    pub fn snapshot_every(self, events: u64) -> Self {
        Self { snapshot_events: events.max(1), ..self }
    }

    /// Defines a limit that nodes can refer to.
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

    /// How long runs are kept after they have ended. Default: forever.
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

    /// Registers a task for workflows that are loaded as data, and for nodes that are added to a running workflow.
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

    /// Wraps every task: `around` receives each one and returns what is called instead. For measurements, and for tests
    /// that make tasks fail. A later wrapper is put around the earlier ones.
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

    /// Starts the engine on the current tokio runtime. Runs that an earlier process left unfinished continue at once.
    ///
    /// # Errors
    /// If a name is invalid or used twice; if the engine has a name and the store cannot be written.
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
        // IMPORTANT: before anything is driven. If the caller drops this future before it is ready, the engine ends
        // with its handle.
        let engine = Engine::new(Arc::clone(&shared));
        // Not counted among the jobs that it waits for.
        tokio::spawn(closing::close(Arc::clone(&shared)));
        if !shared.capacity.is_closed() {
            let looked = waker::wake_first(&shared).await;
            shared.run_restarting("waker", move |shared| waker::watch(shared, looked));
            shared.run_restarting("inbox", inbox::listen);
        }
        shared.run_restarting("leases", leases::renew);
        if shared.store.is_shared() {
            shared.run_restarting("leases", leases::end);
        }
        shared.run_restarting("slots", grants::hand_out);
        if !shared.slots.none() {
            shared.run_restarting("deadlocks", deadlock::watch);
        }
        shared.run_restarting("retention", move |shared| retention::sweep(shared, self.retention));
        shared.run_restarting("schedules", schedule::tick);
        shared.run_restarting("upgrade", upgrade::log);
        Ok(engine)
    }
}
