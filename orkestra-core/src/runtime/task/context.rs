//! The context of a task: its run, its steps, its waits.

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
use super::given::{Uses, Withdrawal};
use super::keys::{Use, digest, later_use};
use super::message::{Message, StepReply};
use super::outbox::{Note, NoteKind, Outbox};
use super::root::EngineWait;
use super::sides::{acted, scope_here};
use super::step::{Step, step_here};
use crate::runtime::clock::Clock;
use crate::runtime::storage::blobs;
use crate::runtime::support::drain::{Drain, UnderWay};
use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::ownership::Ownership;
use crate::runtime::support::patience::insist;
use crate::runtime::support::watch;
use crate::runtime::telemetry::Attempt;

/// Length of the digest in an idempotency key, in bytes.
const KEY_DIGEST_BYTES: usize = 16;

/// Gives a task access to its run during one attempt. Cheap to clone; useless after the attempt.
///
/// **Code between steps may run again.** The result of a step is remembered under the node and the step's key, across
/// crashes and attempts; everything else is repeated when the task is called again.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
    /// The prefix of its keys.
    pub(super) scope: Arc<str>,
}

pub(in crate::runtime) struct Inner {
    pub(in crate::runtime) run: RunId,
    pub(in crate::runtime) incarnation: Option<Incarnation>,
    pub(in crate::runtime) node: Name,
    pub(in crate::runtime) attempt: u32,
    pub(in crate::runtime) run_input: Payload,
    pub(in crate::runtime) last_failure: Option<Failure>,
    /// The node's steps as of the start of this call.
    pub(in crate::runtime) steps: HashMap<String, StepState>,
    pub(in crate::runtime) keys: Mutex<HashMap<String, Uses>>,
    /// Withdrawals that the driver has not been sent yet.
    pub(in crate::runtime) withdrawals: Mutex<Vec<Withdrawal>>,
    /// Keys of at-most-once steps that were dropped after their work had begun, or lost with their process.
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
    /// Weak, because a context may outlive its call in a spawned task that never ends, and must not keep the store
    /// open.
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

    /// Returns when a step may begin: never on an engine that is draining, because its tasks are dropped soon.
    pub(super) async fn begin_step(&self) -> UnderWay {
        match self.inner.drain.begin() {
            Some(under_way) => under_way,
            None => std::future::pending().await,
        }
    }

    /// Returns while this engine owns the run; otherwise never.
    pub(super) async fn until_owned(&self) {
        self.inner.ownership.until_owned().await;
    }

    /// The run's id.
    #[must_use]
    pub fn run_id(&self) -> &RunId {
        &self.inner.run
    }

    /// Distinguishes runs that use the same id one after the other; `None` for a run that an older version began.
    pub(super) fn incarnation(&self) -> Option<&Incarnation> {
        self.inner.incarnation.as_ref()
    }

