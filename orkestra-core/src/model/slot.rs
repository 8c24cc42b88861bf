//! Slots: permission to run an attempt, granted by a limit.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::id::Name;

/// A limit on the attempts of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotSpec {
    /// The limit, as it was defined on the engine's builder.
    pub limit: Name,
    /// What the limit counts separately by: each key has slots of its own. Without it all runs share the limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<SlotBy>,
}

/// The source of a slot's key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SlotBy {
    /// The run's label of this name. Runs without the label share one key.
    Label(String),
    /// The string at this JSON pointer in the node's input, such as `/tenant`; its JSON when it is not a string. Empty
    /// for the whole input.
    Input(String),
    /// This fixed text.
    Key(String),
}

/// A kind of slot: a limit and the key that it counts by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SlotKey {
    /// The limit.
    pub limit: Name,
    /// The key; `None` when the limit does not count by key.
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
