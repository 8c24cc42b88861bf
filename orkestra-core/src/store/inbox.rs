//! Inboxes: letters to runs from processes that do not drive them. A store never looks inside a letter.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::RunId;

/// The position of a letter in its run's inbox. Later letters have higher ids; a run never reuses an id.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LetterId(pub u64);

impl LetterId {
    /// Before the first letter.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for LetterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A letter that waits for the driver of its run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// Its position.
    pub id: LetterId,
    /// The encoded letter.
    pub body: Arc<[u8]>,
}

/// Receives notifications of letters. They may come late, and for letters that are already gone. A caller that must not
/// miss letters also checks the inbox from time to time.
#[async_trait]
pub trait Listener: Send {
    /// The next run that a letter was sent to. `None` when notifications were missed: then any run may have letters.
    /// Cancel safe: dropping the future loses no notification.
    async fn next(&mut self) -> Option<RunId>;
}
