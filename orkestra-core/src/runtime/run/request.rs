//! The request that starts a run: its input and its options.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use crate::model::{Amount, Name, Payload, PayloadError, Plan, RunId, RunOptions};

use super::handle::Run;
use crate::runtime::clock::fresh_id;
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;
use crate::runtime::shared::begin::NewRun;

/// Configures and starts a run. Created by [`Engine::run`](crate::Engine::run).
#[derive(Debug)]
#[must_use = "a run begins when it is started"]
pub struct RunRequest {
    pub(in crate::runtime) shared: Arc<Shared>,
    pub(in crate::runtime) plan: Result<Arc<Plan>, Error>,
    pub(in crate::runtime) id: Option<Result<RunId, Error>>,
    pub(in crate::runtime) input: Result<Payload, PayloadError>,
    pub(in crate::runtime) labels: BTreeMap<String, String>,
    pub(in crate::runtime) options: RunOptions,
    pub(in crate::runtime) within: Option<Duration>,
}

impl RunRequest {
    /// Sets the run's id; the default is a new ULID. Starting twice with one id gives one run: the first.
    pub fn id(self, id: impl AsRef<str>) -> Self {
        Self { id: Some(RunId::new(id).map_err(Error::from)), ..self }
    }

    /// Sets the run's input: what the first nodes receive.
    ///
    /// # Errors
    /// If the value cannot be serialised to JSON, or is too large.
    pub fn input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self, Error> {
        Ok(Self { input: Ok(Payload::large(input)?), ..self })
    }

    /// Adds a label by which the run can be found.
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets the run's deadline, counted from its start. Then the run times out: it is stopped, and completed nodes are
    /// compensated.
    pub fn deadline(self, within: Duration) -> Self {
        Self { within: Some(within), ..self }
    }

    /// Sets the run's priority among runs that wait for the same slots: higher goes first. Default: 0.
    pub fn priority(mut self, priority: i32) -> Self {
        self.options.priority = priority;
        self
    }

    /// Limits how much the run may spend on `meter`. When its tasks have charged that much, the run is paused; raise
    /// the budget with [`Run::set_budget`] and resume it, or cancel it.
    ///
    /// # Errors
    /// If the meter's name is invalid.
    pub fn budget(mut self, meter: &str, limit: Amount) -> Result<Self, Error> {
        self.options.budget.insert(Name::new(meter)?, limit);
        Ok(self)
    }

    /// Pauses the run when this many processes in a row were lost while one of its attempts ran and finished no step: a task may
    /// be what ends them. Without it the attempt fails after
    /// [`INTERRUPTIONS_MAX`](crate::model::limits::INTERRUPTIONS_MAX) lost processes. An orderly shutdown does not count.
    pub fn lost_processes_max(mut self, times: NonZeroU32) -> Self {
        self.options.lost_processes_max = Some(times);
        self
    }

    /// Starts the run. It is durable when this returns.
    ///
    /// # Errors
    /// If the workflow is not registered or refers to tasks or limits that are not, the id is invalid, a label is
    /// invalid, a run with this id exists and has another workflow, or the store fails. After an error of kind
    /// [`ErrorKind::Unknown`](crate::ErrorKind::Unknown), start it again with the same id.
    pub async fn start(self) -> Result<Run, Error> {
        self.begin().await.map(|(run, _)| run)
    }

    /// Like [`start`](Self::start); also returns whether the run is new.
    pub(in crate::runtime) async fn begin(self) -> Result<(Run, bool), Error> {
        let plan = self.plan?;
        let id = self.id.unwrap_or_else(|| RunId::new(fresh_id()).map_err(Error::from))?;
        let deadline = self.within.map(|within| self.shared.clock.now().saturating_add(within));
        let options = RunOptions { deadline, ..self.options };
        let new = NewRun { plan, id: id.clone(), input: self.input?, labels: self.labels, options };
        let is_new = self.shared.begin_new(new).await?;
        Ok((Run::new(self.shared, id), is_new))
    }
}
