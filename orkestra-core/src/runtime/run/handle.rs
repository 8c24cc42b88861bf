//! The handle of one run, whether the run is in memory or not.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::journal::{Commit, Written};
use crate::kernel::{Event, InputKind, Outcome};
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{Amount, Name, Payload, Plan, RunId, Seq};
use crate::projection::{Graph, GraphFold, Timeline, TimelineFold};
use crate::store::{RunRecord, StoreErrorKind};

use super::events::{Cursor, Events};
use super::follow::Follower;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::ownership::damaged;
use crate::runtime::schedule;
use crate::runtime::shared::Shared;
use crate::runtime::storage::blobs;
use crate::runtime::storage::load::{load, load_seeing};

/// A handle to a run. Cheap to clone; dropping it does not affect the run.
///
/// If another engine drives the run, in this process or another, what a method sends goes to the run's inbox in the
/// store. What the run would refuse is refused at once; anything else is durable when the method returns, and the
/// engine that drives the run decides on it, usually before then. A run that ends first drops the letter.
#[derive(Clone, Debug)]
pub struct Run {
    shared: Arc<Shared>,
    id: RunId,
}

impl Run {
    pub(in crate::runtime) const fn new(shared: Arc<Shared>, id: RunId) -> Self {
        Self { shared, id }
    }

    pub(in crate::runtime) const fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// Returns the run's record: its status, labels, times and outcome.
    ///
    /// # Errors
    /// If the store cannot be read, or the run does not exist.
    pub async fn status(&self) -> Result<RunRecord, Error> {
        let record = self.shared.store.record(&self.id).await?;
        record.ok_or_else(|| self.not_found())
    }

    /// Like [`status`](Self::status); retries while the store fails temporarily.
    pub(super) async fn record(&self) -> Result<RunRecord, Error> {
        self.shared.record_of(&self.id).await?.ok_or_else(|| self.not_found())
    }

    /// Returns the run as a graph, as far as it is durable: for terminals, as Mermaid, dot or SVG.
    ///
    /// ```
    /// # use orkestra_core::prelude::*;
    /// # async fn size(_cx: Context, url: String) -> TaskResult<usize> { Ok(url.len()) }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let workflow = Workflow::new("measure").node("size", size).build()?;
    /// # let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await?;
    /// let run = engine.run("measure").id("monday").input("https://example.org")?.start().await?;
    /// run.outcome().await?;
    /// let graph = run.graph().await?;
    /// assert_eq!(graph.to_text(), "measure · run monday · completed\n\n✓ size    completed\n");
    /// assert!(graph.to_svg().starts_with("<svg"));
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Run::view`].
    pub async fn graph(&self) -> Result<Graph, Error> {
        let mut fold = GraphFold::default();
        let see = |commit: &Commit| commit.events.iter().for_each(|event| fold.add(event));
        let state = load_seeing(&*self.shared.store, &self.id, see).await?;
        state.map(|state| fold.graph(&state)).ok_or_else(|| self.not_found())
    }

    /// Returns what happened in the run and when, as far as it is durable: attempts, steps, waits, costs.
    ///
    /// ```
    /// # use orkestra_core::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// async fn size(cx: Context, url: String) -> TaskResult<usize> {
    ///     let url = &url;
    ///     cx.step("measure", || async move { Ok::<_, TaskError>(url.len()) }).await
    /// }
    /// # let workflow = Workflow::new("measure").node("size", size).build()?;
    /// # let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await?;
    /// let run = engine.run("measure").id("monday").input("https://example.org")?.start().await?;
    /// run.outcome().await?;
    /// let timeline = run.timeline().await?;
    /// assert_eq!(timeline.nodes[0].attempts[0].steps[0].key, "measure");
    /// println!("{}", timeline.to_text());
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// See [`Run::view`].
    pub async fn timeline(&self) -> Result<Timeline, Error> {
        let mut fold = TimelineFold::new(self.id.clone());
        load_seeing(&*self.shared.store, &self.id, |commit| fold.add(commit)).await?;
        fold.finish().ok_or_else(|| self.not_found())
    }

