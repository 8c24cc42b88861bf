//! Labels as stored in the database: digests of fixed length, so that labels can have any length and contain any
//! character.

use sha2::{Digest, Sha256};

use orkestra_core::store::RunRecord;

/// 16 bytes of SHA-256: collisions are infeasible.
pub(super) const DIGEST_BYTES: usize = 16;

/// The digest of a label.
pub(super) fn digest(key: &str, value: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    // The length prefix marks where the key ends.
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(value);
    hash.finalize()[..DIGEST_BYTES].to_vec()
}

/// The digests of all labels of a record, ordered by their keys.
pub(super) fn digests(record: &RunRecord) -> Vec<Vec<u8>> {
    record.labels.iter().map(|(key, value)| digest(key, value)).collect()
}
