//! A memoised unit of work inside a task.
//!
//! What the caller gets is what was stored: a result is read back from its JSON before it is returned, the first time
//! as later. One that cannot be read back fails at once.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{Instrument, Span};

use crate::kernel::{StepState, TaskRequest};
use crate::model::limits::METERS_MAX;
use crate::model::{Amount, Failure, FailureKind, Name, Payload, Retry};

use super::code::{TaskError, TaskResult};
use super::context::{Context, Inner, meters};
use super::given::{Given, Withdrawal};
use super::root::EngineWait;
use super::sides::acted;
use crate::runtime::telemetry::step_failed;

/// A step: executed, or read from memory, when it is awaited. Created by [`Context::step`].
#[must_use = "a step does nothing until it is awaited"]
pub struct Step<'a, F> {
    cx: &'a Context,
    key: TaskResult<Given>,
    work: F,
    retry: Retry,
    timeout: Option<Duration>,
    at_most_once: bool,
    charges: Option<Charges<'a>>,
    once: AtMostOnce<'a>,
}

/// Computes what a step costs from its result as JSON.
type Charges<'a> = Box<dyn Fn(&Payload) -> TaskResult<BTreeMap<Name, Amount>> + Send + 'a>;

impl<F> fmt::Debug for Step<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("key", &self.key).finish_non_exhaustive()
    }
}

thread_local! {
    /// The step being executed: the address of its call, and its key.
    static WORKING: RefCell<Option<(usize, Arc<str>)>> = const { RefCell::new(None) };
}

fn address(call: &Arc<Inner>) -> usize {
    Arc::as_ptr(call).addr()
}

/// The step of this call that is being executed on this thread right now.
pub(super) fn step_here(call: &Arc<Inner>) -> Option<Arc<str>> {
    WORKING.with_borrow(|working| working.as_ref().filter(|(of, _)| *of == address(call)).map(|(_, step)| step.clone()))
}

/// Runs a function as part of a step.
fn within<T>(call: &Arc<Inner>, step: &Arc<str>, work: impl FnOnce() -> T) -> T {
    struct Restore(Option<(usize, Arc<str>)>);
    impl Drop for Restore {
        fn drop(&mut self) {
            WORKING.set(self.0.take());
        }
    }
    let _restore = Restore(WORKING.replace(Some((address(call), Arc::clone(step)))));
    work()
}

/// The work of a step, polled as part of it.
struct Within<'a, Fut> {
    call: &'a Arc<Inner>,
    step: Arc<str>,
    work: Pin<Box<Fut>>,
}

impl<Fut: Future> Future for Within<'_, Fut> {
    type Output = Fut::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<Fut::Output> {
        let (call, step) = (self.call, Arc::clone(&self.step));
        within(call, &step, || self.work.as_mut().poll(cx))
    }
}

/// An at-most-once step, from the request to start it until its end is durable.
struct AtMostOnce<'a> {
    cx: &'a Context,
    step: Option<String>,
    /// Whether its work was called.
    begun: bool,
}

impl Drop for AtMostOnce<'_> {
    fn drop(&mut self) {
        let Some(step) = self.step.take() else { return };
        if !self.begun && self.cx.activity().is_over() {
            return self.cx.withdraw_unstarted(step);
        }
        self.cx.withdraw(Withdrawal { step, begun: self.begun, at_once: true });
    }
}

impl Context {
    /// Returns when work may begin: not while the run is paused. If the attempt is asked to stop during a pause,
    /// nothing begins.
    async fn may_begin(&self) -> TaskResult<()> {
        let mut paused = self.inner().paused.clone();
        if !paused.get() {
            return Ok(());
        }
        let _asking = self.activity().asking();
        let mut cancelled = self.inner().cancelled.clone();
        let wait = Box::pin(async move {
            tokio::select! {
                biased;
                cancelled = cancelled.wait_for(|cancelled| *cancelled) => cancelled.map(|()| true),
                resumed = paused.wait_for(|paused| !*paused) => resumed.map(|()| false),
            }
        });
        let Ok(cancelled) = EngineWait::new(self.activity().root(), wait).await else { return self.orphaned().await };
        self.heartbeat();
        if cancelled {
            return Err(TaskError::permanent("the run was paused and is stopping: no step is started")
                .with_kind(FailureKind::Cancelled));
        }
        Ok(())
    }
}

