//! What a task has in its hands: its run, its steps, its waits.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::kernel::{StepState, TaskRequest};
use crate::model::{Amount, Failure, InvalidName, Name, Payload, RunId};
use crate::store::Store;

use super::activity::Activity;
use super::blobs;
use super::clock::Clock;
use super::drain::{Drain, UnderWay};
use super::message::{Message, StepReply};
use super::outbox::{Outbox, Report};
use super::step::Step;
use super::task::{TaskError, TaskResult};
use super::telemetry::Attempt;
use super::tenure::Tenure;
use super::watch;

/// The hands of one attempt. Cheap to clone; of no use after the attempt.
///
/// **Code between steps may run again.** What a step returned is remembered under the node and the step's key, over
/// crashes and attempts; everything else is done anew when the task is called again.
#[derive(Clone)]
pub struct Context(Arc<Inner>);

pub(super) struct Inner {
    pub(super) run: RunId,
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) run_input: Payload,
    pub(super) last_failure: Option<Failure>,
    /// The node's steps as they stood when this invocation began.
    pub(super) steps: HashMap<String, StepState>,
    pub(super) keys: Mutex<HashMap<String, u32>>,
    pub(super) driver: mpsc::Sender<Message>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) cancelled: watch::Receiver<bool>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) activity: Arc<Activity>,
    pub(super) tenure: Arc<Tenure>,
    pub(super) drain: Arc<Drain>,
    pub(super) store: Arc<dyn Store>,
    pub(super) seen: Attempt,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { run, node, attempt, .. } = &*self.0;
        write!(f, "Context({run}/{node}, attempt {attempt})")
    }
}

impl Context {
    pub(super) fn new(inner: Inner) -> Self {
        Self(Arc::new(inner))
    }

    /// Returns when a step may begin: never on an engine that is drained, whose tasks are dropped soon.
    pub(super) async fn begin_step(&self) -> UnderWay {
        match self.0.drain.begin() {
            Some(under_way) => under_way,
            None => std::future::pending().await,
        }
    }

    /// Returns while the run is this engine's to drive.
    pub(super) async fn held(&self) {
        self.0.tenure.held().await;
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.0.run
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.0.node
    }

