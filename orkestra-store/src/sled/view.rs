//! Reads the layers of the overlay, with sled below them.

use std::iter::Peekable;
use std::ops::Bound;
use std::sync::RwLockReadGuard;

use ::sled::{Db, IVec};

use super::overlay::Overlay;
use crate::kv::error::BackendError;
use crate::kv::map;

/// What is durable. Writers wait while the view is held.
pub(super) struct View<'a> {
    pub(super) db: &'a Db,
    pub(super) overlay: RwLockReadGuard<'a, Overlay>,
}

impl map::View for View<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, BackendError> {
        match self.overlay.layers().find_map(|layer| layer.get(key)) {
            Some(value) => Ok(value.map(|value| value.to_vec())),
            None => Ok(self.db.get(key)?.map(|value| value.to_vec())),
        }
    }

    fn forward<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> map::Entries<'a> {
        self.entries(begin, end, false)
    }

    fn reverse<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>) -> map::Entries<'a> {
        self.entries(begin, end, true)
    }
}

impl View<'_> {
    fn entries<'a>(&'a self, begin: Bound<&[u8]>, end: Bound<&[u8]>, backward: bool) -> map::Entries<'a> {
        let mut sources: Vec<Source<'a>> = Vec::with_capacity(3);
        for layer in self.overlay.layers() {
            let found = layer.range((begin, end)).map(Ok);
            let found: Box<dyn Iterator<Item = _>> = if backward { Box::new(found.rev()) } else { Box::new(found) };
            sources.push(found.peekable());
        }
        let below = self.db.range::<&[u8], _>((begin, end));
        let known = |entry: Result<(IVec, IVec), ::sled::Error>| entry.map(|(key, value)| (key, Some(value)));
        let below = below.map(move |entry| known(entry).map_err(BackendError::from));
        let below: Box<dyn Iterator<Item = _>> = if backward { Box::new(below.rev()) } else { Box::new(below) };
        sources.push(below.peekable());
        let entries = Entries { sources, backward };
        Box::new(entries.map(|entry| entry.map(|(key, value)| (key.to_vec(), value.to_vec()))))
    }
}

type Source<'a> = Peekable<Box<dyn Iterator<Item = Result<(IVec, Option<IVec>), BackendError>> + 'a>>;

/// The entries of all layers and sled, merged: the newest per key, without removals.
struct Entries<'a> {
    /// Newest first.
    sources: Vec<Source<'a>>,
    backward: bool,
}

impl Iterator for Entries<'_> {
    type Item = Result<(IVec, IVec), BackendError>;

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
                Err(error) => return Some(Err(error)),
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
