//! Snapshots: states as bytes. Only a cache of the journal.
//!
//! A snapshot is used only when it has exactly this version, is undamaged, and was made from exactly this journal: it
//! holds digests of itself and of its last commit. Any other snapshot is ignored, and the journal is read from its
//! beginning.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::kernel::RunState;

use super::commit::Written;

/// The version of the form and meaning of states. IMPORTANT: change it whenever a field of a state or the effect of an
/// event in `apply` changes, so that older snapshots are ignored. A test compares the states of recorded journals with
/// those of earlier versions.
pub const STATE_VERSION: u32 = 3;

/// The maximum size of a snapshot, in bytes. A larger state is replayed from its journal each time. Snapshots are built
/// and read in memory, next to everything else.
pub const SNAPSHOT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u32,
    /// The digest of the last commit that the state includes.
    commit: String,
    /// The digest of the state.
    digest: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes a state whose last commit is `last`; `None` when it is too large, or belongs to another position.
#[must_use]
pub fn encode_snapshot(state: &RunState, last: &Written) -> Option<Vec<u8>> {
    if state.last() != last.last || *state.id() != last.run {
        return None;
    }
    let text = serde_json::value::to_raw_value(state).ok()?;
    if text.get().len() > SNAPSHOT_BYTES_MAX {
        return None;
    }
    let (commit, own) = (digest(&last.body), digest(text.get().as_bytes()));
    serde_json::to_vec(&Envelope { v: STATE_VERSION, commit, digest: own, state: &text }).ok()
}

/// Decodes a state, if it has this version and its last commit is `last`.
#[must_use]
pub fn decode_snapshot(bytes: &[u8], last: &Written) -> Option<RunState> {
    let envelope: Envelope<'_> = serde_json::from_slice(bytes).ok()?;
    let text = envelope.state.get();
    let whole = envelope.v == STATE_VERSION && envelope.digest == digest(text.as_bytes());
    if !whole || envelope.commit != digest(&last.body) {
        return None;
    }
    let state: RunState = serde_json::from_str(text).ok()?;
    (state.last() == last.last && *state.id() == last.run).then_some(state)
}
