//! The names of all events in the journal, taken from their serde form so that none can be missed.

use std::fmt;

use serde::de::{DeserializeOwned, Deserializer, Error, Visitor};
use serde::forward_to_deserialize_any;

use super::event::Event;

impl Event {
    /// The names of all kinds of events, as the journal writes them.
    ///
    /// ```
    /// use orkestra_core::kernel::Event;
    ///
    /// assert!(Event::kinds().contains(&"RunCreated"));
    /// ```
    #[must_use]
    pub fn kinds() -> &'static [&'static str] {
        variants::<Self>()
    }
}

/// The variants of an enum, as its deserialiser requests them.
fn variants<T: DeserializeOwned>() -> &'static [&'static str] {
    match T::deserialize(Asked) {
        Err(Variants(variants)) => variants,
        Ok(_) => &[],
    }
}

/// A format without data: its error returns the variants that an enum's deserialiser requests.
struct Asked;

#[derive(Debug)]
struct Variants(&'static [&'static str]);

impl fmt::Display for Variants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", "))
    }
}

impl std::error::Error for Variants {}

impl Error for Variants {
    fn custom<T: fmt::Display>(_: T) -> Self {
        Self(&[])
    }
}

impl<'de> Deserializer<'de> for Asked {
    type Error = Variants;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Variants> {
        Err(Variants(&[]))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Variants> {
        Err(Variants(variants))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}
