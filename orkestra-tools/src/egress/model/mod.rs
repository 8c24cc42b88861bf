//! One model endpoint for the programs in a sandbox, which see neither its address nor its key.
//!
//! ```text
//! client -> http://127.0.0.1:3128/model/v1/chat/completions -> path on the list? -> limits left? -> body rewritten (ask.rs)
//!        -> the operator's endpoint, with the operator's key
//!        <- key masked, usage counted (pass.rs, meter.rs), passed on as it arrives
//! ```
//!
//! IMPORTANT: the endpoint is the operator's own choice, so any address is allowed for it, loopback included. A tenant must never
//! choose it.

mod ask;
mod meter;
mod pass;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::{Client, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::{EgressError, upstream};
use crate::limits::{EGRESS_MODEL_CALLS_MAX, EGRESS_MODEL_SILENCE_MAX};
use crate::secrets::Secrets;

pub(super) use ask::serve;
use meter::Tokens;

/// The first part of the path of every request for the model.
pub(super) const PREFIX: &str = "model";

/// The base address of the model as programs in a sandbox see it.
pub const MODEL_BASE_URL: &str = "http://127.0.0.1:3128/model/v1";

/// Lets the programs of a sandbox with the network `registries` use one model endpoint, and counts what they use.
///
/// Inside, the endpoint is [`MODEL_BASE_URL`], and any key will do. Only `POST` to `chat/completions`, `completions`,
/// `responses`, `messages` and `embeddings` and `GET` of `models` are passed on. Clones share their counters and limits.
///
/// ```
/// use orkestra_tools::egress::{EgressOptions, ModelGateway};
///
/// let gateway = ModelGateway::new("http://127.0.0.1:8000/v1", Some("sk-0123456789"))?.with_tokens_max(200_000);
/// let options = EgressOptions::default().with_model(gateway.clone());
/// assert_eq!(gateway.usage().calls, 0);
/// # Ok::<(), orkestra_tools::egress::EgressError>(())
/// ```
#[derive(Clone)]
pub struct ModelGateway {
    base: Url,
    key: Option<String>,
    client: Client,
    /// The key, to be masked in whatever comes back.
    secrets: Secrets,
    model: Option<String>,
    calls_max: Option<u64>,
    tokens_max: Option<u64>,
    output_tokens_max: Option<u64>,
    state: Arc<State>,
}

/// What clones share.
struct State {
    counters: Mutex<Counters>,
    free: Arc<Semaphore>,
}

#[derive(Debug, Clone, Default)]
struct Counters {
    usage: ModelUsage,
    /// What calls of unknown usage are taken to have used, for the limit only.
    estimated: u64,
    /// Whether the endpoint has served a call.
    was_served: bool,
    /// Since when it has served none.
    failing_since: Option<Instant>,
}

impl State {
    fn new() -> Arc<Self> {
        Arc::new(Self { counters: Mutex::default(), free: Arc::new(Semaphore::new(EGRESS_MODEL_CALLS_MAX)) })
    }
}

/// What went through a [`ModelGateway`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ModelUsage {
    /// Calls that were passed on, those included that failed.
    pub calls: u64,
    /// Tokens of input, of the calls whose usage is known.
    pub input_tokens: u64,
    /// Tokens of output, of the calls whose usage is known.
    pub output_tokens: u64,
    /// Calls that were answered in full without their usage.
    pub calls_without_usage: u64,
    /// Calls that ended early, without their usage: the client hung up, or the endpoint did.
    pub calls_cut_off: u64,
    /// Calls that were refused because a limit was reached.
    pub refused: u64,
}

impl ModelUsage {
    /// Whether the tokens are those of every call that was answered in full. When they are not, they are too low.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.calls_without_usage == 0
    }
}

impl fmt::Debug for ModelGateway {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("ModelGateway");
        shown.field("base", &self.base.as_str()).field("has_key", &self.key.is_some()).field("usage", &self.usage());
        shown.finish_non_exhaustive()
    }
}

