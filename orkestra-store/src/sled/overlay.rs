//! What is durable in the write-ahead file and not in sled yet: it lies over what sled says.
//!
//! ```text
//! group commit -> active --(full)--> frozen --(checkpoint)--> sled
//! ```
//!
//! IMPORTANT: nothing gets in here before it is durable: readers see all of it.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ::sled::IVec;

use crate::kv::changes::{Change, Changes};

/// The changes of one write-ahead file, the last one of each key.
#[derive(Debug, Default)]
pub(super) struct Layer(BTreeMap<IVec, Entry>);

#[derive(Debug)]
struct Entry {
    /// `None`: removed.
    value: Option<IVec>,
    /// In which opening of the store it was put where nothing was; zero when something may have been.
    new_in: u32,
}

impl Layer {
    /// Adds what was made durable in the `boot`-th opening.
    pub(super) fn add(&mut self, changes: Changes, boot: u32) {
        for (key, change) in changes {
            let key = IVec::from(key);
            match change {
                Change::Put(value) => {
                    // What is new stays new, with another value.
                    let new_in = self.0.get(&key).map_or(0, |entry| entry.new_in);
                    self.0.insert(key, Entry { value: Some(value.into()), new_in });
                }
                Change::New(value) if self.0.contains_key(&key) => {
                    // Something is below, removed in this layer.
                    self.0.insert(key, Entry { value: Some(value.into()), new_in: 0 });
                }
                Change::New(value) => {
                    self.0.insert(key, Entry { value: Some(value.into()), new_in: boot });
                }
                // NOTE: only in the same opening: a checkpoint that a crash has cut may have brought it into sled since.
                Change::Remove if self.0.get(&key).is_some_and(|entry| entry.new_in == boot) => {
                    self.0.remove(&key);
                }
                Change::Remove => {
                    self.0.insert(key, Entry { value: None, new_in: 0 });
                }
            }
        }
    }

    /// All of it in the order of keys; `None` is a removal.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&IVec, Option<&IVec>)> {
        self.0.iter().map(|(key, entry)| (key, entry.value.as_ref()))
    }

    /// What it says of `key`; `Some(None)` is a removal.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&IVec>> {
        self.0.get(key).map(|entry| entry.value.as_ref())
    }

    /// Keys in a range that is not turned around.
    pub(super) fn range<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = (IVec, Option<IVec>)> + use<'a> {
        self.0.range::<[u8], _>(range).map(|(key, entry)| (key.clone(), entry.value.clone()))
    }
}

/// The layers over sled.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// What group commits add to.
    pub(super) active: Layer,
    /// What a checkpoint is about to bring into sled.
    pub(super) frozen: Option<Arc<Layer>>,
}

impl Overlay {
    /// The layers, the newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    /// Makes the active layer the frozen one, of which there must be none.
    pub(super) fn freeze(&mut self) -> Arc<Layer> {
        debug_assert!(self.frozen.is_none(), "the layer before must be in sled");
        let layer = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some(Arc::clone(&layer));
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left of steps such as `new in 1`.
    fn left(steps: &[&str]) -> Option<Option<String>> {
        let mut layer = Layer::default();
        for step in steps {
            let (what, boot) = step.split_once(" in ").expect("a step has a number");
            let (mut changes, key) = (Changes::default(), &b"k"[..]);
            match what {
                "new" => changes.insert_new(key, &b"new"[..]),
                "put" => changes.insert(key, &b"put"[..]),
                _ => changes.remove(key),
            }
            layer.add(changes, boot.parse().expect("a number"));
        }
        layer.get(b"k").map(|value| value.map(|value| String::from_utf8_lossy(value).into_owned()))
    }

    #[test]
    fn what_was_new_leaves_nothing_when_it_is_removed_in_the_same_opening() {
        let value = |value: &str| Some(Some(value.to_owned()));
        assert_eq!(left(&["new in 1"]), value("new"));
        assert_eq!(left(&["new in 1", "remove in 1"]), None);
        assert_eq!(left(&["new in 1", "put in 1", "remove in 1"]), None);
        assert_eq!(left(&["new in 1", "remove in 2"]), Some(None));
        assert_eq!(left(&["put in 1", "remove in 1"]), Some(None));
        assert_eq!(left(&["remove in 1", "new in 1", "remove in 1"]), Some(None));
        assert_eq!(left(&["new in 1", "remove in 1", "new in 1", "put in 1"]), value("put"));
    }
}
