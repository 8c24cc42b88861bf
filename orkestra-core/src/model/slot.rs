//! Permission to run an attempt, and the limits that grant it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Name;

/// A limit that a node's attempts are under.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// The limit, as the engine's builder knows it.
    pub limit: Name,
    /// What the limit counts apart: each key has slots of its own. Without it all runs share them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SlotBy>,
}

/// Where the key of a slot comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlotBy {
    /// The run's label of this name; a run without it shares the slots of all that have none.
    Label(String),
    /// The text of the node's input at this JSON pointer, its JSON when it is no text: `/tenant`, or empty for the whole.
    Input(String),
    /// This text.
    Key(String),
}

/// One kind of slot: a limit, and the key that it counts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SlotKey {
    /// The limit.
    pub limit: Name,
    /// The key, if the limit counts by one.
    pub key: Option<String>,
}

impl fmt::Display for SlotKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}[{key}]", self.limit),
            None => write!(f, "{}", self.limit),
        }
    }
}