impl ModelGateway {
    /// A gateway to the endpoint with this base address, such as `http://127.0.0.1:8000/v1`, and its key. Redirects are not
    /// followed.
    ///
    /// # Errors
    /// [`EgressError::Options`] when the address is invalid or has a user, a query or a fragment, or the key cannot be sent.
    pub fn new(base_url: &str, key: Option<impl Into<String>>) -> Result<Self, EgressError> {
        let invalid = |reason: &str| EgressError::Options(format!("cannot use the model endpoint: {reason}"));
        let base = Url::parse(base_url.trim().trim_end_matches('/'));
        let base = base.map_err(|_| invalid("its address is invalid; give one such as http://127.0.0.1:8000/v1"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(invalid("its address must begin with http:// or https://"));
        }
        let is_bare = base.username().is_empty() && base.password().is_none();
        if !is_bare || base.query().is_some() || base.fragment().is_some() {
            return Err(invalid("its address must have no user, query or fragment; give the key separately"));
        }
        let key = key.map(|key| key.into().trim().to_owned()).filter(|key| !key.is_empty());
        if key.as_ref().is_some_and(|key| reqwest::header::HeaderValue::from_str(key).is_err()) {
            return Err(invalid("its key holds characters that a header cannot"));
        }
        let secrets = Secrets::new(key.iter().map(|key| ("MODEL_KEY", key.clone())));
        let secrets = secrets.map_err(|error| invalid(&error.to_string()))?;
        let client = client(&[], None)?;
        let state = State::new();
        let (model, calls_max, tokens_max, output_tokens_max) = (None, None, None, None);
        Ok(Self { base, key, client, secrets, model, calls_max, tokens_max, output_tokens_max, state })
    }

    /// The same endpoint and limits, with counters of its own that begin at zero: one for each trial or run.
    #[must_use]
    pub fn renewed(&self) -> Self {
        Self { state: State::new(), ..self.clone() }
    }

    /// Asks for this model, whatever the program asks for.
    #[must_use]
    pub fn with_model(mut self, name: impl Into<String>) -> Self {
        self.model = Some(name.into());
        self
    }

    /// Limits the calls in sum.
    #[must_use]
    pub fn with_calls_max(mut self, calls: u64) -> Self {
        self.calls_max = Some(calls);
        self
    }

    /// Limits the tokens in sum, input and output. Calls that are under way when it is reached are not cut off. A call whose usage
    /// is unknown counts as a token for every four bytes of its request and answer.
    #[must_use]
    pub fn with_tokens_max(mut self, tokens: u64) -> Self {
        self.tokens_max = Some(tokens);
        self
    }

    /// Limits the tokens that one call may generate.
    #[must_use]
    pub fn with_output_tokens_max(mut self, tokens: u64) -> Self {
        self.output_tokens_max = Some(tokens);
        self
    }

    /// Trusts these certificates (PEM) beside the system's, and goes through the operator's own HTTP proxy if one is given.
    ///
    /// # Errors
    /// [`EgressError::Options`] when either cannot be read.
    pub fn with_connection(mut self, certificates: &[Vec<u8>], proxy: Option<&str>) -> Result<Self, EgressError> {
        self.client = client(certificates, proxy)?;
        Ok(self)
    }

    /// What was used so far, by all clones together.
    #[must_use]
    pub fn usage(&self) -> ModelUsage {
        self.counters().usage.clone()
    }

    /// How long the endpoint has served no call, if the last ones failed: it was down, was overloaded, or refused the key; or it
    /// never served any. Calls that are refused here do not count.
    #[must_use]
    pub fn failing_for(&self) -> Option<Duration> {
        self.counters().failing_since.map(|since| since.elapsed())
    }

    /// Notes how the endpoint answered a call; `None` when it did not, or not to its end.
    fn note(&self, status: Option<StatusCode>) {
        let mut counters = self.counters();
        let is_served = status.is_some_and(|status| match status.as_u16() {
            401 | 402 | 403 | 408 | 429 | 500.. => false,
            // Before it has served any, the settings are wrong rather than the call.
            300..500 => counters.was_served,
            _ => true,
        });
        counters.was_served |= is_served;
        counters.failing_since = if is_served { None } else { counters.failing_since.or_else(|| Some(Instant::now())) };
    }

    fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// Counts a call, or says which limit is reached.
    fn admit(&self) -> Result<(), String> {
        let mut counters = self.counters();
        let usage = &mut counters.usage;
        let tokens = usage.input_tokens + usage.output_tokens;
        if self.calls_max.is_some_and(|max| usage.calls >= max) {
            usage.refused += 1;
            return Err(format!("the budget of this trial is used up: {} calls of the model", usage.calls));
        }
        if self.tokens_max.is_some_and(|max| tokens + counters.estimated >= max) {
            counters.usage.refused += 1;
            return Err(format!("the budget of this trial is used up: {tokens} tokens"));
        }
        counters.usage.calls += 1;
        Ok(())
    }

    /// Replaces what a call was known to have used.
    fn count(&self, before: Tokens, after: Tokens) {
        let usage = &mut self.counters().usage;
        usage.input_tokens = (usage.input_tokens + after.input).saturating_sub(before.input);
        usage.output_tokens = (usage.output_tokens + after.output).saturating_sub(before.output);
    }

    /// Counts a call whose usage stays unknown.
    fn count_unknown(&self, is_complete: bool, bytes: u64) {
        let mut counters = self.counters();
        counters.estimated += bytes / 4;
        let usage = &mut counters.usage;
        let counter = if is_complete { &mut usage.calls_without_usage } else { &mut usage.calls_cut_off };
        *counter += 1;
    }

    fn counters(&self) -> MutexGuard<'_, Counters> {
        // Counters stay valid whatever happened to the thread that held them.
        self.state.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(certificates: &[Vec<u8>], proxy: Option<&str>) -> Result<Client, EgressError> {
    let client = upstream::builder(certificates, proxy, EGRESS_MODEL_SILENCE_MAX)?.build();
    client.map_err(|error| upstream::invalid("cannot set up the client of the model", &error))
}
