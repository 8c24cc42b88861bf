//! Values of users on their way through the journal: JSON text, kept as it was written.

use std::fmt;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::json_text;
use super::limits::{PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX, PAYLOAD_LARGE_BYTES_MAX};

/// A value as JSON text. Cheap to clone; at most [`PAYLOAD_BYTES_MAX`] bytes when made by [`Payload::of`].
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Payload(Arc<RawValue>);

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
        Self(Arc::from(RawValue::NULL.to_owned()))
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
        Ok(Self(Arc::from(text)))
    }

    /// The same of payloads that fit each for themselves, in a list or an object.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`] when they exceed the limit together.
    pub(crate) fn together<T: Serialize + ?Sized>(payloads: &T) -> Result<Self, PayloadError> {
        let text = serde_json::value::to_raw_value(payloads).map_err(PayloadError::Encode)?;
        Self::fits(text.get().len())?;
        Ok(Self(Arc::from(text)))
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
        Ok(Self(Arc::from(text)))
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

    /// A list of payloads as one payload.
    ///
    /// # Errors
    /// [`PayloadError::TooLarge`] when they exceed the limit together.
    pub fn list(items: &[Self]) -> Result<Self, PayloadError> {
        Self::together(items)
    }

    /// Reads the value back.
    ///
    /// # Errors
    /// [`PayloadError::Decode`] when the text is of another type.
    pub fn to<T: DeserializeOwned>(&self) -> Result<T, PayloadError> {
        let wanted = std::any::type_name::<T>();
        serde_json::from_str(self.as_json()).map_err(|source| PayloadError::Decode { wanted, source })
    }

    /// The JSON text.
    #[must_use]
    pub fn as_json(&self) -> &str {
        self.0.get()
    }

    /// Whether the text is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.as_json() == "null"
    }
}

/// Reads a payload that may be missing. One that is there and says `null` is a payload: for serde alone the two are
/// the same, and what was `null` before a crash would be nothing after it.
pub(super) fn if_present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
    Payload::deserialize(deserializer).map(Some)
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_json() == other.as_json()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
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
        for together in
            [Payload::list(&[kept.clone()]), Payload::together(&std::collections::BTreeMap::from([("a", kept)]))]
        {
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
