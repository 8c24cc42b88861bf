//! Labels as the database finds them: digests of a fixed length, so that no label is too long for an index or holds a
//! character that the database refuses.

use sha2::{Digest, Sha256};

use orkestra_core::store::RunRecord;

/// Nobody finds two labels with the same 16 bytes of SHA-256.
pub(super) const DIGEST_BYTES: usize = 16;

/// What stands for a label.
pub(super) fn digest(key: &str, value: &str) -> Vec<u8> {
    let mut hash = Sha256::new();
    // With its length before it, where the key ends cannot be mistaken.
    hash.update((key.len() as u64).to_be_bytes());
    hash.update(key);
    hash.update(value);
    hash.finalize()[..DIGEST_BYTES].to_vec()
}

/// What stands for each label of a record, in the order of their keys.
pub(super) fn digests(record: &RunRecord) -> Vec<Vec<u8>> {
    record.labels.iter().map(|(key, value)| digest(key, value)).collect()
}
