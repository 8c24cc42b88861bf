//! The contract between the embedded store and its backends: a sorted map from byte keys to byte values, ordered by
//! key. A backend knows nothing of what is stored.
//!
//! 1. A [`View`] MUST show only durable writes, each as a whole, and MUST NOT change while it is held.
//! 2. A view taken after a write has returned MUST show that write. One taken earlier need not.
//! 3. A write MUST be atomic: it is there as a whole or not at all, whatever ends the process or, as the durability says,
//!    the system.
//! 4. After an error the write may or may not be there. The backend is not asked to write again.

use std::ops::Bound;

use super::changes::Changes;
use super::error::BackendError;

/// An entry: its key and its value.
pub(crate) type Entry = Result<(Vec<u8>, Vec<u8>), BackendError>;

/// Entries in order.
pub(crate) type Entries<'a> = Box<dyn Iterator<Item = Entry> + 'a>;

/// The readable side of a backend.
pub(crate) trait Map: Send + Sync {
    /// A view of everything that is durable now.
    fn view(&self) -> Box<dyn View + '_>;
}

/// What was durable when the view was taken. A view may block writers: never keep one for long.
pub(crate) trait View {
    /// The value at `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError>;

    /// Entries with keys in a range, in ascending order. The range must not be empty or reversed.
    fn forward<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a>;

    /// The same in descending order.
    fn reverse<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a>;
}

impl<'v> dyn View + 'v {
    pub(crate) fn contains_key(&self, key: &[u8]) -> Result<bool, BackendError> {
        Ok(self.get(key)?.is_some())
    }

    /// Entries with keys from `begin` up to but excluding `end`, in ascending order.
    pub(crate) fn range(&self, begin: Bound<&[u8]>, end: &[u8]) -> Entries<'_> {
        let end = Bound::Excluded(end);
        if is_empty(begin, end) { Box::new(std::iter::empty()) } else { self.forward(begin, end) }
    }

    /// Entries with keys from `begin` to `end`, in descending order.
    pub(crate) fn backward(&self, begin: &[u8], end: Bound<&[u8]>) -> Entries<'_> {
        let begin = Bound::Included(begin);
        if is_empty(begin, end) { Box::new(std::iter::empty()) } else { self.reverse(begin, end) }
    }

    /// Entries whose keys begin with `prefix`, in ascending order.
    pub(crate) fn prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let end = after(prefix);
        self.forward(Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// What a write must survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Persistence {
    /// What the store's durability says.
    AsOpened,
    /// A power failure, whatever the durability says.
    Synced,
    /// It is a cache: a crash of the system may lose it, but only as a whole. The write does not wait for the disk.
    Cache,
}

/// The writable side of a backend.
pub(crate) trait Log: Send {
    /// Makes all changes durable atomically, then visible.
    fn write(&mut self, changes: Changes, persistence: Persistence) -> Result<(), BackendError>;
}

/// The smallest key greater than all keys that begin with `prefix`; `None` when there is none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let length = prefix.iter().rposition(|byte| *byte != u8::MAX)? + 1;
    let mut end = prefix[..length].to_vec();
    end[length - 1] += 1;
    Some(end)
}

/// Whether a range is empty or reversed.
fn is_empty(begin: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (begin, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(begin), Bound::Included(end)) => begin > end,
        (Bound::Included(begin) | Bound::Excluded(begin), Bound::Included(end) | Bound::Excluded(end)) => begin >= end,
    }
}
