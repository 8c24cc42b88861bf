//! Masks a run's secrets in what an agent stores and sends: prompts, answers, step results, failures.
//!
//! IMPORTANT: mask before a value becomes the result of a step. What is in the journal is shown, exported and sent again.

use orkestra_core::prelude::{Payload, TaskError};
use orkestra_tools::Secrets;
use serde::{Serialize, de::DeserializeOwned};

use crate::model::Message;

/// `value` with every text in it masked.
///
/// # Errors
/// When the value cannot be written as JSON and read back.
pub(super) fn value<T: Serialize + DeserializeOwned>(secrets: &Secrets, value: T) -> Result<T, TaskError> {
    if secrets.is_empty() {
        return Ok(value);
    }
    let mut json = serde_json::to_value(value)?;
    secrets.mask_json(&mut json);
    Ok(serde_json::from_value(json)?)
}

/// A failure as it may be recorded.
pub(super) fn error(secrets: &Secrets, error: TaskError) -> TaskError {
    let mut failure = error.into_failure();
    failure.message = secrets.masked(failure.message);
    failure.kind = secrets.masked(failure.kind);
    if let Some(detail) = &failure.detail {
        let masked = detail.to::<serde_json::Value>().ok().and_then(|mut detail| {
            secrets.mask_json(&mut detail);
            Payload::of(&detail).ok()
        });
        failure.detail = masked;
    }
    failure.into()
}

/// The first messages of a conversation; what follows is masked where it comes from.
pub(super) fn messages(secrets: &Secrets, messages: Vec<Message>) -> Vec<Message> {
    let masked = |message| match message {
        Message::System { text } => Message::System { text: secrets.masked(text) },
        Message::User { text } => Message::User { text: secrets.masked(text) },
        other => other,
    };
    messages.into_iter().map(masked).collect()
}
