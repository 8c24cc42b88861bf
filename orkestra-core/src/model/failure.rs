//! The durable record of something that went wrong.

use serde::{Deserialize, Serialize};

use super::limits::FAILURE_TEXT_BYTES_MAX;
use super::payload::{Payload, if_present};

/// The durable record of a failed attempt, step or run.
///
/// A task may use any word of its own as the kind (`validation_failure`); the engine's own kinds are in
/// [`FailureKind`](super::FailureKind).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The sort of failure, for programs: see [`known_kind`](Self::known_kind).
    pub kind: String,
    /// What happened, for people.
    pub message: String,
    /// Whether another attempt may succeed.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub retryable: bool,
    /// Details for the next attempt or for a program that reads the journal.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_present")]
    pub detail: Option<Payload>,
    /// Where a panic came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backtrace: Option<String>,
}

impl Failure {
    /// A failure that another attempt may avoid. A message over the limit is cut.
    #[must_use]
    pub fn retryable(kind: impl Into<String>, message: impl Into<String>) -> Self {
        let (kind, message) = (kind.into(), cut(message.into()));
        Self { kind, message, retryable: true, detail: None, backtrace: None }
    }

    /// A failure that no further attempt can avoid. A message over the limit is cut.
    #[must_use]
    pub fn permanent(kind: impl Into<String>, message: impl Into<String>) -> Self {
        Self { retryable: false, ..Self::retryable(kind, message) }
    }

    /// Adds a backtrace, cut to the limit.
    #[must_use]
    pub fn with_backtrace(self, backtrace: String) -> Self {
        Self { backtrace: Some(cut(backtrace)), ..self }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.kind, self.message)
    }
}

fn cut(mut text: String) -> String {
    if text.len() > FAILURE_TEXT_BYTES_MAX {
        let end = (0..=FAILURE_TEXT_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}

const fn yes() -> bool {
    true
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_true(value: &bool) -> bool {
    *value
}