impl<'a, F> Step<'a, F> {
    pub(super) fn new(cx: &'a Context, key: TaskResult<Given>, work: F) -> Self {
        let once = AtMostOnce { cx, step: None, begun: false };
        Self { cx, key, work, retry: Retry::none(), timeout: None, at_most_once: false, charges: None, once }
    }

    /// Retries the work within this attempt if it fails with a retryable error. The delays are not durable: after a
    /// crash the step starts again with the first try.
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Fails a try that takes longer than `limit`, with kind `timed_out`.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Starts the work at most once, across all attempts and crashes. The start is made durable first, which costs one
    /// more write. Every result is remembered, including failures. If the process dies during the work, or the step's
    /// future is dropped after the work has begun, the effect is unknown: the step fails with kind `interrupted`, now
    /// and later, and so do later uses of its key. With [`retry`](Self::retry) the work is retried within that single
    /// start.
    pub fn at_most_once(self) -> Self {
        Self { at_most_once: true, ..self }
    }
}

impl<'a, F, Fut, T, E> IntoFuture for Step<'a, F>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
    T: Serialize + DeserializeOwned + Send + 'a,
    E: Into<TaskError> + 'a,
{
    type Output = TaskResult<T>;
    type IntoFuture = Pin<Box<dyn Future<Output = TaskResult<T>> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<'a, F, Fut, T, E> Step<'a, F>
where
    F: FnMut() -> Fut + Send + 'a,
    Fut: Future<Output = Result<T, E>> + Send + 'a,
    T: Serialize + DeserializeOwned + Send + 'a,
    E: Into<TaskError> + 'a,
{
    /// Charges the cost of the work, computed from its result, to the run's meters. Result and charge become durable
    /// together, so that neither is lost or counted twice. See [`Context::charge`].
    pub fn charge<M>(self, cost: impl Fn(&T) -> M + Send + 'a) -> Self
    where
        M: IntoIterator<Item = (&'static str, Amount)>,
    {
        let charges = move |result: &Payload| Ok(meters(cost(&result.to()?))?);
        Self { charges: Some(Box::new(charges)), ..self }
    }

    async fn run(self) -> TaskResult<T> {
        let cx = self.cx;
        let result = self.run_here().await;
        acted(cx.inner());
        result
    }

    async fn run_here(self) -> TaskResult<T> {
        let (cx, Given { step }) = (self.cx, self.key.clone()?);
        match cx.known(&step) {
            Some(StepState::Done(result)) => {
                cx.seen().remembered(&step);
                let result = cx.fetch(result.clone()).await?;
                return remembered(&step, &result);
            }
            Some(StepState::Failed(failure)) => {
                cx.seen().remembered(&step);
                return Err(failure.clone().into());
            }
            Some(StepState::Started) if self.at_most_once => return interrupted(cx, step).await,
            _ => {}
        }
        if self.at_most_once && cx.was_interrupted(&step) {
            let message = format!("an earlier use of the key of step `{step}` was interrupted; its effect is unknown");
            return Err(Failure::permanent(FailureKind::Interrupted, message).into());
        }
        let span = cx.seen().step((cx.run_id(), cx.node(), cx.attempt()), &step);
        self.execute(step, &span)
            .instrument(span.clone())
            .await
            .inspect_err(|error| step_failed(&span, error.failure()))
    }

    /// Executes the work and records how it ended.
    async fn execute(mut self, step: String, span: &Span) -> TaskResult<T> {
        let cx = self.cx;
        cx.may_begin().await?;
        // Held until the result is durable: draining waits for that, and the task is not parked meanwhile.
        let _under_way = cx.begin_step().await;
        if self.at_most_once {
            self.once.step = Some(step.clone());
            cx.request(TaskRequest::StartStep { step: step.clone() }).await?;
        }
        let working = cx.activity().working();
        let (seen, result, charges) = match cx.seen().work(self.work_with_retries(&step)).await {
            Ok(value) => match self.written(&value) {
                Ok((seen, result, charges)) => (Some(seen), Ok(cx.keep(result).await?), charges),
                Err(failure) => (None, Err(failure), BTreeMap::new()),
            },
            Err(error) if self.at_most_once || !error.failure().retryable => {
                (None, Err(error.into_failure()), BTreeMap::new())
            }
            Err(error) => {
                self.once.step = None;
                return Err(error);
            }
        };
        // The rest is up to the driver: if the run was paused in the meantime, the task may be dropped from memory.
        drop(working);
        let remembered = end(cx, span, step, result, charges).await;
        self.once.step = None;
        match seen {
            Some(seen) => remembered.map(|_| seen),
            None => Ok(remembered?.to()?),
        }
    }

    /// The result as it will be remembered, its JSON, and what it cost.
    fn written(&self, value: &T) -> Result<(T, Payload, BTreeMap<Name, Amount>), Failure> {
        let bad = |error: &dyn fmt::Display| Failure::permanent(FailureKind::BadOutput, error.to_string());
        let result = Payload::large(value).map_err(|error| bad(&error))?;
        let seen =
            result.to().map_err(|error| bad(&format!("the result cannot be read back from its JSON: {error}")))?;
        let charges =
            self.charges.as_ref().map(|charges| charges(&result)).transpose().map_err(TaskError::into_failure)?;
        let charges = charges.unwrap_or_default();
        if charges.len() > METERS_MAX {
            return Err(bad(&format!("a charge may name at most {METERS_MAX} meters")));
        }
        Ok((seen, result, charges))
    }

    async fn work_with_retries(&mut self, step: &str) -> TaskResult<T> {
        let mut tries = 1;
        loop {
            let error = match self.work_once(step).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // The jitter comes from the milliseconds of the clock: it only needs to differ between processes.
            let chance = f64::from(u16::try_from(self.cx.clock().now().as_millis() % 1000).unwrap_or(0)) / 1000.0;
            let delay = self.retry.delay(tries, chance).filter(|_| error.failure().retryable);
            let Some(delay) = delay else { return Err(error) };
            let cancelled = tokio::select! {
                biased;
                () = self.cx.cancelled() => true,
                () = tokio::time::sleep(delay) => false,
            };
            if cancelled || self.cx.may_begin().await.is_err() {
                return Err(error);
            }
            self.cx.seen().tries_again(error.failure(), tries);
            tries += 1;
        }
    }

    async fn work_once(&mut self, step: &str) -> TaskResult<T> {
        self.cx.until_owned().await;
        self.once.begun = true;
        let (call, here) = (self.cx.inner(), Arc::from(step));
        let work = Box::pin(within(call, &here, || (self.work)()));
        let work = Within { call, step: here, work };
        let Some(limit) = self.timeout else { return work.await.map_err(Into::into) };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => {
                let message = format!("step `{step}` took longer than {} ms", limit.as_millis());
                Err(TaskError::new(message).with_kind(FailureKind::TimedOut))
            }
        }
    }
}

fn remembered<T: DeserializeOwned>(step: &str, result: &Payload) -> TaskResult<T> {
    result.to().map_err(|error| {
        let message = format!("step `{step}` has a remembered result of another type: {error}");
        TaskError::permanent(message).with_kind(FailureKind::BadOutput).with_key_taken()
    })
}

/// Records the end of a step. Returns what is remembered.
async fn end(
    cx: &Context,
    span: &Span,
    step: String,
    result: Result<Payload, Failure>,
    charges: BTreeMap<Name, Amount>,
) -> TaskResult<Payload> {
    cx.request_within(span.clone(), TaskRequest::EndStep { step, result, charges }).await
}

async fn interrupted<T: DeserializeOwned>(cx: &Context, key: String) -> TaskResult<T> {
    let message = format!("the attempt was interrupted during step `{key}`; its effect is unknown");
    let failure = Failure::permanent(FailureKind::Interrupted, message);
    let remembered = end(cx, &Span::none(), key, Err(failure), BTreeMap::new()).await?;
    Ok(remembered.to()?)
}
