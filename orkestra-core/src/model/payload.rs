//! Users' values on their way through the journal: JSON text, kept as written, or a reference to text that is kept
//! beside the journal.
//!
//! IMPORTANT: what comes from a user is text and nothing else, whatever it looks like. Only the engine makes
//! references, and only the journal fields that use [`journaled`](super::journaled) read them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::id::Name;
use super::json_text;
use super::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_LARGE_BYTES_MAX};
use super::looks::Looks;
use super::reference::{Answers, KeptAt, Reference};

/// A value as JSON text. Cheap to clone; at most [`PAYLOAD_BYTES_MAX`] bytes when made by [`Payload::of`].
///
/// In events and views, a large value is represented by a reference to where it is kept: see
/// [`Payload::is_kept_beside`].
#[derive(Clone)]
pub struct Payload(Form);

#[derive(Clone)]
enum Form {
    Inline(Arc<RawValue>),
    Reference(Arc<Reference>),
}

/// Why a value cannot be a payload, or a payload cannot be read as the wanted type.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value does not serialise to JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The JSON text does not fit the wanted type.
    #[error("the payload is not a `{wanted}`: {source}")]
    Decode {
        /// The wanted Rust type.
        wanted: &'static str,
        /// What the decoder said.
        #[source]
        source: serde_json::Error,
    },
    /// The JSON text is too long.
    #[error("the payload has {bytes} bytes, more than the {max} allowed; store it elsewhere and pass its address")]
    TooLarge {
        /// The length of the JSON text in bytes.
        bytes: usize,
        /// The limit that applies here, in bytes.
        max: usize,
    },
    /// The value is kept beside the journal; this payload is only a reference to it.
    #[error("the value is kept beside the journal ({0}); read it in a task, with `Run::output` or with `Run::value`")]
    Beside(Payload),
    /// The JSON text nests too deep to be read back.
    #[error("the payload nests {depth} levels deep, more than the {PAYLOAD_DEPTH_MAX} that can be read back")]
    TooDeep {
        /// How deep it nests.
        depth: usize,
    },
}

