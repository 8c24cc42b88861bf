//! What a model costs, so that a run's budget in dollars holds.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_core::model::Amount;
use serde::{Deserialize, Serialize};

use crate::model::{Model, ModelError, Reply, Request, Silent, Sink, Usage};

/// Tokens that a price is for.
const TOKENS: u128 = 1_000_000;

/// The price of a model in dollars per million tokens.
///
/// ```
/// use orkestra_agents::model::{Price, Usage};
/// use orkestra_core::model::Amount;
///
/// let price = Price::new(Amount::from_units(2.5), Amount::from_units(10.0));
/// let usage = Usage { input: Some(1_000), output: Some(100), ..Usage::default() };
/// assert_eq!(price.cost(usage), Some(Amount::from_units(0.0035)));
/// assert_eq!(price.cost(Usage { output: None, ..usage }), None);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// Dollars per million tokens read.
    pub input: Amount,
    /// Dollars per million tokens written.
    pub output: Amount,
}

impl Price {
    /// A price in dollars per million tokens, read and written.
    #[must_use]
    pub fn new(input: Amount, output: Amount) -> Self {
        Self { input, output }
    }

    /// What a call costs, in dollars, rounded up to the next millionth. `None` when a number of tokens is unknown.
    #[must_use]
    pub fn cost(self, usage: Usage) -> Option<Amount> {
        let part = |tokens: u64, price: Amount| u128::from(tokens) * u128::from(price.as_micros());
        let sum = part(usage.input?, self.input).saturating_add(part(usage.output?, self.output));
        Some(Amount::micros(u64::try_from(sum.div_ceil(TOKENS)).unwrap_or(u64::MAX)))
    }
}

/// A model with a known price: its replies carry their cost.
pub struct Priced {
    inner: Arc<dyn Model>,
    price: Price,
}

impl Priced {
    /// `inner` at this price. A cost that `inner` reports itself stays.
    #[must_use]
    pub fn new(inner: Arc<dyn Model>, price: Price) -> Self {
        Self { inner, price }
    }
}

// So that a new method of the trait cannot be forgotten here.
#[deny(clippy::missing_trait_methods)]
#[async_trait]
impl Model for Priced {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn context_tokens(&self) -> u64 {
        self.inner.context_tokens()
    }

    fn inner(&self) -> Option<&dyn Model> {
        Some(&*self.inner)
    }

    fn notice(&self) -> Option<&str> {
        self.inner.notice()
    }

    fn sees_images(&self) -> bool {
        self.inner.sees_images()
    }

    fn reports_cost(&self) -> bool {
        true
    }

    async fn stream(&self, request: &Request, sink: &dyn Sink) -> Result<Reply, ModelError> {
        let mut reply = self.inner.stream(request, sink).await?;
        reply.usage.cost_usd = reply.usage.cost_usd.or_else(|| self.price.cost(reply.usage));
        Ok(reply)
    }

    async fn complete(&self, request: &Request) -> Result<Reply, ModelError> {
        self.stream(request, &Silent).await
    }
}
