//! What a task has in its hands: its run, its steps, its waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, Weak};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot};
use tracing::Span;

use crate::kernel::{StepState, TaskRequest};
use crate::model::{Amount, Failure, Incarnation, InvalidName, Name, Payload, RunId};
use crate::store::Store;

use super::activity::Activity;
use super::code::{TaskError, TaskResult};
use super::given::{LetGo, Uses};
use super::keys::{Use, digest, later_use};
use super::message::{Message, StepReply};
use super::outbox::{Note, Outbox, Told};
use super::root::Quiet;
use super::sides::{did, scope_here};
use super::step::{Step, step_here};
use crate::runtime::clock::Clock;
use crate::runtime::storage::blobs;
use crate::runtime::support::drain::{Drain, UnderWay};
use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::ownership::Ownership;
use crate::runtime::support::patience::insist;
use crate::runtime::support::watch;
use crate::runtime::telemetry::Attempt;

/// The bytes of the digest in an idempotency key.
const KEY_DIGEST_BYTES: usize = 16;

/// The hands of one attempt. Cheap to clone; of no use after the attempt.
///
/// **Code between steps may run again.** What a step returned is remembered under the node and the step's key, over
/// crashes and attempts; everything else is done anew when the task is called again.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
    /// What its keys begin with.
    pub(super) scope: Arc<str>,
}

pub(in crate::runtime) struct Inner {
    pub(in crate::runtime) run: RunId,
    pub(in crate::runtime) incarnation: Option<Incarnation>,
    pub(in crate::runtime) node: Name,
    pub(in crate::runtime) attempt: u32,
    pub(in crate::runtime) run_input: Payload,
    pub(in crate::runtime) last_failure: Option<Failure>,
    /// The node's steps as they stood when this invocation began.
    pub(in crate::runtime) steps: HashMap<String, StepState>,
    pub(in crate::runtime) keys: Mutex<HashMap<String, Uses>>,
    /// What was let go since the driver was told last.
    pub(in crate::runtime) let_go: Mutex<Vec<LetGo>>,
    /// The keys of steps that must not be done twice and were let go after their work had begun, or lost with their process.
    pub(in crate::runtime) interrupted: Mutex<BTreeSet<String>>,
    /// Whether the run is paused.
    pub(in crate::runtime) paused: watch::Receiver<bool>,
    pub(in crate::runtime) driver: mpsc::Sender<Message>,
    pub(in crate::runtime) outbox: Arc<Outbox>,
    pub(in crate::runtime) cancelled: watch::Receiver<bool>,
    pub(in crate::runtime) clock: Arc<dyn Clock>,
    pub(in crate::runtime) activity: Arc<Activity>,
    pub(in crate::runtime) ownership: Arc<Ownership>,
    pub(in crate::runtime) drain: Arc<Drain>,
    /// A context may outlive its call, in a spawned task that nobody ends, and must not hold the store then.
    pub(in crate::runtime) store: Weak<dyn Store>,
    pub(in crate::runtime) jobs: Jobs,
    pub(in crate::runtime) seen: Attempt,
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { run, node, attempt, .. } = &*self.inner;
        write!(f, "Context({run}/{node}, attempt {attempt})")
    }
}

impl Context {
    pub(in crate::runtime) fn new(inner: Inner) -> Self {
        Self { inner: Arc::new(inner), scope: "".into() }
    }

    pub(in crate::runtime) const fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    /// Returns when a step may begin: never on an engine that is drained, whose tasks are dropped soon.
    pub(super) async fn begin_step(&self) -> UnderWay {
        match self.inner.drain.begin() {
            Some(under_way) => under_way,
            None => std::future::pending().await,
        }
    }

    /// Returns while the run is this engine's to drive.
    pub(super) async fn held(&self) {
        self.inner.ownership.held().await;
    }