    /// Waits until the run ends and returns its outcome. An output is the value itself, however large;
    /// [`status`](Self::status) does not read large values.
    ///
    /// # Errors
    /// If the store cannot be read, the journal is damaged, the run does not exist, this engine cannot continue the
    /// run, or the engine shuts down.
    pub async fn outcome(&self) -> Result<Outcome, Error> {
        match self.ended().await? {
            Outcome::Completed(output) => {
                let fetch = || blobs::fetch(&*self.shared.store, &self.id, output.clone());
                Ok(Outcome::Completed(self.shared.patiently(fetch).await?))
            }
            ended => Ok(ended),
        }
    }

    /// Like [`outcome`](Self::outcome), but a large output stays a reference.
    async fn ended(&self) -> Result<Outcome, Error> {
        let mut follower = Follower::new(&self.shared, &self.id);
        loop {
            follower.mark();
            if let Some(outcome) = self.record().await?.outcome {
                return Ok(outcome);
            }
            if let Some(error) = self.shared.given_up_on(&self.id) {
                return Err(error);
            }
            // While this engine's own driver is working, the run has not ended and the store need not be read.
            loop {
                follower.news(&self.shared, &self.id).await?;
                if !self.shared.live.is_under_way(&self.id) || self.shared.given_up_on(&self.id).is_some() {
                    break;
                }
            }
        }
    }