    /// Which attempt of the node this is, counted from 1. An attempt that lost its process keeps its number.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.0.attempt
    }

    /// What the attempt before this one left.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.0.last_failure.as_ref()
    }

    /// What the run was given.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn run_input<T: DeserializeOwned>(&self) -> TaskResult<T> {
        Ok(self.0.run_input.to()?)
    }

    /// A text that is the same whenever this step of this node of this run is done, and different for every other: for
    /// services that take one to recognise a repeated request. It holds over attempts and crashes.
    #[must_use]
    pub fn idempotency_key(&self, step: &str) -> String {
        format!("{}/{}/{step}", self.0.run, self.0.node)
    }

    /// A memoised unit of work. `.await` the returned [`Step`] to do it, or to have its remembered result.
    ///
    /// A result is durable before the step returns. **At least once**: when the process dies after the work was done
    /// and before its result was durable, the work is done again; give the outside world
    /// [`idempotency_key`](Self::idempotency_key), or use [`Step::at_most_once`]. A step that fails is not remembered
    /// and is done again by the next attempt, unless its failure is permanent.
    ///
    /// A key that is used twice in one invocation gets `#2`, `#3` in the order of the calls.
    pub fn step<'a, F, Fut, T, E>(&'a self, key: impl Into<String>, work: F) -> Step<'a, F>
    where
        F: FnMut() -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, E>> + Send + 'a,
        T: Serialize + DeserializeOwned + Send + 'a,
        E: Into<TaskError> + 'a,
    {
        Step::new(self, self.unique(key.into()), work)
    }

    /// Reports progress or partial output: an [`Event::Emitted`](crate::kernel::Event::Emitted) of the run. Durable
    /// together with the next commit, in order, but not waited for: a crash may lose the last few milliseconds of it.
    ///
    /// A payload that is no JSON or too large is reported as `null`, with a warning in the log.
    pub fn emit(&self, kind: &str, payload: impl Serialize) {
        let payload = Payload::of(&payload).unwrap_or_else(|error| {
            tracing::warn!(node = %self.0.node, kind, %error, "a report cannot be written down");
            Payload::null()
        });
        self.heartbeat();
        let (node, attempt) = (self.0.node.clone(), self.0.attempt);
        self.0.outbox.push(Report { node, attempt, kind: kind.to_owned(), payload });
    }

    /// Says that the task is alive, for a node with a heartbeat timeout. Steps, waits and reports say so too. Costs
    /// nothing and is not written down: progress worth keeping belongs in a step or a report.
    pub fn heartbeat(&self) {
        self.0.activity.beat(self.0.clock.now());
    }

    /// Charges amounts to the run's meters, `tokens` or `usd` for instance: once, however often the task is called. Sums
    /// survive crashes, and parallel nodes share the run's budget. When it is used up the run pauses, and this returns
    /// when somebody has raised it and resumed the run. What a step costs is better charged with
    /// [`Step::charge`]: both are written down together.
    ///
    /// # Errors
    /// When a meter's name is none, there are too many, or the engine cannot write the charge down.
    pub async fn charge<'m>(&self, charges: impl IntoIterator<Item = (&'m str, Amount)>) -> TaskResult<()> {
        let charges = meters(charges)?;
        let step = self.unique("charge".into());
        self.settle(step.clone(), || TaskRequest::Charge { step, charges }).await.map(drop)
    }

    /// Whether the attempt is asked to end: the run was cancelled, or another node of it failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.get()
    }

    /// Returns when the attempt is asked to end. It has [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE) from then.
    pub async fn cancelled(&self) {
        let mut cancelled = self.0.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            // The driver is gone and with it this attempt: its future is dropped any moment.
            std::future::pending::<()>().await;
        }
    }

    /// The key under which a step is remembered: the `n`th use of one key in an invocation gets `#n`.
    pub(super) fn unique(&self, key: String) -> String {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = keys.entry(key.clone()).or_insert(0);
        *uses += 1;
        if *uses == 1 { key } else { format!("{key}#{uses}") }
    }

    /// What is remembered of a step.
    pub(super) fn known(&self, step: &str) -> Option<&StepState> {
        self.0.steps.get(step)
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.0.activity
    }

    pub(super) fn seen(&self) -> &Attempt {
        &self.0.seen
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The result of a step that the driver settles, remembered or asked for.
    pub(super) async fn settle(&self, step: String, request: impl FnOnce() -> TaskRequest) -> TaskResult<Payload> {
        let result = match self.known(&step).and_then(StepState::result) {
            Some(Ok(result)) => result.clone(),
            Some(Err(failure)) => return Err(failure.clone().into()),
            None => self.request(request()).await?,
        };
        self.fetch(result).await
    }

    /// The payload itself, for one that came from the journal.
    pub(super) async fn fetch(&self, payload: Payload) -> TaskResult<Payload> {
        Ok(blobs::fetch(&*self.0.store, &self.0.run, payload).await?)
    }

    /// What goes into the journal for a payload.
    pub(super) async fn keep(&self, payload: Payload) -> TaskResult<Payload> {
        Ok(blobs::keep(&*self.0.store, &self.0.run, payload).await?)
    }

    /// Asks the driver, and waits until the answer is durable.
    pub(super) async fn request(&self, request: TaskRequest) -> TaskResult<Payload> {
        self.request_within(Span::none(), request).await
    }

    /// The same; the span is told where in the journal the decision is.
    pub(super) async fn request_within(&self, span: Span, request: TaskRequest) -> TaskResult<Payload> {
        let activity = &self.0.activity;
        let _asking = activity.asking();
        let _waiting = request.is_wait().then(|| activity.waiting());
        activity.beat(self.0.clock.now());
        let (reply, answer) = oneshot::channel::<StepReply>();
        let (node, attempt) = (self.0.node.clone(), self.0.attempt);
        let message = Message::Request { node, attempt, request, reply, span };
        if self.0.driver.send(message).await.is_err() {
            return self.orphaned().await;
        }
        match answer.await {
            Ok(Ok(result)) => result.map_err(TaskError::from),
            Ok(Err(error)) => Err(TaskError::permanent(error.to_string())),
            Err(_) => self.orphaned().await,
        }
    }

    /// Nobody drives this attempt any more. What it says would be lost, so it says nothing: its future is dropped with
    /// the driver, and the attempt goes on wherever the run is driven next.
    async fn orphaned<T>(&self) -> T {
        std::future::pending().await
    }
}

/// Charges by name, those of one meter added up.
pub(super) fn meters<'m>(
    charges: impl IntoIterator<Item = (&'m str, Amount)>,
) -> Result<BTreeMap<Name, Amount>, InvalidName> {
    let mut meters = BTreeMap::new();
    for (meter, amount) in charges {
        let sum: &mut Amount = meters.entry(Name::new(meter)?).or_default();
        *sum = *sum + amount;
    }
    Ok(meters)
}
