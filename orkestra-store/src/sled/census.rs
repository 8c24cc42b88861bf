//! A checksum of a database's content: two databases with the same census have the same entries.
//!
//! It is updated entry by entry, in any order, so that its cost is proportional to the changes of a checkpoint. It
//! detects missing entries, not deliberate manipulation.

use ::sled::Db;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::kv::error::BackendError;
use crate::kv::keys::META_APPLIED;

use super::open::META_FORMAT;

/// The census of some entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    /// Number of entries.
    pub(super) entries: u64,
    /// Sum of their hashes: XXH3, 64 bits, of the value, seeded with the hash of the key.
    pub(super) sum: u64,
}

impl Census {
    /// Computes the census of `database`.
    pub(super) fn of(database: &Db) -> Result<Self, BackendError> {
        let mut census = Self::default();
        for entry in database.iter() {
            let (key, value) = entry?;
            census.add(&key, &value);
        }
        Ok(census)
    }

    /// Adds an entry.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8]) {
        if !is_own(key) {
            self.entries = self.entries.wrapping_add(1);
            self.sum = self.sum.wrapping_add(hash(key, value));
        }
    }

    /// Removes an entry.
    pub(super) fn remove(&mut self, key: &[u8], value: &[u8]) {
        if !is_own(key) {
            self.entries = self.entries.wrapping_sub(1);
            self.sum = self.sum.wrapping_sub(hash(key, value));
        }
    }
}

/// Whether a key holds metadata of the database, which is written outside checkpoints.
fn is_own(key: &[u8]) -> bool {
    key == META_FORMAT || key == META_APPLIED
}

fn hash(key: &[u8], value: &[u8]) -> u64 {
    xxh3_64_with_seed(value, xxh3_64(key))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_census_depends_on_the_entries_but_not_on_their_order() {
        let mut census = Census::default();
        census.add(b"a", b"1");
        census.add(b"b", b"2");
        census.remove(b"a", b"1");
        let mut other = Census::default();
        other.add(b"b", b"2");
        assert_eq!(census, other);
        let differing: [(&[u8], &[u8]); 4] = [(b"b", b"3"), (b"2", b"b"), (b"b2", b""), (b"", b"b2")];
        for (key, value) in differing {
            let mut different = Census::default();
            different.add(key, value);
            assert_ne!(different, other, "{key:?} {value:?}");
        }
    }

    #[test]
    fn metadata_is_not_counted() {
        let mut census = Census::default();
        census.add(META_APPLIED, b"1");
        census.add(META_FORMAT, b"2");
        assert_eq!(census, Census::default());
    }
}