    /// The node's name.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.inner.node
    }

    /// The number of this attempt of the node, counted from 1. An attempt whose process died keeps its number.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.inner.attempt
    }

    /// The failure of the previous attempt, if there was one.
    #[must_use]
    pub fn last_failure(&self) -> Option<&Failure> {
        self.inner.last_failure.as_ref()
    }

    /// The run's input.
    ///
    /// # Errors
    /// If it has another type.
    pub fn run_input<T: DeserializeOwned>(&self) -> TaskResult<T> {
        Ok(self.inner.run_input.to()?)
    }

    /// A key that is the same whenever this step of this node of this run is executed, across attempts and crashes, and
    /// different for every other step: for services that use one to recognise repeated requests. A run that was deleted
    /// and started again under the same id has other keys.
    ///
    /// If the step's key is used more than once, each use has its own idempotency key: call this method inside the
    /// step's work.
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

    /// Returns a context with its own namespace of keys, so that two parts of a task may use the same keys. Spawned
    /// tasks need one, because the order in which they use keys is not deterministic.
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
    /// If the key is too long, used from several tokio tasks, or used within a step.
    pub fn scope(&self, key: &str) -> TaskResult<Self> {
        let given = self.unique(Use::Scope(key))?;
        Ok(Self { inner: Arc::clone(&self.inner), scope: given.step.into() })
    }

    /// A memoised unit of work. Await the returned [`Step`] to execute it, or to get its remembered result.
    ///
    /// A result is durable before the step returns. **At least once**: if the process dies after the work was done and
    /// before its result is durable, the work is repeated. Pass [`idempotency_key`](Self::idempotency_key) to external
    /// services, or use [`Step::at_most_once`]. A step that fails is not remembered and is repeated by the next
    /// attempt, unless its failure is permanent.
    ///
    /// If a key is used several times in one call of the task, the later uses get `#2`, `#3` in the order of the calls.
    /// They must all come from the same tokio task: a use from another one is refused, because the order would not be
    /// deterministic. Give such tasks their own keys or a [`scope`](Self::scope). A step or a wait within a step is
    /// refused too.
    pub fn step<'a, F, Fut, T, E>(&'a self, key: impl Into<String>, work: F) -> Step<'a, F>
    where
        F: FnMut() -> Fut + Send + 'a,
        Fut: Future<Output = Result<T, E>> + Send + 'a,
        T: Serialize + DeserializeOwned + Send + 'a,
        E: Into<TaskError> + 'a,
    {
        Step::new(self, self.unique(Use::Step(&key.into())), work)
    }

    /// Emits progress or partial output as an [`Event::Emitted`](crate::kernel::Event::Emitted) of the run. It becomes
    /// durable with the next commit, in order, but is not waited for: a crash may lose the last few milliseconds.
    ///
    /// A payload that cannot be serialised to JSON or is too large is emitted as `null`, and a warning is logged.
    pub fn emit(&self, kind: &str, payload: impl Serialize) {
        let payload = Payload::of(&payload).unwrap_or_else(|error| {
            tracing::warn!(node = %self.inner.node, kind, %error, "cannot emit a payload; null is emitted instead");
            Payload::null()
        });
        self.heartbeat();
        self.inner.note(NoteKind::Emitted { kind: kind.to_owned(), payload });
    }

    /// Reports that the task is alive, for a node with a heartbeat timeout. Steps, waits and emitted progress do so
    /// too. It costs nothing and is not durable: progress worth keeping belongs in a step or in [`emit`](Self::emit).
    pub fn heartbeat(&self) {
        self.inner.activity.beat(self.inner.clock.now());
    }

    /// Charges amounts to the run's meters, such as `tokens` or `usd`: once, however often the task is called. Sums
    /// survive crashes, and parallel nodes share the run's budget. When the budget is used up, the run is paused and
    /// this returns only after it was raised and the run was resumed. Prefer [`Step::charge`] for what a step costs:
    /// both become durable together.
    ///
    /// # Errors
    /// If a meter's name is invalid, there are too many meters, or the charge cannot be stored.
    pub fn charge<'m>(
        &self,
        charges: impl IntoIterator<Item = (&'m str, Amount)>,
    ) -> impl Future<Output = TaskResult<()>> + Send {
        let (charges, given) = (meters(charges), self.unique(Use::Charge));
        async move {
            let (charges, step) = (charges?, given?.step);
            self.settle(step.clone(), || TaskRequest::Charge { step, charges }).await?;
            acted(&self.inner);
            Ok(())
        }
    }

    /// Publishes a value under a key of the run, replacing the previous one: for progress, partial results, addresses.
    /// Any process can read it with [`Run::published`](crate::Run::published), while the run is live and after its end.
    /// Durable when this returns.
    ///
    /// Each call publishes once per attempt: when the task is called again after a crash or a wait, what the attempt
    /// has already published is not published again. The next attempt publishes again. If several nodes publish under
    /// one key, the last one wins.
    ///
    /// # Errors
    /// If the key is not a valid name, the value cannot be serialised to JSON or is too large, or the run would have
    /// more than [`PUBLISHED_KEYS_MAX`](crate::model::limits::PUBLISHED_KEYS_MAX) keys.
    pub fn publish(&self, key: &str, value: impl Serialize) -> impl Future<Output = TaskResult<()>> + Send {
        let given = self.unique(Use::Publish(key, self.inner.attempt));
        let (key, value) = (Name::new(key), Payload::of(&value));
        async move {
            let (key, value, step) = (key?, value?, given?.step);
            if self.known(&step).is_none() {
                let value = self.keep(value).await?;
                self.settle(step.clone(), || TaskRequest::Publish { step, key, value }).await?;
            }
            acted(&self.inner);
            Ok(())
        }
    }

    /// Whether the attempt is asked to stop: the run was cancelled, or another node of it failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.inner.cancelled.get()
    }

    /// Returns when the attempt is asked to stop. From then on it has
    /// [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE) to end.
    pub async fn cancelled(&self) {
        let mut cancelled = self.inner.cancelled.clone();
        let wait = Box::pin(cancelled.wait_for(|cancelled| *cancelled));
        if EngineWait::new(self.activity().root(), wait).await.is_err() {
            // The driver is gone, and this attempt's future is about to be dropped.
            std::future::pending::<()>().await;
        }
    }

    /// The remembered state of a step.
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

    /// The result of a step that the driver settles: remembered, or requested.
    pub(super) async fn settle(&self, step: String, request: impl FnOnce() -> TaskRequest) -> TaskResult<Payload> {
        let result = match self.known(&step).and_then(StepState::result) {
            Some(Ok(result)) => result.clone(),
            Some(Err(failure)) => return Err(failure.clone().into()),
            None => self.request(request()).await?,
        };
        self.fetch(result).await
    }

    /// Reads the value of a payload from the journal.
    pub(super) async fn fetch(&self, payload: Payload) -> TaskResult<Payload> {
        let (run, jobs) = (&self.inner.run, &self.inner.jobs);
        let fetch = || async {
            let (store, payload) = (self.store().await, payload.clone());
            jobs.counted(async move { blobs::fetch(&*store, run, payload).await }).await
        };
        Ok(insist(fetch).await?)
    }

    /// The payload that goes into the journal for a value.
    pub(super) async fn keep(&self, payload: Payload) -> TaskResult<Payload> {
        let (run, jobs) = (&self.inner.run, &self.inner.jobs);
        let keep = || async {
            let (store, payload) = (self.store().await, payload.clone());
            jobs.counted(async move { blobs::keep(&*store, run, payload).await }).await
        };
        Ok(insist(keep).await?)
    }

    /// The store, if the call is not over; otherwise never returns.
    async fn store(&self) -> Arc<dyn Store> {
        match self.inner.store.upgrade().filter(|_| !self.inner.activity.is_over()) {
            Some(store) => store,
            None => std::future::pending().await,
        }
    }

    /// Sends a request to the driver and waits until the answer is durable.
    pub(super) async fn request(&self, request: TaskRequest) -> TaskResult<Payload> {
        self.request_within(Span::none(), request).await
    }

    /// Like [`request`](Self::request); `span` receives the position of the decision in the journal.
    pub(super) async fn request_within(&self, span: Span, request: TaskRequest) -> TaskResult<Payload> {
        let activity = &self.inner.activity;
        activity.used();
        if activity.is_over() {
            return self.orphaned().await;
        }
        self.inner.send_withdrawals(|_| true);
        let _asking = activity.asking();
        let _waiting = request.is_wait().then(|| activity.waiting());
        activity.beat(self.inner.clock.now());
        let (reply, answer) = oneshot::channel::<StepReply>();
        let (node, attempt) = (self.inner.node.clone(), self.inner.attempt);
        let message = Message::Request { node, attempt, request, reply, span };
        if self.inner.driver.send(message).await.is_err() {
            return self.orphaned().await;
        }
        let answer = EngineWait::new(activity.root(), answer).await;
        // The time it waited does not count as silence.
        activity.beat(self.inner.clock.now());
        match answer {
            Ok(Ok(result)) => result.map_err(TaskError::from),
            Ok(Err(error)) => Err(TaskError::refused(&error)),
            Err(_) => self.orphaned().await,
        }
    }

    /// This attempt has no driver any more, so its results would be lost. Its future never continues; it is dropped
    /// with the driver, and the attempt continues wherever the run is driven next.
    pub(super) async fn orphaned<T>(&self) -> T {
        std::future::pending().await
    }
}

impl Inner {
    pub(super) fn note(&self, what: NoteKind) {
        self.outbox.push(Note { node: self.node.clone(), attempt: self.attempt, what });
    }
}

/// Charges by meter; charges of the same meter are added up.
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
