//! The engine: one value that an application holds, and through it all of its runs.

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

/// Runs workflows. Cheap to clone; when the last clone is dropped the engine stops driving, and the runs go on at the
/// next start on the same store.
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

    /// Begins an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { _stop: Arc::new(StopOnDrop(Arc::clone(&shared))), shared }
    }

    /// Prepares a run of the registered workflow named `workflow`.
    pub fn run(&self, workflow: &str) -> RunRequest {
        let plan = self.shared.code.plan(workflow);
        let unknown = || Error::new(ErrorKind::NotFound, format!("no workflow `{workflow}` is registered"));
        self.request(plan.ok_or_else(unknown))
    }

    /// Prepares a run of a workflow that came as data. Its tasks must be registered with the engine.
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

    /// The run with this id; `None` when there is none.
    ///
    /// # Errors
    /// When the id is none, or the store cannot be read.
    pub async fn get(&self, id: impl AsRef<str>) -> Result<Option<Run>, Error> {
        let run = self.handle(id)?;
        let found = self.shared.store.record(run.id()).await?;
        Ok(found.map(|_| run))
    }

    /// A handle to the run with this id, whether there is one or not: nothing is read. What is asked of it tells.
    ///
    /// # Errors
    /// When the id is none.
    pub fn handle(&self, id: impl AsRef<str>) -> Result<Run, Error> {
        Ok(Run::new(Arc::clone(&self.shared), RunId::new(id)?))
    }

    /// Runs, newest first, filtered and paged.
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
    /// When the store cannot be read.
    pub async fn list(&self, query: &RunQuery) -> Result<Page<RunRecord>, Error> {
        Ok(self.shared.store.list(query).await?)
    }

    /// All runs that match `query`, newest first, however many there are. They are read page by page, as they are asked for;
    /// the query's limit is the size of a page.
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

    /// The pulse of all runs that this engine drives: which of them have new events. For those who show many runs at
    /// once; [`Run::events`] then reads what is new.
    #[must_use]
    pub fn feed(&self) -> Feed {
        Feed(self.shared.live.feed_from_now())
    }

    /// Runs that should go on and cannot in this process, with the reason: a task that is not registered, a journal
    /// that is damaged, a store that fails. Sending such a run anything tries again.
    #[must_use]
    pub fn blocked(&self) -> Vec<(RunId, Error)> {
        self.shared.blocked.all()
    }

    /// The store, for an application's own small values.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.shared.store)
    }

    /// Shuts down without cutting steps short: takes up no run and begins no step from now on, and gives those under way the
    /// time `within` to end and become durable; then as [`shutdown`](Self::shutdown). Answers whether all of them did: what
    /// did not is done again, by another engine at once or at the next start. Code between steps is not waited for.
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

    /// Stops driving and returns when every run has been left in good order: commits under way are answered, futures of
    /// tasks are dropped. The runs go on at the next start. Nothing but handles holds the store then: once they are dropped,
    /// it can be opened again at once. Waits end with an error of kind [`ErrorKind::ShutDown`], feeds with `None`.
    pub async fn shutdown(&self) {
        self.shared.shutdown.send_replace(true);
        // The sender is a field of ours: it cannot be gone.
        drop(self.shared.closed.subscribe().wait_for(|closed| *closed).await);
    }
}
