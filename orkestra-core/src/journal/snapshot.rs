//! A state as bytes: a cache of the journal before it, never more.
//!
//! It is used only when it is of this very version, as it was written, and made from this very journal: it holds digests of
//! itself and of the commit that it ends with. Anything else is no error, the journal is read from its beginning.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::kernel::RunState;

use super::commit::Written;

/// The form and the meaning of states. IMPORTANT: another number whenever a field of a state, or what `apply` makes of an
/// event, is changed: then older snapshots are left alone. A test compares the states of kept journals with those of before.
pub const STATE_VERSION: u32 = 3;

/// The largest snapshot, in bytes: a larger state is made from its journal each time. It is built and read in memory, beside
/// everything else.
pub const SNAPSHOT_BYTES_MAX: usize = 16 * 1024 * 1024;

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    v: u32,
    /// Of the last commit that the state has seen.
    commit: String,
    /// Of the state.
    digest: String,
    #[serde(borrow)]
    state: &'a RawValue,
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Encodes a state that ends with `last`; `None` when it is too large, or of another position.
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

/// The state, if it is one of this version and ends with `last`.
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
