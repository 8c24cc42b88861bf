//! A memoised unit of work inside a task.

use std::collections::BTreeMap;
use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::{Instrument, Span};

use crate::kernel::{StepState, TaskRequest};
use crate::model::{Amount, Failure, Name, Payload, Retry};

use super::context::{Context, meters};
use super::task::{TaskError, TaskResult};
use super::telemetry::step_failed;

/// A step that is done, or remembered, when it is awaited. Made by [`Context::step`].
#[must_use = "a step does nothing until it is awaited"]
pub struct Step<'a, F> {
    cx: &'a Context,
    key: String,
    work: F,
    retry: Retry,
    timeout: Option<Duration>,
    at_most_once: bool,
    charges: Option<Charges<'a>>,
}

/// What a step costs, by its result in JSON.
type Charges<'a> = Box<dyn Fn(&Payload) -> TaskResult<BTreeMap<Name, Amount>> + Send + 'a>;

impl<F> fmt::Debug for Step<'_, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Step").field("key", &self.key).finish_non_exhaustive()
    }
}

impl<'a, F> Step<'a, F> {
    pub(super) fn new(cx: &'a Context, key: String, work: F) -> Self {
        Self { cx, key, work, retry: Retry::none(), timeout: None, at_most_once: false, charges: None }
    }

    /// Tries the work again within this attempt when it fails with a retryable error. The delays are not durable: a
    /// process that dies in one begins anew with the first try.
    pub fn retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// Fails a try that takes longer, with kind `timed_out`.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self }
    }

    /// Charges what the work cost to the run's meters, by its result; written down together with it, so that neither is
    /// lost or counted twice. See [`Context::charge`].
    pub fn charge<T, M>(self, cost: impl Fn(&T) -> M + Send + 'a) -> Self
    where
        T: DeserializeOwned,
        M: IntoIterator<Item = (&'static str, Amount)>,
    {
        let charges = move |result: &Payload| Ok(meters(cost(&result.to()?))?);
        Self { charges: Some(Box::new(charges)), ..self }
    }

    /// Lets the work begin once at most, over all attempts and crashes. That it begins is durable before it does, which
    /// costs one more write. Whatever it returns is remembered, failures too; when the process died on the way, the
    /// step fails with kind `interrupted`, now and later: nobody can tell what the work did.
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
    async fn run(self) -> TaskResult<T> {
        match self.cx.known(&self.key) {
            Some(StepState::Done(result)) => {
                let cx = self.cx;
                cx.seen().remembered(&self.key);
                let result = cx.fetch(result.clone()).await?;
                return self.remembered(&result);
            }
            Some(StepState::Failed(failure)) => {
                self.cx.seen().remembered(&self.key);
                return Err(failure.clone().into());
            }
            Some(StepState::Started) if self.at_most_once => return interrupted(self.cx, self.key).await,
            _ => {}
        }
        let span = self.cx.seen().step(self.cx, &self.key);
        self.execute(&span).instrument(span.clone()).await.inspect_err(|error| step_failed(&span, error.failure()))
    }

    /// Does the work and writes down how it ended.
    async fn execute(mut self, span: &Span) -> TaskResult<T> {
        // Until what it did is durable: an engine that is drained waits for that.
        let _under_way = self.cx.begin_step().await;
        if self.at_most_once {
            self.cx.request(TaskRequest::StartStep { step: self.key.clone() }).await?;
        }
        let working = self.cx.activity().working();
        let result = self.cx.seen().work(self.work_with_retries()).await;
        drop(working);
        match result {
            Ok(value) => {
                let result =
                    Payload::large(&value).map_err(|error| Failure::permanent("bad_output", error.to_string()));
                let charges = match (&result, &self.charges) {
                    (Ok(result), Some(charges)) => charges(result)?,
                    _ => BTreeMap::new(),
                };
                let result = match result {
                    Ok(result) => Ok(self.cx.keep(result).await?),
                    Err(failure) => Err(failure),
                };
                end(self.cx, span, self.key, result, charges).await?;
                Ok(value)
            }
            Err(error) if self.at_most_once || !error.failure().retryable => {
                end(self.cx, span, self.key, Err(error.into_failure()), BTreeMap::new())
                    .await
                    .and_then(|result| Ok(result.to()?))
            }
            Err(error) => Err(error),
        }
    }

    fn remembered(&self, result: &Payload) -> TaskResult<T> {
        result.to().map_err(|error| {
            let message = format!("step `{}` is remembered with another type of result: {error}", self.key);
            TaskError::permanent(message).with_kind("bad_output")
        })
    }

    async fn work_with_retries(&mut self) -> TaskResult<T> {
        let mut tries = 1;
        loop {
            let error = match self.work_once().await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            // Chance comes from the time's last millisecond digits: it need only differ between processes.
            let chance = f64::from(u16::try_from(self.cx.clock().now().as_millis() % 1000).unwrap_or(0)) / 1000.0;
            let delay = self.retry.delay(tries, chance).filter(|_| error.failure().retryable);
            let Some(delay) = delay else { return Err(error) };
            self.cx.seen().tries_again(error.failure(), tries);
            tokio::time::sleep(delay).await;
            tries += 1;
        }
    }

    async fn work_once(&mut self) -> TaskResult<T> {
        self.cx.held().await;
        let work = (self.work)();
        let Some(limit) = self.timeout else { return work.await.map_err(Into::into) };
        match tokio::time::timeout(limit, work).await {
            Ok(result) => result.map_err(Into::into),
            Err(_) => {
                let message = format!("step `{}` took longer than {} ms", self.key, limit.as_millis());
                Err(TaskError::new(message).with_kind("timed_out"))
            }
        }
    }
}

/// Writes the end of a step down. What comes back is what is remembered.
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
    let message = format!("the process died while step `{key}` was under way; what it did cannot be told");
    let failure = Failure::permanent("interrupted", message);
    let remembered = end(cx, &Span::none(), key, Err(failure), BTreeMap::new()).await?;
    Ok(remembered.to()?)
}
