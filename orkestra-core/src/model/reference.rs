//! References to large values kept beside the journal, and what is known of the value without reading it.
//!
//! A reference belongs to the run whose journal holds it; it cannot point into another run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::id::RunId;
use super::payload::Payload;

/// The prefix of the engine's own texts in a journal. A user's text that begins like this is wrapped.
pub(super) const PREFIX: &str = r#"{"$orkestra."#;
/// The prefix of a reference to a blob.
pub(super) const BLOB: &str = r#"{"$orkestra.blob":"#;

/// Where a value is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KeptAt {
    /// In a blob of the run.
    Blob(Blob),
    /// In the outputs of the run's sinks: the value is the object of these outputs.
    Outputs,
}

/// A value stored as a blob of a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Blob {
    /// The run, as formats 1 and 2 recorded it. It must be the run whose journal holds the reference.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) run: Option<RunId>,
    /// The digest of the text, so that equal texts are stored once.
    pub(crate) key: String,
    /// The length of the text in bytes.
    pub(crate) bytes: usize,
}

/// What is known of a value kept beside the journal: the answers to the questions that the plan asks about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answers {
    /// Results of tests, by the digest of each test.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    holds: BTreeMap<String, bool>,
    /// Keys of slots, by JSON pointer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    slots: BTreeMap<String, Option<String>>,
}

impl Answers {
    /// Whether it contains no answers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.holds.is_empty() && self.slots.is_empty()
    }

    pub(super) fn test(&mut self, test: String, holds: bool) {
        self.holds.insert(test, holds);
    }

    pub(super) fn slot(&mut self, pointer: String, key: Option<String>) {
        self.slots.insert(pointer, key);
    }

    /// The result of the test with this digest, if known.
    pub(super) fn holds(&self, test: &str) -> Option<bool> {
        self.holds.get(test).copied()
    }

    /// The key of the slot at this pointer, if known.
    pub(super) fn slot_at(&self, pointer: &str) -> Option<&Option<String>> {
        self.slots.get(pointer)
    }

    fn extend(&mut self, other: &Self) {
        self.holds.extend(other.holds.iter().map(|(test, holds)| (test.clone(), *holds)));
        self.slots.extend(other.slots.iter().map(|(pointer, key)| (pointer.clone(), key.clone())));
    }
}

/// A reference to a value.
#[derive(Clone)]
pub(crate) struct Reference {
    place: KeptAt,
    answers: Answers,
    /// The reference's text in the journal.
    mark: Box<RawValue>,
    /// The value itself, while it is in memory anyway. Never serialised with the reference.
    value: Option<Payload>,
}

impl Reference {
    pub(super) fn new(place: KeptAt, answers: Answers) -> Self {
        let mark = match &place {
            KeptAt::Blob(blob) => Mark::Blob { blob: blob.clone(), known: answers.clone() },
            KeptAt::Outputs => Mark::Outputs {},
        };
        let mark = serde_json::value::to_raw_value(&mark).expect("texts, numbers and maps of texts are JSON");
        Self { place, answers, mark, value: None }
    }

    pub(crate) const fn place(&self) -> &KeptAt {
        &self.place
    }

    pub(super) const fn answers(&self) -> &Answers {
        &self.answers
    }

    pub(super) fn mark(&self) -> &RawValue {
        &self.mark
    }

    pub(crate) const fn value(&self) -> Option<&Payload> {
        self.value.as_ref()
    }

    pub(super) fn with_value(self, value: Option<Payload>) -> Self {
        Self { value, ..self }
    }

    pub(super) fn with_answers(self, more: &Answers) -> Self {
        let Self { place, mut answers, value, .. } = self;
        answers.extend(more);
        Self { value, ..Self::new(place, answers) }
    }
}

/// The engine's own texts in a journal.
#[derive(Serialize, Deserialize)]
pub(super) enum Mark {
    /// A value in a blob of the run.
    #[serde(rename = "$orkestra.blob")]
    Blob {
        #[serde(flatten)]
        blob: Blob,
        #[serde(default, skip_serializing_if = "Answers::is_empty")]
        known: Answers,
    },
    /// The object of the outputs of the run's sinks.
    #[serde(rename = "$orkestra.outputs")]
    Outputs {},
    /// A user's text that looks like one of the engine's.
    #[serde(rename = "$orkestra.json")]
    Json(Box<RawValue>),
}
