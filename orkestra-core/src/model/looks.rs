//! What the engine reads inside a value without loading it as a whole: the tests of conditions, the keys of slots.
//!
//! For a value kept beside the journal, its reference stores the answers, because the kernel reads no blobs.

use sha2::{Digest, Sha256};

use super::condition::{Condition, Test};
use super::id::Name;
use super::json_text;
use super::limits::SLOT_KEY_BYTES_MAX;
use super::payload::Payload;
use super::reference::{Answers, KeptAt, Reference};

/// A set of questions about one value.
#[derive(Clone, Debug, Default)]
pub struct Looks {
    tests: Vec<(String, Test)>,
    slots: Vec<String>,
}

impl Looks {
    pub(crate) fn test(&mut self, pointer: &str, is: &Test) {
        self.tests.push((pointer.to_owned(), is.clone()));
    }

    pub(crate) fn slot(&mut self, pointer: &str) {
        self.slots.push(pointer.to_owned());
    }

    /// Adds what `condition` tests in the output of node `about`, or in the run's input for `None`.
    pub(crate) fn condition(&mut self, condition: &Condition, about: Option<&Name>) {
        match condition {
            Condition::Test { node, pointer, is } if node.as_ref() == about => self.test(pointer, is),
            Condition::Test { .. } => {}
            Condition::All(several) | Condition::Any(several) => {
                several.iter().for_each(|one| self.condition(one, about));
            }
            Condition::Not(one) => self.condition(one, about),
        }
    }

    /// Whether the payload can answer all questions.
    pub(crate) fn answered_by(&self, payload: &Payload) -> bool {
        let Some(answers) = payload.reference().map(Reference::answers) else { return true };
        self.tests.iter().all(|(pointer, is)| answers.holds(&digest(pointer, is)).is_some())
            && self.slots.iter().all(|pointer| answers.slot_at(pointer).is_some())
    }

    /// Answers the questions from the value's text.
    pub(crate) fn answers(&self, text: &str) -> Answers {
        let mut answers = Answers::default();
        if self.tests.is_empty() && self.slots.is_empty() {
            return answers;
        }
        let pointers: Vec<&str> =
            self.tests.iter().map(|(pointer, _)| pointer).chain(&self.slots).map(|it| &**it).collect();
        let mut found = json_text::at_each(text, &pointers).into_iter();
        for ((pointer, is), found) in self.tests.iter().zip(found.by_ref()) {
            answers.test(digest(pointer, is), is.holds(found));
        }
        for (pointer, found) in self.slots.iter().zip(found) {
            answers.slot(pointer.clone(), found.map(key_of));
        }
        answers
    }
}

impl Payload {
    /// Whether the test holds at `pointer`. `None` when the value is kept beside the journal and its reference has no
    /// answer.
    pub(crate) fn test(&self, pointer: &str, is: &Test) -> Option<bool> {
        match self.reference() {
            None => Some(is.holds_at(self.as_json(), pointer)),
            Some(reference) => reference.answers().holds(&digest(pointer, is)),
        }
    }

    /// The slot key at `pointer` in the value.
    pub(crate) fn slot_key(&self, pointer: &str) -> Option<String> {
        match self.reference() {
            None => json_text::at(self.as_json(), pointer).map(key_of),
            Some(reference) => match (reference.answers().slot_at(pointer), reference.place()) {
                (Some(key), _) => key.clone(),
                // Without an answer, at least each distinct value counts separately.
                (None, KeptAt::Blob(blob)) => Some(blob.key.clone()),
                (None, KeptAt::Outputs) => None,
            },
        }
    }
}

/// A string is its own key; any other value is keyed by its canonical JSON, with its digits as written.
fn key_of(found: &str) -> String {
    let key = match found.as_bytes().first() {
        Some(b'"') => serde_json::from_str(found).unwrap_or_else(|_| found.to_owned()),
        _ => json_text::canonical(found),
    };
    if key.len() > SLOT_KEY_BYTES_MAX { format!("sha256:{}", hex(&Sha256::digest(key))) } else { key }
}

/// A short name for a test: a plan may hold thousands, with long values.
fn digest(pointer: &str, is: &Test) -> String {
    let mut digest = Sha256::new();
    digest.update((pointer.len() as u64).to_le_bytes());
    digest.update(pointer);
    digest.update(serde_json::to_vec(is).unwrap_or_default());
    hex(&digest.finalize()[..16])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
