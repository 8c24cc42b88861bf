//! A handle to one run, whether it is in memory or not.

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

/// A run. Cheap to clone; dropping it changes nothing for the run.
///
/// What is said to a run that another engine drives, in this process or another, reaches it through the store: what it would
/// refuse is refused at once, anything else is durable when the verb returns and decided on by whoever drives the run. It is
/// mostly taken by then; a run that ends in between has no more use for it.
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

    /// The run at a glance.
    ///
    /// # Errors
    /// When the store cannot be read, or the run was deleted.
    pub async fn status(&self) -> Result<RunRecord, Error> {
        let record = self.shared.store.record(&self.id).await?;
        record.ok_or_else(|| self.not_found())
    }

    /// The same from a store that may fail in passing.
    pub(super) async fn record(&self) -> Result<RunRecord, Error> {
        self.shared.record_of(&self.id).await?.ok_or_else(|| self.not_found())
    }

    /// The run as a graph, as far as it is durable: for terminals, as Mermaid, dot or SVG.
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
    /// As [`Run::view`].
    pub async fn graph(&self) -> Result<Graph, Error> {
        let mut fold = GraphFold::default();
        let see = |commit: &Commit| commit.events.iter().for_each(|event| fold.add(event));
        let state = load_seeing(&*self.shared.store, &self.id, see).await?;
        state.map(|state| fold.graph(&state)).ok_or_else(|| self.not_found())
    }

    /// What happened in the run and when, as far as it is durable: attempts, steps, waits, costs.
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
    /// As [`Run::view`].
    pub async fn timeline(&self) -> Result<Timeline, Error> {
        let mut fold = TimelineFold::new(self.id.clone());
        load_seeing(&*self.shared.store, &self.id, |commit| fold.add(commit)).await?;
        fold.finish().ok_or_else(|| self.not_found())
    }

    /// Waits until the run ends and returns how. An output is the value itself, however large; [`status`](Self::status) reads
    /// none.
    ///
    /// # Errors
    /// When the store cannot be read, this engine cannot go on with the run, or nobody can: its journal is damaged.
    pub async fn outcome(&self) -> Result<Outcome, Error> {
        match self.ended().await? {
            Outcome::Completed(output) => {
                let fetch = || blobs::fetch(&*self.shared.store, &self.id, output.clone());
                Ok(Outcome::Completed(self.shared.patiently(fetch).await?))
            }
            ended => Ok(ended),
        }
    }

    /// The same; a large output is a reference still.
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
            // While our own driver is at work there is nothing to be read: it has not ended.
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
    /// Of kind [`ErrorKind::RunEnded`] when the run failed (see [`Error::failure`]) or was cancelled; else as
    /// [`Run::outcome`].
    pub async fn output<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self.outcome().await? {
            Outcome::Completed(output) => Ok(output.to()?),
            ended => Err(self.without_output(ended).await),
        }
    }

    /// Why there is no output, and what was undone.
    async fn without_output(&self, ended: Outcome) -> Error {
        let of_run = |what: String| Error::new(ErrorKind::RunEnded, format!("run `{}` {what}", self.id));
        let error = match ended {
            Outcome::Completed(_) => of_run("completed".into()),
            Outcome::Failed { node, failure } => Error::run_failed(&node, &failure),
            Outcome::Cancelled(reason) => of_run(format!("was cancelled: {reason}")),
            Outcome::Terminated(reason) => of_run(format!("was terminated: {reason}")),
            Outcome::TimedOut(deadline) => of_run(format!("passed its deadline, {deadline}")),
        };
        match self.status().await.ok().and_then(|record| record.undo) {
            Some(undo) => error.adding(&format!("; {undo}")),
            None => error,
        }
    }

    /// The value of a payload of this run's events or views. A large one is kept beside the journal and read from there:
    /// [`Payload::to`] cannot do that.
    ///
    /// # Errors
    /// When the value is no `T`, is not of this run, or the store cannot be read.
    pub async fn value<T: DeserializeOwned>(&self, payload: &Payload) -> Result<T, Error> {
        Ok(blobs::fetch(&*self.shared.store, &self.id, payload.clone()).await?.to()?)
    }

    /// Sends the run a signal. It is durable when this returns, and read by whoever waits for it now or later.
    ///
    /// # Errors
    /// When the run has ended or is not there, or too many signals wait to be read.
    pub async fn signal<T: Serialize + ?Sized>(&self, name: &str, payload: &T) -> Result<(), Error> {
        let signal = Name::new(name)?;
        let payload = self.keep(payload).await?;
        self.shared.tell(&self.id, InputKind::Signal { signal, payload }).await
    }

    /// Asks the run to stop. No node starts any more; tasks under way are asked to end and given up after
    /// [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE). That it was asked is durable when this returns; wait for
    /// the [`outcome`](Self::outcome) to see it done.
    ///
    /// # Errors
    /// When the run has ended, is stopping already, or is not there.
    pub async fn cancel(&self, reason: &str) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Cancel { reason: reason.to_owned() }).await
    }

    /// Ends the run now: tasks under way are dropped, nothing is undone. For a run that does not listen.
    ///
    /// # Errors
    /// When the run has ended or is not there.
    ///
    /// A run whose journal is damaged is ended too: its record then says so, and the run that waits for it is told.
    pub async fn terminate(&self, reason: &str) -> Result<(), Error> {
        match self.shared.tell(&self.id, InputKind::Terminate { reason: reason.to_owned() }).await {
            Err(error) if error.is_damaged() || error.kind() == ErrorKind::NotFound => {
                damaged::terminate(&self.shared, &self.id, reason).await
            }
            told => told,
        }
    }

    /// Pauses the run: nothing begins any more, no attempt, step, question or child run; tasks under way stop at their next
    /// step. Time limits of nodes rest, the run's deadline does not. Durable when this returns; a paused run costs no memory.
    ///
    /// # Errors
    /// When the run has ended, is stopping or paused already, or is not there.
    pub async fn pause(&self, reason: &str) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Pause { reason: reason.to_owned() }).await
    }

    /// Lets the run go on after a pause. A node whose failure paused it is given up: retry it instead to go on with it.
    /// Each failure is decided on by itself: while others wait for that ([`RunView::undecided`](crate::projection::RunView::undecided)), the run stays paused, for
    /// the next of them.
    ///
    /// # Errors
    /// When the run is not paused, has used up a budget that was not raised, or is not there.
    pub async fn resume(&self) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Resume).await
    }

    /// Lets a failed node begin anew, and what was skipped or cancelled because of it, also when the run has ended. Steps
    /// that are done stay done; attempts are counted on, and the node's retry policy counts from here.
    ///
    /// A run that has ended and could not undo a node can be told to try that again: retry the node that undoes it, named
    /// `undo:<node>`. Nothing else of the run goes on, and it ends as it had; [`RunRecord::undo`] tells what is undone then.
    ///
    /// # Errors
    /// When the node has not failed, the run is stopping, what it did was undone, or it has ended and used up a budget.
    pub async fn retry(&self, node: &str) -> Result<(), Error> {
        let node = Name::new(node)?;
        schedule::remember(&self.shared, &self.id).await?;
        self.shared.tell(&self.id, InputKind::Retry { node }).await
    }

    /// Answers a question of [`Context::ask`](crate::Context::ask). The first answer counts; it is durable when this
    /// returns. Open questions are in
    /// [`RunView::questions`](crate::projection::RunView::questions).
    ///
    /// # Errors
    /// When the question is not open, or the run is not there.
    pub async fn answer<T: Serialize + ?Sized>(&self, question: Seq, answer: &T) -> Result<(), Error> {
        let answer = self.keep(answer).await?;
        self.shared.tell(&self.id, InputKind::Answer { question, answer }).await
    }

    /// Changes what the run may spend on `meter`; without a limit it may spend any amount. A run that paused because of
    /// its budget goes on with [`resume`](Self::resume).
    ///
    /// # Errors
    /// When the meter's name is none, the run has ended, or is not there.
    pub async fn set_budget(&self, meter: &str, limit: Option<Amount>) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::SetBudget { meter: Name::new(meter)?, limit }).await
    }

    /// Starts another run, of the id `id`, that begins as this one went until `node` began, and differs from there on:
    /// the node gets `input` if there is one. What both share is not done again: outputs and finished steps are copied.
    /// Signals that came later are not, and neither are deadline and parent. Starting twice with one id gives one run.
    ///
    /// Each run undoes what it did itself: nodes that were done in this run, or had finished steps here, are never
    /// compensated by the fork.
    ///
    /// # Errors
    /// When the node did not begin in this run, what both would share was undone here or is about to be (of kind
    /// [`ErrorKind::Conflict`]: see [`fork_undone`](Self::fork_undone)), a run with this id exists and is none of this fork,
    /// or the store fails.
    pub async fn fork<T: Serialize + ?Sized>(&self, id: &str, node: &str, input: Option<&T>) -> Result<Self, Error> {
        self.fork_from(id, node, input, false).await
    }

    /// The same as [`fork`](Self::fork), also when what both share was undone in this run: the fork goes on as if it were
    /// still done, with the outputs that it had. For those who know that it does not matter, or have done it again.
    ///
    /// # Errors
    /// As [`fork`](Self::fork), save that.
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
        let message = format!("run `{}` exists already, and is no fork of run `{}`", run.id, self.id);
        Err(Error::new(ErrorKind::Conflict, message))
    }

    async fn is_fork_of(&self, other: &RunId) -> Result<bool, Error> {
        let state = load(&*self.shared.store, &self.id).await?;
        let origin = state.as_ref().and_then(|state| state.options().forked_from.as_ref());
        Ok(origin.is_some_and(|origin| origin.run == *other))
    }

    /// What goes into the run's journal for a value. Nothing is kept for a run that is not there: nobody would remove it.
    async fn keep<T: Serialize + ?Sized>(&self, value: &T) -> Result<Payload, Error> {
        let payload = Payload::large(value)?;
        if blobs::stands_beside(&payload) {
            self.status().await?;
        }
        self.shared.patiently(|| blobs::keep(&*self.shared.store, &self.id, payload.clone())).await
    }

    /// All events so far, and the plan that they end with.
    async fn history(&self) -> Result<(Vec<Event>, Arc<Plan>), Error> {
        let mut events = Vec::new();
        let see = |commit: &Commit| events.extend_from_slice(&commit.events);
        let state = load_seeing(&*self.shared.store, &self.id, see).await?;
        state.map(|state| (events, Arc::clone(state.plan()))).ok_or_else(|| self.not_found())
    }

    /// The run's events after `cursor`, those to come included.
    #[must_use]
    pub fn events(&self, cursor: Cursor) -> Events {
        Events::new(Arc::clone(&self.shared), self.id.clone(), cursor)
    }

    /// The run's commits after `cursor` as the store keeps them, whether they can be read or not, at most
    /// [`READ_COMMITS_MAX`] of them: to keep a run whose journal is damaged before it is deleted. The next ones are after
    /// the last one's `last`; there are none behind the end. Of what the store itself cannot read the commits before it are
    /// there still.
    ///
    /// # Errors
    /// When the store cannot be read, or not the very next commit.
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
        Error::new(ErrorKind::NotFound, format!("there is no run `{}`", self.id))
    }
}
