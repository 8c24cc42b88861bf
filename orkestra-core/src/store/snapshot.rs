//! A state that need not be made from the whole journal.

use std::sync::Arc;

use crate::model::Seq;

/// A state of a run, encoded. A store never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The position up to which it has everything.
    pub last: Seq,
    /// The encoded state.
    pub bytes: Arc<[u8]>,
}
