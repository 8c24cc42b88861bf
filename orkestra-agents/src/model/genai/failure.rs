//! Converts genai's errors to ours: sorted by what the caller should do, without secrets in their text.

use std::{error::Error as _, time::Duration};

use genai::{Error as GenaiError, webc};
use reqwest::{StatusCode, header::HeaderMap};
use serde_json::Value;

use crate::model::ModelError;

/// The longest text of an error, in bytes: it is stored in journals and shown to users.
const WORDS_MAX: usize = 600;

/// The error of a failed call.
pub(super) fn model_error(error: &GenaiError) -> ModelError {
    match error {
        GenaiError::HttpError { status, body, headers, .. } => by_status(*status, body, headers),
        GenaiError::WebModelCall { webc_error, .. } | GenaiError::WebAdapterCall { webc_error, .. } => {
            by_web_error(webc_error)
        }
        GenaiError::WebStream { error, cause, .. } => by_boxed(error.as_ref(), cause),
        // NOTE: an error that the provider writes into a stream after a good start.
        GenaiError::ChatResponse { body, .. } => by_words(&body.to_string()),
        GenaiError::RequiresApiKey { .. }
        | GenaiError::NoAuthData { .. }
        | GenaiError::NoAuthResolver { .. }
        | GenaiError::Resolver { .. } => ModelError::Authentication(words(&error.to_string())),
        GenaiError::StreamParse { .. }
        | GenaiError::NoChatResponse { .. }
        | GenaiError::InvalidJsonResponseElement { .. }
        | GenaiError::ChatResponseGeneration { .. }
        | GenaiError::JsonValueExt(_)
        | GenaiError::SerdeJson(_) => ModelError::Malformed(words(&error.to_string())),
        other => ModelError::BadRequest(words(&other.to_string())),
    }
}

fn by_web_error(error: &webc::Error) -> ModelError {
    match error {
        webc::Error::ResponseFailedStatus { status, body, headers } => by_status(*status, body, headers),
        webc::Error::Reqwest(error) => by_transport(error),
        other => ModelError::Malformed(words(&other.to_string())),
    }
}

fn by_boxed(error: &(dyn std::error::Error + Send + Sync + 'static), cause: &str) -> ModelError {
    if let Some(error) = error.downcast_ref::<GenaiError>() {
        return model_error(error);
    }
    if let Some(error) = error.downcast_ref::<reqwest::Error>() {
        return by_transport(error);
    }
    if let Some(timeout) = error.downcast_ref::<webc::StreamTimeout>() {
        return ModelError::TimedOut(timeout.to_string());
    }
    ModelError::Unavailable(words(cause))
}

fn by_transport(error: &reqwest::Error) -> ModelError {
    // NOTE: reqwest's own text says little ("error sending request"); its causes say what happened. The address is left out,
    // because some providers have the key in it.
    let mut text = error.to_string().split(" for url").next().unwrap_or_default().to_owned();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if error.is_timeout() { ModelError::TimedOut(words(&text)) } else { ModelError::Unavailable(words(&text)) }
}

fn by_status(status: StatusCode, body: &str, headers: &HeaderMap) -> ModelError {
    let message = message_of(body);
    let text = words(&format!("{status}: {message}"));
    if is_credit(&message) || status == StatusCode::PAYMENT_REQUIRED {
        return ModelError::Credit(text);
    }
    match status.as_u16() {
        401 | 403 => ModelError::Authentication(text),
        408 | 504 => ModelError::TimedOut(text),
        413 => ModelError::ContextTooLong(text),
        429 => ModelError::RateLimited { retry_after: retry_after(headers), message: text },
        500.. => ModelError::Unavailable(text),
        _ if is_too_long(&message) => ModelError::ContextTooLong(text),
        _ => ModelError::BadRequest(text),
    }
}

fn by_words(body: &str) -> ModelError {
    let message = message_of(body);
    let text = words(&message);
    let lower = message.to_lowercase();
    if is_credit(&message) {
        ModelError::Credit(text)
    } else if is_too_long(&message) {
        ModelError::ContextTooLong(text)
    } else if lower.contains("rate limit") || lower.contains("rate_limit") {
        ModelError::RateLimited { retry_after: None, message: text }
    } else {
        ModelError::Unavailable(text)
    }
}

fn is_credit(message: &str) -> bool {
    let message = message.to_lowercase();
    ["insufficient_quota", "insufficient balance", "insufficient credit", "credit balance", "arrearage", "billing"]
        .iter()
        .any(|words| message.contains(words))
}

fn is_too_long(message: &str) -> bool {
    let message = message.to_lowercase();
    ["context_length", "context length", "exceed_context", "context size", "maximum context", "prompt is too long"]
        .iter()
        .any(|words| message.contains(words))
}

/// The message, type and code in `{"error": {"message", "type", "code"}}`, or the whole body if it has another shape.
fn message_of(body: &str) -> String {
    let Ok(value) = serde_json::from_str::<Value>(body) else {
        return body.to_owned();
    };
    let error = value.get("error").unwrap_or(&value);
    let part = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
    let parts: Vec<String> = [part("message"), part("type"), part("code")].into_iter().flatten().collect();
    if parts.is_empty() { body.to_owned() } else { parts.join(" / ") }
}

/// How long the provider asks to wait. Dates are ignored: providers send seconds, and our clock may differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = number("retry-after-ms").map(|ms| ms / 1000.0).or_else(|| number("retry-after"))?;
    Duration::try_from_secs_f64(seconds).ok()
}

fn words(text: &str) -> String {
    let mut end = WORDS_MAX.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end < text.len() { format!("{}…", &text[..end]) } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(status: u16, body: &str) -> &'static str {
        by_status(StatusCode::from_u16(status).expect("a status"), body, &HeaderMap::new()).kind()
    }

    #[test]
    fn a_status_becomes_an_error_kind() {
        assert_eq!(check(401, "{}"), "model_authentication");
        assert_eq!(check(402, "{}"), "model_credit");
        assert_eq!(
            check(429, r#"{"error":{"message":"slow down","code":"rate_limit_exceeded"}}"#),
            "model_rate_limited"
        );
        assert_eq!(check(429, r#"{"error":{"message":"no","code":"insufficient_quota"}}"#), "model_credit");
        assert_eq!(check(400, r#"{"error":{"type":"exceed_context_size_error"}}"#), "model_context_too_long");
        assert_eq!(check(400, r#"{"error":{"message":"unknown parameter"}}"#), "model_bad_request");
        assert_eq!(check(404, "no such model"), "model_bad_request");
        assert_eq!(check(503, "overloaded"), "model_unavailable");
        assert_eq!(check(529, "overloaded"), "model_unavailable");
    }

    #[test]
    fn the_requested_delay_is_read() {
        let mut headers = HeaderMap::new();
        headers.insert("retry-after", "7".parse().expect("a header"));
        assert_eq!(retry_after(&headers), Some(Duration::from_secs(7)));
        headers.insert("retry-after-ms", "1500".parse().expect("a header"));
        assert_eq!(retry_after(&headers), Some(Duration::from_millis(1500)));
        headers.clear();
        headers.insert("retry-after", "Wed, 21 Oct 2026 07:28:00 GMT".parse().expect("a header"));
        assert_eq!(retry_after(&headers), None);
    }
}
