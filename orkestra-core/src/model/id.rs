//! Ids, names and counts, each with a type of its own so that they cannot be confused.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::limits::{NAME_BYTES_MAX, RUN_ID_BYTES_MAX};
use super::time::Timestamp;

/// The text is not a valid name or id. The message shows the text and the rule.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid {what} `{given}`: use 1 to {max} letters, digits, `_`, `-`, `.`, `:` or `/`, beginning with a letter, a digit or `_`"
)]
pub struct InvalidName {
    given: String,
    what: &'static str,
    max: usize,
}

fn check(text: &str, what: &'static str, max: usize) -> Result<(), InvalidName> {
    let first = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let rest = |c: char| first(c) || matches!(c, '-' | '.' | ':' | '/');
    if text.len() <= max && text.starts_with(first) && text.chars().all(rest) {
        return Ok(());
    }
    let given = text.chars().take(64).collect();
    Err(InvalidName { given, what, max })
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            #[doc = concat!("Checks `text` and makes a ", $what, ".\n\n# Errors\n[`InvalidName`] when it has other characters or is too long.")]
            pub fn new(text: impl AsRef<str>) -> Result<Self, InvalidName> {
                let text = text.as_ref();
                check(text, $what, $max)?;
                Ok(Self(text.into()))
            }

            /// The text itself.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl PartialEq<str> for $name {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }

        impl PartialEq<&str> for $name {
            fn eq(&self, other: &&str) -> bool {
                &*self.0 == *other
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
                Self::new(text).map_err(de::Error::custom)
            }
        }

        impl TryFrom<&str> for $name {
            type Error = InvalidName;
            fn try_from(text: &str) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(text: String) -> Result<Self, InvalidName> {
                Self::new(text)
            }
        }
    };
}

text_id!(
    /// The name of a workflow, a node, a task or a signal.
    Name,
    "name",
    NAME_BYTES_MAX
);
text_id!(
    /// The id of a run, chosen by the caller: starting twice with one id gives one run.
    RunId,
    "run id",
    RUN_ID_BYTES_MAX
);
text_id!(
    /// The name of one engine in one process; new at each start.
    WorkerId,
    "worker id",
    NAME_BYTES_MAX
);

text_id!(
    /// Distinguishes runs that had the same id one after the other, such as a run that was deleted and started again.
    /// Everything derived from a run's id is derived from its incarnation too.
    Incarnation,
    "incarnation",
    NAME_BYTES_MAX
);

impl Incarnation {
    /// The incarnation of a run that was created at `at` under a lease of this epoch. Unique: a store never reuses an
    /// epoch while the run exists, and cannot delete and claim it again within one millisecond.
    #[must_use]
    pub fn begun(at: Timestamp, epoch: Epoch) -> Self {
        Self(format!("{:x}-{:x}", at.as_millis(), epoch.0).into())
    }
}

/// The position of an event in its run's journal, counted from 1. Zero is before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Seq(pub u64);

impl Seq {
    /// Before the first event.
    pub const ZERO: Self = Self(0);

    /// The position `count` events later. Saturates.
    #[must_use]
    pub const fn plus(self, count: u64) -> Self {
        Self(self.0.saturating_add(count))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The fencing number of a lease: the holder of the highest one drives the run, and the store refuses the writes of all
/// others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A node's place in its plan. It never changes: growth only appends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub u32);

impl NodeId {
    /// The place as an index into per-node tables.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked_where_they_enter() {
        for good in ["a", "fetch-2", "_x", "a/b:c.d", "7"] {
            assert_eq!(Name::new(good).expect("a name").as_str(), good);
        }
        for bad in ["", "-a", "a b", "ä", "a\0", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(Name::new(bad).is_err(), "{bad:?}");
        }
        assert!(serde_json::from_str::<Name>("\"a b\"").is_err());
    }
}
