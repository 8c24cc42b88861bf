//! Values of users on their way through the journal: JSON text, kept as it was written, or a reference to one that is kept
//! beside the journal.
//!
//! IMPORTANT: what comes from a user is text and nothing else, whatever it looks like. Only the engine makes references, and
//! only the fields of the journal that use [`journaled`](super::journaled) read them.

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
/// In events and views a large one is not the value but tells where it is kept, see [`Payload::is_kept_beside`].
#[derive(Clone)]
pub struct Payload(Form);

#[derive(Clone)]
enum Form {
    Inline(Arc<RawValue>),
    Reference(Arc<Reference>),
}

/// Why a value is no payload, or a payload not the wanted value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PayloadError {
    /// The value does not serialise to JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Encode(#[source] serde_json::Error),
    /// The JSON text is not of the wanted type.
    #[error("the payload is no `{wanted}`: {source}")]
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
        /// What is allowed here.
        max: usize,
    },
    /// The value is kept beside the journal: this payload only tells where.
    #[error("the value is kept beside the journal ({0}); a task, `Run::output` and `Run::value` get the value itself")]
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
    /// [`PayloadError::Encode`] when it does not serialise, [`PayloadError::TooLarge`] and [`PayloadError::TooDeep`] over the
    /// limits.
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

    /// Why it cannot stand in a plan, where so many bytes are allowed: it did not come from [`Payload::of`].
    pub(super) fn mistake(&self, bytes_max: usize) -> Option<String> {
        let fits = Self::fits_in(self.as_json().len(), bytes_max).and_then(|()| Self::reads_back(self.as_json()));
        fits.err().map(|error| error.to_string())
    }

    /// The same with the limit for what is kept beside the journal.
    pub(crate) fn large<T: Serialize + ?Sized>(value: &T) -> Result<Self, PayloadError> {
        let text = serde_json::value::to_raw_value(value).map_err(PayloadError::Encode)?;
        Self::fits_in(text.get().len(), PAYLOAD_LARGE_BYTES_MAX)?;
        Self::reads_back(text.get())?;
        Ok(Self::text(text))
    }

    /// Checks that what a user hands over at once is no larger than one large payload may be.
    pub(crate) const fn fits_large(bytes: usize) -> Result<(), PayloadError> {
        Self::fits_in(bytes, PAYLOAD_LARGE_BYTES_MAX)
    }

    /// Text as it was written.
    pub(super) fn text(text: Box<RawValue>) -> Self {
        Self(Form::Inline(Arc::from(text)))
    }

    const fn fits_in(bytes: usize, max: usize) -> Result<(), PayloadError> {
        if bytes > max { Err(PayloadError::TooLarge { bytes, max }) } else { Ok(()) }
    }

    /// Checks that `bytes` bytes fit into a payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`].
    pub const fn fits(bytes: usize) -> Result<(), PayloadError> {
        Self::fits_in(bytes, PAYLOAD_BYTES_MAX)
    }

    /// A list of payloads as one payload. Each of them was small enough: the list is, too.
    ///
    /// # Errors
    /// [`PayloadError::Beside`] when one of them is kept beside the journal.
    pub fn list(items: &[Self]) -> Result<Self, PayloadError> {
        items.iter().try_for_each(Self::is_the_value)?;
        serde_json::value::to_raw_value(items).map(Self::text).map_err(PayloadError::Encode)
    }

    /// An object of payloads by name, as one payload of any size.
    pub(crate) fn object(parts: &[(Name, Self)]) -> Result<Self, PayloadError> {
        parts.iter().try_for_each(|(_, part)| part.is_the_value())?;
        let fields: BTreeMap<_, _> = parts.iter().map(|(name, part)| (name, part)).collect();
        serde_json::value::to_raw_value(&fields).map(Self::text).map_err(PayloadError::Encode)
    }

    fn is_the_value(&self) -> Result<(), PayloadError> {
        if self.is_kept_beside() { Err(PayloadError::Beside(self.clone())) } else { Ok(()) }
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// [`PayloadError::Decode`] when the text is of another type, [`PayloadError::Beside`] when the value is kept beside the
    /// journal.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        self.is_the_value()?;
        let wanted = std::any::type_name::<T>();
        serde_json::from_str(self.as_json()).map_err(|source| PayloadError::Decode { wanted, source })
    }

    /// The JSON text; of a value that is kept beside the journal what stands there for it, for people to look at.
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

    /// Whether the text is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        !self.is_kept_beside() && self.as_json() == "null"
    }

    /// Whether this is not the value itself: the value is large and kept beside the journal. Tasks, `Run::output` and
    /// `Run::value` have the value.
    #[must_use]
    pub const fn is_kept_beside(&self) -> bool {
        matches!(self.0, Form::Reference(_))
    }
}

/// What the engine does with references.
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

    /// A reference with its value, for as long as it is in memory and not decided on.
    pub(crate) fn with_value(self, value: Self) -> Self {
        self.map(|reference| reference.with_value(Some(value)))
    }

    /// A reference without its value: as it goes into a state.
    pub(crate) fn without_value(self) -> Self {
        if self.reference().is_some_and(|reference| reference.value().is_some()) {
            return self.map(|reference| reference.with_value(None));
        }
        self
    }

    /// A reference that knows what is looked at in its value, where the value is there to be looked at.
    pub(crate) fn looked_at(self, looks: &Looks) -> Self {
        let Some(value) = self.reference().and_then(Reference::value) else { return self };
        let answers = looks.answers(value.as_json());
        self.with_answers(&answers).without_value()
    }

    /// A reference that knows this, too, of its value.
    pub(crate) fn with_answers(self, answers: &Answers) -> Self {
        if answers.is_empty() { self } else { self.map(|reference| reference.with_answers(answers)) }
    }

    /// The text of a value, and of a reference what stands for it: what a user gives is no reference.
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

/// Reads a payload that may be missing. One that is there and says `null` is a payload: for serde alone the two are
/// the same, and what was `null` before a crash would be nothing after it.
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
        serde_json::from_str(&text).expect("the text is kept as it is")
    }

    #[test]
    fn what_nests_too_deep_to_be_read_is_refused_where_it_arises() {
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
            let error = refused.expect_err("nobody could read it").to_string();
            assert_eq!(error, "the payload nests 121 levels deep, more than the 120 that can be read back");
        }
    }
}
