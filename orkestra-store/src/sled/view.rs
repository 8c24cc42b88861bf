//! Reading: the layers of the overlay, and sled below them.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::RwLockReadGuard;

use ::sled::{Db, IVec};

use super::overlay::Overlay;
use crate::kv::error::Trouble;

/// All that is durable, as it is while the view is held: writers wait for it.
pub(crate) struct View<'a> {
    pub(crate) db: &'a Db,
    pub(crate) overlay: RwLockReadGuard<'a, Overlay>,
}

impl View<'_> {
    pub(crate) fn get(&self, key: &[u8]) -> Result<Option<IVec>, Trouble> {
        match self.overlay.layers().find_map(|layer| layer.get(key)) {
            Some(value) => Ok(value.cloned()),
            None => Ok(self.db.get(key)?),
        }
    }

    pub(crate) fn contains_key(&self, key: &[u8]) -> Result<bool, Trouble> {
        Ok(self.get(key)?.is_some())
    }

    /// Entries with keys from `begin` to before `end`, in the order of keys.
    pub(crate) fn range(&self, begin: Bound<&[u8]>, end: &[u8]) -> Entries<'_> {
        self.entries(begin, Bound::Excluded(end), false)
    }

    /// The same from the last to the first.
    pub(crate) fn backward(&self, begin: &[u8], end: Bound<&[u8]>) -> Entries<'_> {
        self.entries(Bound::Included(begin), end, true)
    }

    /// Entries whose keys begin with `prefix`, in the order of keys.
    pub(crate) fn prefix(&self, prefix: &[u8]) -> Entries<'_> {
        let end = after(prefix);
        self.entries(Bound::Included(prefix), end.as_deref().map_or(Bound::Unbounded, Bound::Excluded), false)
    }

    fn entries(&self, begin: Bound<&[u8]>, end: Bound<&[u8]>, backward: bool) -> Entries<'_> {
        if is_empty(begin, end) {
            return Entries { sources: Vec::new(), backward };
        }
        let mut sources: Vec<Source<'_>> = Vec::with_capacity(3);
        for layer in self.overlay.layers() {
            let found = layer.range((begin, end)).map(Ok);
            let found: Box<dyn Iterator<Item = _>> = if backward { Box::new(found.rev()) } else { Box::new(found) };
            sources.push(found.peekable());
        }
        let below = self.db.range::<&[u8], _>((begin, end));
        let known = |entry: Result<(IVec, IVec), ::sled::Error>| entry.map(|(key, value)| (key, Some(value)));
        let below = below.map(move |entry| known(entry).map_err(Trouble::from));
        let below: Box<dyn Iterator<Item = _>> = if backward { Box::new(below.rev()) } else { Box::new(below) };
        sources.push(below.peekable());
        Entries { sources, backward }
    }
}

type Source<'a> = Peekable<Box<dyn Iterator<Item = Result<(IVec, Option<IVec>), Trouble>> + 'a>>;

/// Entries of all layers and of sled, merged: the newest of each key, removals left out.
pub(crate) struct Entries<'a> {
    /// The newest first.
    sources: Vec<Source<'a>>,
    backward: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<(IVec, IVec), Trouble>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut first: Option<(usize, &IVec)> = None;
            let mut failed = None;
            for (number, source) in self.sources.iter_mut().enumerate() {
                match source.peek() {
                    None => {}
                    Some(Err(_)) => failed = Some(number),
                    Some(Ok((key, _))) => {
                        let closer = |best: &IVec| if self.backward { key > best } else { key < best };
                        if first.is_none_or(|(_, best)| closer(best)) {
                            first = Some((number, key));
                        }
                    }
                }
            }
            let number = failed.or(first.map(|(number, _)| number))?;
            let (key, value) = match self.sources[number].next()? {
                Ok(entry) => entry,
                Err(trouble) => return Some(Err(trouble)),
            };
            for older in &mut self.sources[number + 1..] {
                older.next_if(|entry| entry.as_ref().is_ok_and(|(same, _)| *same == key));
            }
            if let Some(value) = value {
                return Some(Ok((key, value)));
            }
        }
    }
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
