//! The error type of the HTTP layer: a status, a code for programs, a message for users.
//!
//! Internal causes are logged and never sent to clients.

use std::fmt;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use orkestra_agents::ErrorKind;
use serde_json::json;

/// An error response: `{detail, code}`.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    code: &'static str,
    detail: String,
    retry_after: Option<Duration>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), retry_after: None }
    }

    /// The key is missing or unknown.
    pub(crate) fn unauthorized(detail: &str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "unauthorized", detail)
    }

    /// Used both for what does not exist and for what belongs to another organisation.
    pub(crate) fn not_found(detail: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }

    pub(crate) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "this address does not support this method")
    }

    /// A plain request where a WebSocket was expected.
    pub(crate) fn no_websocket(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, "websocket_needed", detail)
    }

    /// The request conflicts with what exists.
    pub(crate) fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    pub(crate) fn too_large() -> Self {
        let detail = format!("the request body is larger than {} bytes; send less", super::BODY_BYTES_MAX);
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", detail)
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "timeout", "the request body took too long to arrive; send it again")
    }

    /// The request is invalid.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid_request", detail)
    }

    pub(crate) fn too_many(detail: &str, wait: Duration) -> Self {
        let retry_after = Some(wait);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail) }
    }

    /// The request may succeed later.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail) }
    }

    /// A fault of the server. The cause is only logged, because it may contain paths of this machine.
    pub(crate) fn internal(cause: &dyn fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", "internal error; see the server's log")
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = Json(json!({"detail": self.detail, "code": self.code}));
        let mut response = (self.status, body).into_response();
        if let Some(wait) = self.retry_after {
            // Rounded up, so that a client that retries then is not too early.
            let seconds = wait.as_millis().div_ceil(1000).max(1);
            let value = HeaderValue::from_str(&seconds.to_string()).unwrap_or(HeaderValue::from_static("60"));
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl From<orkestra_agents::Error> for ApiError {
    fn from(error: orkestra_agents::Error) -> Self {
        match error.kind() {
            ErrorKind::Usage => Self::invalid(error.to_string()),
            ErrorKind::Model => Self::new(StatusCode::UNPROCESSABLE_ENTITY, "model_unavailable", error.to_string()),
            ErrorKind::Sandbox => Self::unavailable("sandbox_unavailable", error.to_string()),
            _ => match std::error::Error::source(&error).and_then(|source| source.downcast_ref()) {
                Some(source) => Self::from(orkestra::Error::clone(source)),
                None => Self::internal(&error),
            },
        }
    }
}

impl From<orkestra::Error> for ApiError {
    fn from(error: orkestra::Error) -> Self {
        match error.kind() {
            orkestra::ErrorKind::Conflict => Self::conflict("conflict", error.to_string()),
            orkestra::ErrorKind::NotFound => Self::not_found("there is no such run"),
            orkestra::ErrorKind::Invalid => Self::invalid(error.to_string()),
            orkestra::ErrorKind::ShutDown => Self::unavailable("stopping", "the server is stopping; try again later"),
            // The request may have been performed: with an Idempotency-Key a retry is safe.
            orkestra::ErrorKind::Unknown => {
                Self::unavailable("unknown", "the outcome is unknown: the request may have been performed; retry it")
            }
            _ => Self::internal(&error),
        }
    }
}

impl From<orkestra::store::StoreError> for ApiError {
    fn from(error: orkestra::store::StoreError) -> Self {
        Self::internal(&error)
    }
}
