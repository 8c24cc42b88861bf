//! The sorted map that a backend brings: bytes at keys, in the order of the keys' bytes. The contract between this room and
//! the backends; nothing here knows what is kept.
//!
//! 1. A [`View`] MUST show what is durable and nothing else, each write as a whole, and the same for as long as it is held.
//! 2. A view that is taken after a write has returned MUST show it. One that is taken before that need not.
//! 3. A write is there as a whole or not at all, whatever ends the process or, as the durability says, the system.
//! 4. After an error nobody can tell whether a write is there. The backend is not asked to write again.

use std::ops::Bound;

use super::changes::Changes;
use super::error::Trouble;

/// An entry: its key and its value.
pub(crate) type Entry = Result<(Vec<u8>, Vec<u8>), Trouble>;

/// Entries one after the other.
pub(crate) type Entries<'a> = Box<dyn Iterator<Item = Entry> + 'a>;

/// What readers take views of.
pub(crate) trait Map: Send + Sync {
    /// All that is durable now.
    fn view(&self) -> Box<dyn View + '_>;
}

/// All that is durable, as it was when the view was taken. It may hold up writers: never keep one for long.
pub(crate) trait View {
    /// The value at `key`.
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, Trouble>;

    /// Entries with keys in a range, in the order of keys. The range is not empty and not turned around.
    fn forward<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a>;

    /// The same from the last to the first.
    fn reverse<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> Entries<'a>;
}

impl<'v> dyn View + 'v {
    /// Whether there is a value at `key`.
    pub(crate) fn contains_key(&self, key: &[u8]) -> Result<bool, Trouble> {
        Ok(self.get(key)?.is_some())
    }

    /// Entries with keys from `begin` to before `end`, in the order of keys.
    pub(crate) fn range(&self, begin: Bound<&[u8]>, end: &[u8]) -> Entries<'_> {
        let end = Bound::Excluded(end);
        if is_empty(begin, end) { Box::new(std::iter::empty()) } else { self.forward(begin, end) }
    }

    /// Entries with keys from `begin` to `end`, from the last to the first.
    pub(crate) fn backward(&self, begin: &[u8], end: Bound<&[u8]>) -> Entries<'_> {
        let begin = Bound::Included(begin);
        if is_empty(begin, end) { Box::new(std::iter::empty()) } else { self.reverse(begin, end) }
    }

    /// Entries whose keys begin with `prefix`, in the order of keys.
    pub(crate) fn prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let end = after(prefix);
        self.forward(Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded))
    }
}

/// How long a write has to last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// As the durability of the store says.
    AsOpened,
    /// Whatever the durability says, it survives the power.
    Always,
    /// It is a cache: a crash of the system may lose it, though never a part of it. Nobody waits for the disk.
    Cache,
}

/// The one who writes.
pub(crate) trait Log: Send {
    /// Makes changes durable, as a whole, and shows them then.
    fn write(&mut self, changes: Changes, lasting: Lasting) -> Result<(), Trouble>;
}

/// The first key after all that begin with `prefix`; `None` when there is none.
fn after(prefix: &[u8]) -> Option<Vec<u8>> {
    let length = prefix.iter().rposition(|byte| *byte != u8::MAX)? + 1;
    let mut end = prefix[..length].to_vec();
    end[length - 1] += 1;
    Some(end)
}

/// Whether no key can be in a range; also when it is turned around.
fn is_empty(begin: Bound<&[u8]>, end: Bound<&[u8]>) -> bool {
    match (begin, end) {
        (Bound::Unbounded, _) | (_, Bound::Unbounded) => false,
        (Bound::Included(begin), Bound::Included(end)) => begin > end,
        (Bound::Included(begin) | Bound::Excluded(begin), Bound::Included(end) | Bound::Excluded(end)) => begin >= end,
    }
}