impl Payload {
    /// The JSON text `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::text(RawValue::NULL.to_owned())
    }

    /// Writes `value` as JSON.
    ///
    /// # Errors
    /// [`PayloadError::Encode`] when the value does not serialise; [`PayloadError::TooLarge`] and
    /// [`PayloadError::TooDeep`] over the limits.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let text = serde_json::value::to_raw_value(value).map_err(PayloadError::Encode)?;
        Self::fits(text.get().len())?;
        Self::reads_back(text.get())?;
        Ok(Self::text(text))
    }

    fn reads_back(text: &str) -> Result<(), PayloadError> {
        let depth = json_text::depth(text);
        if depth > PAYLOAD_DEPTH_MAX { Err(PayloadError::TooDeep { depth }) } else { Ok(()) }
    }

    /// Why it cannot be part of a plan, where `bytes_max` bytes are allowed. Needed for payloads that did not come from
    /// [`Payload::of`].
    pub(super) fn mistake(&self, bytes_max: usize) -> Option<String> {
        let fits = Self::fits_in(self.as_json().len(), bytes_max).and_then(|()| Self::reads_back(self.as_json()));
        fits.err().map(|error| error.to_string())
    }

    /// As [`Payload::of`], with the limit for values kept beside the journal.
    pub(crate) fn large<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let text = serde_json::value::to_raw_value(value).map_err(PayloadError::Encode)?;
        Self::fits_in(text.get().len(), PAYLOAD_LARGE_BYTES_MAX)?;
        Self::reads_back(text.get())?;
        Ok(Self::text(text))
    }

    /// Checks that values of `bytes` bytes together are within the limit of one large payload.
    pub(crate) const fn fits_large(bytes: usize) -> Result<(), PayloadError> {
        Self::fits_in(bytes, PAYLOAD_LARGE_BYTES_MAX)
    }

    /// The text, unchanged.
    pub(super) fn text(text: Box<RawValue>) -> Self {
        Self(Form::Inline(Arc::from(text)))
    }

    const fn fits_in(bytes: usize, max: usize) -> Result<(), PayloadError> {
        if bytes > max { Err(PayloadError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// Checks that `bytes` is within the limit of a payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`].
    pub const fn fits(bytes: usize) -> Result<(), PayloadError> {
        Self::fits_in(bytes, PAYLOAD_BYTES_MAX)
    }

    /// A list of payloads as one payload. The total is not limited.
    ///
    /// # Errors
    /// [`PayloadError::Beside`] when one of them is kept beside the journal.
    pub fn list(items: &[Self]) -> Result<Self, PayloadError> {
        items.iter().try_for_each(Self::require_value)?;
        serde_json::value::to_raw_value(items).map(Self::text).map_err(PayloadError::Encode)
    }

    /// An object of payloads by name, as one payload. The total is not limited.
    pub(crate) fn object(parts: &[(Name, Self)]) -> Result<Self, PayloadError> {
        parts.iter().try_for_each(|(_, part)| part.require_value())?;
        let fields: BTreeMap<_, _> = parts.iter().map(|(name, part)| (name, part)).collect();
        serde_json::value::to_raw_value(&fields).map(Self::text).map_err(PayloadError::Encode)
    }

    fn require_value(&self) -> Result<(), PayloadError> {
        if self.is_kept_beside() { Err(PayloadError::Beside(self.clone())) } else { Ok(()) }
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// [`PayloadError::Decode`] when the text does not fit the type; [`PayloadError::Beside`] when the value is kept
    /// beside the journal.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.require_value()?;
        let wanted = std::any::type_name::<T>();
        serde_json::from_str(self.as_json()).map_err(|source| PayloadError::Decode { wanted, source })
    }

    /// The JSON text. For a value kept beside the journal: the text of the reference, for display.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.raw().get()
    }

    fn raw(&self) -> &RawValue {
        match &self.0 {
            Form::Inline(text) => text,
            Form::Reference(reference) => reference.mark(),
        }
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        !self.is_kept_beside() && self.as_json() == "null"
    }

    /// Whether this payload is only a reference to a large value that is kept beside the journal. Tasks, `Run::output`
    /// and `Run::value` get the value.
    #[must_use]
    pub const fn is_kept_beside(&self) -> bool {
        matches!(self.0, Form::Reference(_))
    }
}

/// Operations on references, for the engine.
impl Payload {
    /// A reference to a value of this run.
    pub(crate) fn beside(place: KeptAt) -> Self {
        Self::refer(Reference::new(place, Answers::default()))
    }

    pub(super) fn refer(reference: Reference) -> Self {
        Self(Form::Reference(Arc::new(reference)))
    }

    pub(crate) fn reference(&self) -> Option<&Reference> {
        match &self.0 {
            Form::Inline(_) => None,
            Form::Reference(reference) => Some(reference),
        }
    }

    fn map(self, change: impl FnOnce(Reference) -> Reference) -> Self {
        match self.0 {
            Form::Inline(_) => self,
            Form::Reference(reference) => Self::refer(change(Arc::unwrap_or_clone(reference))),
        }
    }

    /// Attaches the value to its reference while it is in memory, until it is decided on.
    pub(crate) fn with_value(self, value: Self) -> Self {
        self.map(|reference| reference.with_value(Some(value)))
    }

    /// Detaches the value from its reference, as a state needs it.
    pub(crate) fn without_value(self) -> Self {
        if self.reference().is_some_and(|reference| reference.value().is_some()) {
            return self.map(|reference| reference.with_value(None));
        }
        self
    }

    /// Stores the answers to `looks` in the reference and detaches the value. Unchanged without a value.
    pub(crate) fn looked_at(self, looks: &Looks) -> Self {
        let Some(value) = self.reference().and_then(Reference::value) else { return self };
        let answers = looks.answers(value.as_json());
        self.with_answers(&answers).without_value()
    }

    /// Adds answers to the reference.
    pub(crate) fn with_answers(self, answers: &Answers) -> Self {
        if answers.is_empty() { self } else { self.map(|reference| reference.with_answers(answers)) }
    }

    /// Turns a reference into its plain text: a payload from a user is never a reference.
    pub(crate) fn verbatim(self) -> Self {
        if self.is_kept_beside() { Self::text(self.raw().to_owned()) } else { self }
    }
}

impl Serialize for Payload {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.raw().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Payload {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Box::<RawValue>::deserialize(deserializer).map(Self::text)
    }
}

/// Reads an optional payload and keeps an explicit `null`. Serde would read it as `None`, and the value would differ
/// after a crash.
pub(super) fn if_present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.is_kept_beside() == other.is_kept_beside() && self.as_json() == other.as_json()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_json())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nested(depth: usize) -> Payload {
        let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        serde_json::from_str(&text).expect("the text is kept unchanged")
    }

    #[test]
    fn values_that_nest_too_deep_are_refused_when_made() {
        let deepest = nested(PAYLOAD_DEPTH_MAX);
        let kept = Payload::of(&deepest).expect("it fits");
        Payload::large(&deepest).expect("it fits");
        let name = Name::new("a").expect("a name");
        for together in [Payload::list(std::slice::from_ref(&kept)), Payload::object(&[(name, kept)])] {
            let together = together.expect("allowed parts are allowed together");
            together.to::<serde_json::Value>().expect("they are read back together");
        }
        let deeper = nested(PAYLOAD_DEPTH_MAX + 1);
        for refused in [Payload::of(&deeper), Payload::large(&deeper)] {
            let error = refused.expect_err("it could not be read back").to_string();
            assert_eq!(error, "the payload nests 121 levels deep, more than the 120 that can be read back");
        }
    }
}
