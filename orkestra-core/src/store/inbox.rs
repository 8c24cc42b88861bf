//! What is sent to a run by a process that does not drive it. A store never looks inside a letter.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::model::RunId;

/// The place of a letter in its run's inbox: higher ones came later. No letter of a run ever has the number of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LetterId(pub u64);

impl LetterId {
    /// Before the first.
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
    /// Its place.
    pub id: LetterId,
    /// What was sent.
    pub body: Arc<[u8]>,
}

/// Hears of letters. It may hear late, and of letters that are gone already: those who must not miss one look themselves,
/// now and then.
#[async_trait]
pub trait Listener: Send {
    /// The next run that a letter was sent to; `None` when some were missed: any run may have letters. Dropping the
    /// returned future loses nothing.
    async fn next(&mut self) -> Option<RunId>;
}