    /// The run.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.inner.run
    }

    /// Which run of its id it is; none for one that a version before began.
    pub(super) fn incarnation(&self) -> Option<&Incarnation> {
        self.inner.incarnation.as_ref()
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// Which attempt of the node this is, counted from 1. An attempt that lost its process keeps its number.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// What the attempt before this one left.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.inner.last_failure.as_ref()
    }

    /// What the run was given.
    ///
    /// # Errors
    /// When it is of another type.
    pub fn run_input<T: DeserializeOwned>(&self) -> TaskResult<T> {
        Ok(self.inner.run_input.to()?)
    }

    /// A text that is the same whenever this step of this node of this run is done, and different for every other: for
    /// services that take one to recognise a repeated request. It holds over attempts and crashes. A run that was
    /// deleted and begun again under its id has other keys.
    ///
    /// Within the work of a step that is a second or later use of its key it is that use's own: ask for it there.
    ///
    /// It has at most 97 ASCII characters: the run's id, cut to 64, a dot, and 32 hexadecimal digits.
    #[must_use]
    pub fn idempotency_key(&self, step: &str) -> String {
        let Inner { run, node, incarnation, .. } = &*self.inner;
        let Some(incarnation) = incarnation else { return format!("{run}/{node}/{step}") };
        let (readable, scope) = (&run[..run.len().min(64)], scope_here(&self.inner, &self.scope));
        let mut parts = vec![&**run, incarnation, node, &scope, step];
        let here = step_here(&self.inner).unwrap_or_default();
        parts.extend(later_use(&here, &scope, step));
        format!("{readable}.{}", digest(&parts, KEY_DIGEST_BYTES))
    }

    /// Hands to a part of the task that has keys of its own: two parts may use the same ones. Spawned tasks need it, since
    /// nobody can tell which of them comes first.
    ///
    /// ```
    /// # use orkestra_core::prelude::*;
    /// # async fn sides(cx: Context, (): ()) -> TaskResult<u32> {
    /// let (left, right) = (cx.scope("left")?, cx.scope("right")?);
    /// let left = async move { left.step("count", || async { TaskResult::Ok(1) }).await };
    /// let right = async move { right.step("count", || async { TaskResult::Ok(2) }).await };
    /// let (left, right) = tokio::join!(tokio::spawn(left), tokio::spawn(right));
    /// Ok(left?? + right??)
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of any key: it is too long, or used from another task, or within a step.
    pub fn scope(&self, key: &str) -> TaskResult<Self> {
        let given = self.unique(Use::Scope(key))?;
        Ok(Self { inner: Arc::clone(&self.inner), scope: given.step.into() })
    }

    /// A memoised unit of work. `.await` the returned [`Step`] to do it, or to have its remembered result.
    ///
    /// A result is durable before the step returns. **At least once**: when the process dies after the work was done
    /// and before its result was durable, the work is done again; give the outside world
    /// [`idempotency_key`](Self::idempotency_key), or use [`Step::at_most_once`]. A step that fails is not remembered
    /// and is done again by the next attempt, unless its failure is permanent.
    ///
    /// A key that is used twice in one invocation gets `#2`, `#3` in the order of the calls, which all come from one tokio
    /// task: a second use from another one is refused, for nobody can tell which comes first. Such tasks have keys of
    /// their own, or a [`scope`](Self::scope). A step within a step is refused as well, and so is a wait.
    pub fn step<'a, F, Fut, T, E>(&'a self, key: impl Into<String>, work: F) -> Step<'a, F>
    where
        F: FnMut() -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, E>> + Send + 'a,
        T: Serialize + DeserializeOwned + Send + 'a,
        E: Into<TaskError> + 'a,
    {
        Step::new(self, self.unique(Use::Step(&key.into())), work)
    }

    /// Reports progress or partial output: an [`Event::Emitted`](crate::kernel::Event::Emitted) of the run. Durable
    /// together with the next commit, in order, but not waited for: a crash may lose the last few milliseconds of it.
    ///
    /// A payload that is no JSON or too large is reported as `null`, with a warning in the log.
    pub fn emit(&self, kind: &str, payload: impl Serialize) {
        let payload = Payload::of(&payload).unwrap_or_else(|error| {
            tracing::warn!(node = %self.inner.node, kind, %error, "a report cannot be written down");
            Payload::null()
        });
        self.heartbeat();
        self.inner.note(Told::Report { kind: kind.to_owned(), payload });
    }

    /// Says that the task is alive, for a node with a heartbeat timeout. Steps, waits and reports say so too. Costs
    /// nothing and is not written down: progress worth keeping belongs in a step or a report.
    pub fn heartbeat(&self) {
        self.inner.activity.beat(self.inner.clock.now());
    }

    /// Charges amounts to the run's meters, `tokens` or `usd` for instance: once, however often the task is called. Sums
    /// survive crashes, and parallel nodes share the run's budget. When it is used up the run pauses, and this returns
    /// when somebody has raised it and resumed the run. What a step costs is better charged with
    /// [`Step::charge`]: both are written down together.
    ///
    /// # Errors
    /// When a meter's name is none, there are too many, or the engine cannot write the charge down.
    pub fn charge<'m>(
        &self,
        charges: impl IntoIterator<Item = (&'m str, Amount)>,
    ) -> impl Future<Output = TaskResult<()>> + Send {
        let (charges, given) = (meters(charges), self.unique(Use::Charge));
        async move {
            let (charges, step) = (charges?, given?.step);
            self.settle(step.clone(), || TaskRequest::Charge { step, charges }).await?;
            did(&self.inner);
            Ok(())
        }
    }

    /// Publishes a value under a key of the run, in place of the one before: for progress, results in part, addresses. Any
    /// process reads it with [`Run::published`](crate::Run::published), while the run is live and after its end. Durable when
    /// this returns.
    ///
    /// Each call publishes once: when the task is called again after a crash or a wait, what this attempt has published
    /// already is not published again. The next attempt publishes anew. Of nodes that publish under one key the last one
    /// wins.
    ///
    /// # Errors
    /// When the key is no valid name, the value is no JSON or too large, or the run would have more than
    /// [`PUBLISHED_KEYS_MAX`](crate::model::limits::PUBLISHED_KEYS_MAX) keys.
    pub fn publish(&self, key: &str, value: impl Serialize) -> impl Future<Output = TaskResult<()>> + Send {
        let given = self.unique(Use::Publish(key, self.inner.attempt));
        let (key, value) = (Name::new(key), Payload::of(&value));
        async move {
            let (key, value, step) = (key?, value?, given?.step);
            if self.known(&step).is_none() {
                let value = self.keep(value).await?;
                self.settle(step.clone(), || TaskRequest::Publish { step, key, value }).await?;
            }
            did(&self.inner);
            Ok(())
        }
    }

    /// Whether the attempt is asked to end: the run was cancelled, or another node of it failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.get()
    }

    /// Returns when the attempt is asked to end. It has [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE) from then.
    pub async fn cancelled(&self) {
        let mut cancelled = self.inner.cancelled.clone();
        let wait = Box::pin(cancelled.wait_for(|cancelled| *cancelled));
        if Quiet::new(self.activity().root(), wait).await.is_err() {
            // The driver is gone and with it this attempt: its future is dropped any moment.
            std::future::pending::<()>().await;
        }
    }

    /// What is remembered of a step.
    pub(super) fn known(&self, step: &str) -> Option<&StepState> {
        self.inner.steps.get(step)
    }

    pub(super) fn activity(&self) -> &Activity {
        &self.inner.activity
    }

    pub(super) fn seen(&self) -> &Attempt {
        &self.inner.seen
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.inner.clock
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
        let (run, jobs) = (&self.inner.run, &self.inner.jobs);
        let fetch = || async {
            let (store, payload) = (self.store().await, payload.clone());
            jobs.counted(async move { blobs::fetch(&*store, run, payload).await }).await
        };
        Ok(insist(fetch).await?)
    }

    /// What goes into the journal for a payload.
    pub(super) async fn keep(&self, payload: Payload) -> TaskResult<Payload> {
        let (run, jobs) = (&self.inner.run, &self.inner.jobs);
        let keep = || async {
            let (store, payload) = (self.store().await, payload.clone());
            jobs.counted(async move { blobs::keep(&*store, run, payload).await }).await
        };
        Ok(insist(keep).await?)
    }

    /// The store, for the moment. What is left of a call that is over says nothing any more.
    async fn store(&self) -> Arc<dyn Store> {
        match self.inner.store.upgrade().filter(|_| !self.inner.activity.is_over()) {
            Some(store) => store,
            None => std::future::pending().await,
        }
    }

    /// Asks the driver, and waits until the answer is durable.
    pub(super) async fn request(&self, request: TaskRequest) -> TaskResult<Payload> {
        self.request_within(Span::none(), request).await
    }

    /// The same; the span is told where in the journal the decision is.
    pub(super) async fn request_within(&self, span: Span, request: TaskRequest) -> TaskResult<Payload> {
        let activity = &self.inner.activity;
        activity.used();
        if activity.is_over() {
            return self.orphaned().await;
        }
        self.inner.tell_let_go(|_| true);
        let _asking = activity.asking();
        let _waiting = request.is_wait().then(|| activity.waiting());
        activity.beat(self.inner.clock.now());
        let (reply, answer) = oneshot::channel::<StepReply>();
        let (node, attempt) = (self.inner.node.clone(), self.inner.attempt);
        let message = Message::Request { node, attempt, request, reply, span };
        if self.inner.driver.send(message).await.is_err() {
            return self.orphaned().await;
        }
        let answer = Quiet::new(activity.root(), answer).await;
        // Its silence was not its own.
        activity.beat(self.inner.clock.now());
        match answer {
            Ok(Ok(result)) => result.map_err(TaskError::from),
            Ok(Err(error)) => Err(TaskError::permanent(error.to_string())),
            Err(_) => self.orphaned().await,
        }
    }

    /// Nobody drives this attempt any more. What it says would be lost, so it says nothing: its future is dropped with
    /// the driver, and the attempt goes on wherever the run is driven next.
    pub(super) async fn orphaned<T>(&self) -> T {
        std::future::pending().await
    }
}

impl Inner {
    pub(super) fn note(&self, what: Told) {
        self.outbox.push(Note { node: self.node.clone(), attempt: self.attempt, what });
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
