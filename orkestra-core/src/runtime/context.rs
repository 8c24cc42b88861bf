//! What a task has in its hands: its run, its steps, its waits.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};

use crate::kernel::{StepState, TaskRequest};
use crate::model::{Failure, Growth, Name, Payload, RunId};

use super::clock::Clock;
use super::message::{Message, StepReply};
use super::outbox::{Outbox, Report};
use super::step::Step;
use super::task::{TaskError, TaskResult};

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

    /// Waits for a while. Durable: the wait goes on over crashes, its end does not move.
    ///
    /// # Errors
    /// When the engine cannot write the wait down.
    pub async fn sleep(&self, duration: Duration) -> TaskResult<()> {
        let step = self.unique("sleep".into());
        let due = self.0.clock.now().saturating_add(duration);
        self.settle(step.clone(), || TaskRequest::Sleep { step, due }).await.map(drop)
    }

    /// Waits for the signal `name` and takes it. Durable: it is taken once, and remembered.
    ///
    /// # Errors
    /// When the signal's payload is no `T`, or the engine cannot write the wait down.
    pub async fn signal<T: DeserializeOwned>(&self, name: &str) -> TaskResult<T> {
        let signal = Name::new(name)?;
        let step = self.unique(format!("signal:{signal}"));
        let payload = self.settle(step.clone(), || TaskRequest::AwaitSignal { step, signal }).await?;
        Ok(payload.to()?)
    }

    /// Adds nodes and edges to the run's graph; once, however often the task is called. New nodes name tasks that the
    /// engine knows; those that wait for nothing start at once.
    ///
    /// # Errors
    /// When the growth does not fit the graph: an unknown or repeated name, a cycle, an edge into a node that has
    /// started. The graph is as it was then.
    pub async fn grow(&self, key: &str, growth: Growth) -> TaskResult<()> {
        let step = self.unique(format!("grow:{key}"));
        self.settle(step.clone(), || TaskRequest::Grow { step, growth }).await.map(drop)
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
        let (node, attempt) = (self.0.node.clone(), self.0.attempt);
        self.0.outbox.push(Report { node, attempt, kind: kind.to_owned(), payload });
    }

    /// Whether the attempt is asked to end: the run was cancelled, or another node of it failed.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.cancelled.borrow()
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
    fn unique(&self, key: String) -> String {
        let mut keys = self.0.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let uses = keys.entry(key.clone()).or_insert(0);
        *uses += 1;
        if *uses == 1 { key } else { format!("{key}#{uses}") }
    }

    /// What is remembered of a step.
    pub(super) fn known(&self, step: &str) -> Option<&StepState> {
        self.0.steps.get(step)
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.0.clock
    }

    /// The result of a step that the driver settles, remembered or asked for.
    async fn settle(&self, step: String, request: impl FnOnce() -> TaskRequest) -> TaskResult<Payload> {
        match self.known(&step).and_then(StepState::result) {
            Some(Ok(result)) => Ok(result.clone()),
            Some(Err(failure)) => Err(failure.clone().into()),
            None => self.request(request()).await,
        }
    }

    /// Asks the driver, and waits until the answer is durable.
    pub(super) async fn request(&self, request: TaskRequest) -> TaskResult<Payload> {
        let (reply, answer) = oneshot::channel::<StepReply>();
        let (node, attempt) = (self.0.node.clone(), self.0.attempt);
        let message = Message::Request { node, attempt, request, reply };
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