    /// Waits until the run ends and returns its output.
    ///
    /// # Errors
    /// [`ErrorKind::RunEnded`] if the run failed (see [`Error::failure`]), was cancelled or terminated, or timed out.
    /// If the output is not a `T`. Otherwise see [`Run::outcome`].
    pub async fn output<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self.outcome().await? {
            Outcome::Completed(output) => Ok(output.to()?),
            ended => Err(self.without_output(ended).await),
        }
    }

    /// Why there is no output, and which nodes were compensated.
    async fn without_output(&self, ended: Outcome) -> Error {
        let of_run = |what: String| Error::new(ErrorKind::RunEnded, format!("run `{}` {what}", self.id));
        let error = match ended {
            Outcome::Completed(_) => of_run("completed".into()),
            Outcome::Failed { node, failure } => Error::run_failed(&node, &failure),
            Outcome::Cancelled(reason) => of_run(format!("was cancelled: {reason}")),
            Outcome::Terminated(reason) => of_run(format!("was terminated: {reason}")),
            Outcome::TimedOut(deadline) => of_run(format!("timed out: its deadline was {deadline}")),
        };
        match self.status().await.ok().and_then(|record| record.undo) {
            Some(undo) => error.adding(&format!("; {undo}")),
            None => error,
        }
    }

    /// Reads the value of a payload from this run's events or views. A large value is kept beside the journal;
    /// [`Payload::to`] cannot read it.
    ///
    /// # Errors
    /// If the value is not a `T` or does not belong to this run, or the store cannot be read.
    pub async fn value<T: DeserializeOwned>(&self, payload: &Payload) -> Result<T, Error> {
        Ok(blobs::fetch(&*self.shared.store, &self.id, payload.clone()).await?.to()?)
    }

    /// Sends the run a signal. It is durable when this returns, and is consumed by the first gate or task that waits
    /// for it, now or later.
    ///
    /// # Errors
    /// If the run has ended or does not exist, or too many signals are waiting to be consumed.
    pub async fn signal<T: Serialize + ?Sized>(&self, name: &str, payload: &T) -> Result<(), Error> {
        let signal = Name::new(name)?;
        let payload = self.keep(payload).await?;
        self.shared.tell(&self.id, InputKind::Signal { signal, payload }).await
    }

    /// Requests cancellation of the run. No node starts from now on; running tasks are asked to stop and are abandoned
    /// after [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE). Then completed nodes are compensated. The request is
    /// durable when this returns; wait for the [`outcome`](Self::outcome) to see the run end.
    ///
    /// # Errors
    /// If the run has ended, is already stopping, or does not exist.
    pub async fn cancel(&self, reason: &str) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Cancel { reason: reason.to_owned() }).await
    }

    /// Ends the run now: running tasks are dropped, nothing is compensated. For a run that does not react to
    /// [`cancel`](Self::cancel). A run whose journal is damaged is ended too: its record then says so, and its parent
    /// run gets the outcome.
    ///
    /// # Errors
    /// If the run has ended or does not exist.
    pub async fn terminate(&self, reason: &str) -> Result<(), Error> {
        match self.shared.tell(&self.id, InputKind::Terminate { reason: reason.to_owned() }).await {
            Err(error) if error.is_damaged() || error.kind() == ErrorKind::NotFound => {
                damaged::terminate(&self.shared, &self.id, reason).await
            }
            told => told,
        }
    }

    /// Pauses the run: no attempt, step, question or child run starts; running tasks stop at their next step. Time
    /// limits of nodes are suspended, the run's deadline is not. Durable when this returns; a paused run uses no
    /// memory.
    ///
    /// # Errors
    /// If the run has ended, is stopping or already paused, or does not exist.
    pub async fn pause(&self, reason: &str) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Pause { reason: reason.to_owned() }).await
    }

    /// Resumes a paused run. A node whose failure paused the run is given up; to try it again, use
    /// [`retry`](Self::retry) instead. Each failure needs its own decision: while others are undecided
    /// ([`RunView::undecided`](crate::projection::RunView::undecided)), the run stays paused for the next one.
    ///
    /// # Errors
    /// If the run is not paused, has used up a budget that was not raised, or does not exist.
    pub async fn resume(&self) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Resume).await
    }

    /// Retries a failed node, and what was skipped or cancelled because of it, even after the run has ended. Finished
    /// steps are not repeated; attempts are counted on, and the node's retry policy counts from here.
    ///
    /// If a run has ended and one of its nodes could not be compensated, retry the node that compensates it, named
    /// `undo:<node>`. Nothing else of the run continues, and its outcome stays the same; [`RunRecord::undo`] then shows
    /// which nodes are compensated.
    ///
    /// # Errors
    /// If the node has not failed, the run is stopping, the run was compensated, it has ended and used up a budget, or
    /// it does not exist.
    pub async fn retry(&self, node: &str) -> Result<(), Error> {
        let node = Name::new(node)?;
        schedule::remember(&self.shared, &self.id).await?;
        self.shared.tell(&self.id, InputKind::Retry { node }).await
    }

    /// Answers a question of [`Context::ask`](crate::Context::ask). The first answer counts. It is durable when this
    /// returns. Open questions are in [`RunView::questions`](crate::projection::RunView::questions).
    ///
    /// # Errors
    /// If the question is not open, or the run does not exist.
    pub async fn answer<T: Serialize + ?Sized>(&self, question: Seq, answer: &T) -> Result<(), Error> {
        let answer = self.keep(answer).await?;
        self.shared.tell(&self.id, InputKind::Answer { question, answer }).await
    }

    /// Changes how much the run may spend on `meter`; `None` removes the limit. A run that was paused by its budget
    /// continues after [`resume`](Self::resume).
    ///
    /// # Errors
    /// If the meter's name is invalid, or the run has ended or does not exist.
    pub async fn set_budget(&self, meter: &str, limit: Option<Amount>) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::SetBudget { meter: Name::new(meter)?, limit }).await
    }

    /// Starts a new run with the id `id`: a copy of this run up to the start of `node`, which gets `input` if it is
    /// `Some`. Nothing before that is repeated: outputs and finished steps are copied. Later signals, the deadline and
    /// the parent are not. Forking twice with the same id gives the same run.
    ///
    /// Each run compensates only what it did itself: the fork never compensates nodes that completed, or had finished
    /// steps, in this run.
    ///
    /// # Errors
    /// If the node has not started in this run, or a run with this id exists that is not this fork.
    /// [`ErrorKind::Conflict`] if what both runs would share was compensated in this run or is about to be (see
    /// [`fork_undone`](Self::fork_undone)). If this run does not exist, or the store fails.
    pub async fn fork<T: Serialize + ?Sized>(&self, id: &str, node: &str, input: Option<&T>) -> Result<Self, Error> {
        self.fork_from(id, node, input, false).await
    }

    /// Like [`fork`](Self::fork), even if what both runs share was compensated in this run: the fork continues as if it
    /// had not been, with the same outputs. For cases where that does not matter, or where it was done again.
    ///
    /// # Errors
    /// See [`fork`](Self::fork), except for the one about compensation.
    pub async fn fork_undone<T: Serialize + ?Sized>(
        &self,
        id: &str,
        node: &str,
        input: Option<&T>,
    ) -> Result<Self, Error> {
        self.fork_from(id, node, input, true).await
    }

    async fn fork_from<T: Serialize + ?Sized>(
        &self,
        id: &str,
        node: &str,
        input: Option<&T>,
        undone: bool,
    ) -> Result<Self, Error> {
        let (fork, node) = (RunId::new(id)?, Name::new(node)?);
        let input = match input {
            Some(input) => Some(blobs::keep(&*self.shared.store, &fork, Payload::large(input)?).await?),
            None => None,
        };
        let (events, plan) = self.history().await?;
        let events = blobs::adopt_events(&*self.shared.store, (&self.id, &fork), events, &plan).await?;
        let kind = InputKind::Fork { from: self.id.clone(), events, node, input, incarnation: None, undone };
        let run = Self::new(Arc::clone(&self.shared), fork);
        if self.shared.begin(run.id(), kind).await?.is_none() || run.is_fork_of(&self.id).await? {
            return Ok(run);
        }
        let message = format!("run `{}` already exists and is not a fork of run `{}`; use another id", run.id, self.id);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    async fn is_fork_of(&self, other: &RunId) -> Result<bool, Error> {
        let state = load(&*self.shared.store, &self.id).await?;
        let origin = state.as_ref().and_then(|state| state.options().forked_from.as_ref());
        Ok(origin.is_some_and(|origin| origin.run == *other))
    }

    /// The payload that goes into the run's journal for a value. Nothing is stored for a run that does not exist: it
    /// would never be removed.
    async fn keep<T: Serialize + ?Sized>(&self, value: &T) -> Result<Payload, Error> {
        let payload = Payload::large(value)?;
        if blobs::stands_beside(&payload) {
            self.status().await?;
        }
        self.shared.patiently(|| blobs::keep(&*self.shared.store, &self.id, payload.clone())).await
    }

    /// All events so far, and the resulting plan.
    async fn history(&self) -> Result<(Vec<Event>, Arc<Plan>), Error> {
        let mut events = Vec::new();
        let see = |commit: &Commit| events.extend_from_slice(&commit.events);
        let state = load_seeing(&*self.shared.store, &self.id, see).await?;
        state.map(|state| (events, Arc::clone(state.plan()))).ok_or_else(|| self.not_found())
    }

    /// Returns the run's events after `cursor`, including those to come.
    #[must_use]
    pub fn events(&self, cursor: Cursor) -> Events {
        Events::new(Arc::clone(&self.shared), self.id.clone(), cursor)
    }

    /// Returns the run's commits after `cursor` as the store holds them, readable or not, at most [`READ_COMMITS_MAX`]:
    /// to save a run whose journal is damaged before deleting it. For the next ones, pass the `last` of the last one as
    /// the cursor; an empty list means the end. If the store itself cannot read a commit, the commits before it are
    /// returned.
    ///
    /// # Errors
    /// If the store cannot be read, or cannot read the very next commit.
    pub async fn commits(&self, cursor: Cursor) -> Result<Vec<Written>, Error> {
        let (store, mut from) = (&self.shared.store, Seq(cursor.0).plus(1));
        let mut commits = Vec::new();
        let all = store.read(&self.id, from, READ_COMMITS_MAX).await;
        if !all.as_ref().is_err_and(|error| error.kind() == StoreErrorKind::Damaged) {
            return Ok(all?);
        }
        while commits.len() < READ_COMMITS_MAX {
            match store.read(&self.id, from, 1).await.map(|mut one| one.pop()) {
                Ok(Some(commit)) => {
                    from = commit.last.plus(1);
                    commits.push(commit);
                }
                Err(error) if commits.is_empty() => return Err(error.into()),
                _ => break,
            }
        }
        Ok(commits)
    }

    pub(super) fn not_found(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("run `{}` not found", self.id))
    }
}
