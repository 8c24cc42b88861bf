//! Waiting, retrying and falling back: a model made of an ordered list of models.
//!
//! It never waits when waiting cannot help: credit and authentication errors are returned at once.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::model::{Model, ModelError, Reply, Request, Silent, Sink, StreamEvent};

/// How often and how long a call is tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// Tries per model, the first one included.
    pub tries: u32,
    /// The first wait; it doubles from try to try.
    pub delay_initial: Duration,
    /// The longest wait without a request of the provider.
    pub delay_max: Duration,
    /// The longest wait that a provider may ask for. When it asks for more, the next model is tried, or the call fails.
    pub retry_after_max: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            tries: 4,
            delay_initial: Duration::from_secs(1),
            delay_max: Duration::from_secs(30),
            retry_after_max: Duration::from_secs(120),
        }
    }
}

impl Patience {
    /// How long to wait after try `made` failed with `error`; `None` when waiting cannot help.
    fn delay(&self, error: &ModelError, made: u32) -> Option<Duration> {
        if !error.is_retryable() || made >= self.tries {
            return None;
        }
        if let ModelError::RateLimited { retry_after: Some(asked), .. } = error {
            return (*asked <= self.retry_after_max).then_some(*asked);
        }
        let doubled = self.delay_initial.saturating_mul(2_u32.saturating_pow(made.saturating_sub(1)));
        Some(doubled.min(self.delay_max))
    }
}

/// A model that waits as long as its provider asks, tries again, and then tries the next model of its list.
pub struct Patient {
    first: Arc<dyn Model>,
    fallbacks: Vec<Arc<dyn Model>>,
    patience: Patience,
}

impl Patient {
    /// Tries `first`, then `fallbacks` in order.
    #[must_use]
    pub fn new(first: Arc<dyn Model>, fallbacks: Vec<Arc<dyn Model>>, patience: Patience) -> Self {
        Self { first, fallbacks, patience }
    }

    async fn try_one(&self, model: &dyn Model, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let mut made = 0;
        loop {
            made += 1;
            let error = match model.stream(request, sink).await {
                Ok(reply) => return Ok(reply),
                Err(error) => error,
            };
            let Some(delay) = self.patience.delay(&error, made) else {
                return Err(error);
            };
            tracing::warn!(model = model.name(), %error, ?delay, "a model call failed; trying again");
            sink.event(StreamEvent::Waiting { delay, reason: error });
            tokio::time::sleep(delay).await;
            sink.event(StreamEvent::Restarted { model: model.name().to_owned() });
        }
    }
}

// So that a new method of the trait cannot be forgotten here.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Model for Patient {
    fn name(&self) -> &str {
        self.first.name()
    }

    fn context_tokens(&self) -> u64 {
        // NOTE: a conversation must fit into the window of every model that may answer.
        self.fallbacks.iter().map(|model| model.context_tokens()).fold(self.first.context_tokens(), u64::min)
    }

    fn inner(&self) -> Option<&dyn Model> {
        Some(&*self.first)
    }

    fn notice(&self) -> Option<&str> {
        self.first.notice()
    }

    fn sees_images(&self) -> bool {
        // One that does not see leaves them out.
        self.first.sees_images() || self.fallbacks.iter().any(|model| model.sees_images())
    }

    fn reports_cost(&self) -> bool {
        self.first.reports_cost() && self.fallbacks.iter().all(|model| model.reports_cost())
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let mut error = match self.try_one(&*self.first, request, sink).await {
            Ok(reply) => return Ok(reply),
            Err(error) => error,
        };
        for model in &self.fallbacks {
            if !error.allows_fallback() {
                break;
            }
            tracing::warn!(model = model.name(), %error, "falling back to another model");
            sink.event(StreamEvent::Restarted { model: model.name().to_owned() });
            match self.try_one(&**model, request, sink).await {
                Ok(reply) => return Ok(reply),
                Err(next) => error = next,
            }
        }
        Err(error)
    }

    async fn complete(&self, request: &Request) -> Result<Reply, ModelError> {
        self.stream(request, &Silent).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ScriptedModel, say};

    fn limited(seconds: u64) -> ModelError {
        ModelError::RateLimited { retry_after: Some(Duration::from_secs(seconds)), message: "slow down".to_owned() }
    }

    async fn ask(models: Vec<Arc<ScriptedModel>>) -> (Result<Reply, ModelError>, Duration) {
        let mut models = models.into_iter().map(|model| model as Arc<dyn Model>);
        let first = models.next().expect("a model");
        let patient = Patient::new(first, models.collect(), Patience::default());
        let before = tokio::time::Instant::now();
        let answer = patient.stream(&Request::default(), &Silent).await;
        (answer, before.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_exactly_as_long_as_the_provider_asks() {
        let model = ScriptedModel::new("a", [Err(limited(7)), Ok(say("done"))]);
        let (answer, waited) = ask(vec![model]).await;
        assert_eq!(answer.expect("it answers").message.text, "done");
        assert_eq!(waited, Duration::from_secs(7));
    }

    #[tokio::test(start_paused = true)]
    async fn backs_off_and_then_falls_back() {
        let down = || Err(ModelError::Unavailable("503".to_owned()));
        let first = ScriptedModel::new("a", [down(), down(), down(), down()]);
        let (answer, waited) = ask(vec![first, ScriptedModel::new("b", [Ok(say("from b"))])]).await;
        assert_eq!(answer.expect("it answers").message.text, "from b");
        assert_eq!(waited, Duration::from_secs(1 + 2 + 4));
    }

    #[tokio::test(start_paused = true)]
    async fn credit_and_authentication_stop_at_once() {
        for error in [ModelError::Credit("empty".to_owned()), ModelError::Authentication("no key".to_owned())] {
            let first = ScriptedModel::new("a", [Err(error.clone())]);
            let (answer, waited) = ask(vec![first, ScriptedModel::new("b", [Ok(say("from b"))])]).await;
            assert_eq!(answer, Err(error));
            assert_eq!(waited, Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_wait_of_hours_fails_at_once() {
        let (answer, waited) = ask(vec![ScriptedModel::new("a", [Err(limited(7200))])]).await;
        assert_eq!(answer, Err(limited(7200)));
        assert_eq!(waited, Duration::ZERO);
    }
}
