//! The errors of model calls, sorted by what the caller should do.

use std::time::Duration;

/// A failed model call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// Too many calls. Wait as long as the provider asks, or back off.
    #[error("the model's provider limits the rate of calls: {message}")]
    RateLimited {
        /// How long the provider asks to wait, if it does.
        retry_after: Option<Duration>,
        /// The message of the provider.
        message: String,
    },
    /// The provider cannot be reached or failed (5xx, a refused connection, a broken stream).
    #[error("the model is unavailable: {0}")]
    Unavailable(String),
    /// No answer in time. The call may still have been billed.
    #[error("the model did not answer in time: {0}")]
    TimedOut(String),
    /// The account has no credit. Waiting does not help.
    #[error("the account at the model's provider has no credit: {0}")]
    Credit(String),
    /// No key, or a wrong one. Waiting does not help.
    #[error("the model's provider refuses the key: {0}")]
    Authentication(String),
    /// The conversation is longer than the model's window: condense it and try again.
    #[error("the conversation is longer than the model's window: {0}")]
    ContextTooLong(String),
    /// The provider refuses the request (an unknown model, a refused parameter).
    #[error("the model's provider refuses the request: {0}")]
    BadRequest(String),
    /// The answer cannot be parsed.
    #[error("cannot parse the model's answer: {0}")]
    Malformed(String),
}

impl ModelError {
    /// The kind of [`ModelError::ContextTooLong`].
    pub(crate) const CONTEXT_TOO_LONG: &str = "model_context_too_long";

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Unavailable(_) | Self::TimedOut(_) | Self::Malformed(_) => true,
            Self::Credit(_) | Self::Authentication(_) | Self::ContextTooLong(_) | Self::BadRequest(_) => false,
        }
    }

    /// Whether another model may succeed. Not for credit and authentication errors: the user must fix them, and a silent
    /// change of model would hide them.
    #[must_use]
    pub fn allows_fallback(&self) -> bool {
        self.is_retryable() || matches!(self, Self::BadRequest(_))
    }

    /// A stable name for events, logs and failures.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RateLimited { .. } => "model_rate_limited",
            Self::Unavailable(_) => "model_unavailable",
            Self::TimedOut(_) => "model_timed_out",
            Self::Credit(_) => "model_credit",
            Self::Authentication(_) => "model_authentication",
            Self::ContextTooLong(_) => Self::CONTEXT_TOO_LONG,
            Self::BadRequest(_) => "model_bad_request",
            Self::Malformed(_) => "model_malformed",
        }
    }
}
