//! The engine's handle: what an application holds to start and find runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Payload, Plan, RunId, RunOptions, WorkflowSpec};
use crate::store::{Page, Pager, RunQuery, RunRecord, Store};

use super::builder::EngineBuilder;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::run::events::Feed;
use crate::runtime::run::handle::Run;
use crate::runtime::run::request::RunRequest;
use crate::runtime::shared::Shared;

/// Runs workflows. Cheap to clone. When the last clone is dropped, the engine stops driving runs; they continue when an
/// engine starts on the same store again.
#[derive(Clone)]
pub struct Engine {
    shared: Arc<Shared>,
    _stop: Arc<StopOnDrop>,
}

struct StopOnDrop(Arc<Shared>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.shutdown.send_replace(true);
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("store", &self.shared.store.describe()).finish_non_exhaustive()
    }
}

impl Engine {
    pub(in crate::runtime) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Returns a builder for an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { _stop: Arc::new(StopOnDrop(Arc::clone(&shared))), shared }
    }

    /// Prepares a run of the registered workflow named `workflow`.
    pub fn run(&self, workflow: &str) -> RunRequest {
        let plan = self.shared.code.plan(workflow);
        let unknown = || Error::new(ErrorKind::NotFound, format!("workflow `{workflow}` is not registered"));
        self.request(plan.ok_or_else(unknown))
    }

    /// Prepares a run of a workflow that was loaded as data. Its tasks must be registered with the engine.
    pub fn run_spec(&self, spec: &WorkflowSpec) -> RunRequest {
        self.request(Plan::new(spec).map(Arc::new).map_err(Error::from))
    }

    fn request(&self, plan: Result<Arc<Plan>, Error>) -> RunRequest {
        let shared = Arc::clone(&self.shared);
        RunRequest {
            shared,
            plan,
            id: None,
            input: Ok(Payload::null()),
            labels: BTreeMap::new(),
            options: RunOptions::default(),
            within: None,
        }
    }

    /// Returns the run with this id, or `None` if it does not exist.
    ///
    /// # Errors
    /// If the id is invalid, or the store cannot be read.
    pub async fn get(&self, id: impl AsRef<str>) -> Result<Option<Run>, Error> {
        let run = self.handle(id)?;
        let found = self.shared.store.record(run.id()).await?;
        Ok(found.map(|_| run))
    }

    /// Returns a handle to the run with this id without reading the store. If the run does not exist, the handle's
    /// methods say so.
    ///
    /// # Errors
    /// If the id is invalid.
    pub fn handle(&self, id: impl AsRef<str>) -> Result<Run, Error> {
        Ok(Run::new(Arc::clone(&self.shared), RunId::new(id)?))
    }

    /// Lists runs, newest first, filtered and paged.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workflow = Workflow::new("ask").gate::<bool>("approve").build()?;
    /// # let engine = Engine::builder().workflow(workflow).start().await?;
    /// for day in ["monday", "tuesday", "wednesday"] {
    ///     engine.run("ask").id(day).label("team", "blue").start().await?;
    /// }
    /// let labels = [("team".to_owned(), "blue".to_owned())].into();
    /// let query = RunQuery { statuses: RunStatus::LIVE.into(), labels, limit: 2, ..RunQuery::default() };
    /// let page = engine.list(&query).await?;
    /// assert_eq!(page.items.len(), 2);
    /// let rest = engine.list(&RunQuery { cursor: page.next, ..query }).await?;
    /// assert_eq!((rest.items.len(), rest.next), (1, None));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, Error> {
        Ok(self.shared.store.list(query).await?)
    }

    /// Lists all runs that match `query`, newest first. Pages are read as they are needed; the query's limit is the
    /// size of a page.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workflow = Workflow::new("ask").gate::<bool>("approve").build()?;
    /// # let engine = Engine::builder().workflow(workflow).start().await?;
    /// # engine.run("ask").start().await?;
    /// let mut live = engine.runs(RunQuery { statuses: RunStatus::LIVE.into(), ..RunQuery::default() });
    /// while let Some(record) = live.next().await? {
    ///     println!("{} is {}", record.id, record.status);
    /// }
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn runs(&self, query: RunQuery) -> Pager {
        Pager::new(self.store(), query)
    }

    /// Announces which of the runs that this engine drives have new events. For programs that show many runs at once;
    /// [`Run::events`] then reads the events.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(self.shared.live.feed_from_now())
    }

    /// Runs that should continue but cannot in this process, with the reason: a task that is not registered, a damaged
    /// journal, a store that fails. Sending such a run anything tries again.
    #[must_use]
    pub fn blocked(&self) -> Vec<(RunId, Error)> {
        self.shared.blocked.all()
    }

    /// The store, for an application's own small values.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.shared.store)
    }

    /// Shuts down without interrupting steps. From now on no run is claimed and no step begins; running steps have the
    /// time `within` to finish and become durable. Then shuts down like [`shutdown`](Self::shutdown). Returns whether
    /// all steps finished in time: those that did not are repeated, by another engine at once or at the next start.
    /// Code between steps is not waited for.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let engine = Engine::builder().start().await?;
    /// // When the system asks the process to end:
    /// assert!(engine.drain(secs(20)).await);
    /// # Ok(()) }
    /// ```
    pub async fn drain(&self, within: Duration) -> bool {
        let drained = tokio::time::timeout(within, self.shared.drain.empty()).await.is_ok();
        self.shutdown().await;
        drained
    }

    /// Stops driving and returns when every run has been left in good order: pending commits are answered, futures of
    /// tasks are dropped. The runs continue at the next start. After that only handles hold the store; once they are
    /// dropped, it can be opened again at once. Pending waits end with an error of kind [`ErrorKind::ShutDown`], feeds
    /// with `None`.
    pub async fn shutdown(&self) {
        self.shared.shutdown.send_replace(true);
        // An error is impossible: the sender is a field of `shared`.
        drop(self.shared.closed.subscribe().wait_for(|closed| *closed).await);
    }
}
