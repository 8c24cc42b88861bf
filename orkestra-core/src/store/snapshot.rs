//! Stored snapshots: states that save replaying the whole journal.

use std::sync::Arc;

use crate::model::Seq;

/// An encoded state of a run. A store never looks inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The position of the last event that the state includes.
    pub last: Seq,
    /// The encoded state.
    pub bytes: Arc<[u8]>,
}
