//! The overlay: what is durable in a write-ahead file but not yet in sled. It hides older values in sled.
//!
//! ```text
//! group commit -> active --(full)--> frozen --(checkpoint)--> sled
//! ```
//!
//! IMPORTANT: readers see all of this: nothing may enter before it is durable.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use ::sled::IVec;

use crate::kv::changes::{Change, Changes};

/// The changes of one write-ahead file, the last one per key.
#[derive(Debug, Default)]
pub(super) struct Layer(BTreeMap<IVec, Entry>);

#[derive(Debug)]
struct Entry {
    /// `None` if removed.
    value: Option<IVec>,
    /// The boot number in which the key was put where it had no value below; zero if it may have one.
    new_in: u32,
}

impl Layer {
    /// Adds changes that became durable in the opening `boot`.
    pub(super) fn add(&mut self, changes: Changes, boot: u32) {
        for (key, change) in changes {
            let key = IVec::from(key);
            match change {
                Change::Put(value) => {
                    // A new key stays new when its value changes.
                    let new_in = self.0.get(&key).map_or(0, |entry| entry.new_in);
                    self.0.insert(key, Entry { value: Some(value.into()), new_in });
                }
                Change::New(value) if self.0.contains_key(&key) => {
                    // The key has a value below, which this layer removed.
                    self.0.insert(key, Entry { value: Some(value.into()), new_in: 0 });
                }
                Change::New(value) => {
                    self.0.insert(key, Entry { value: Some(value.into()), new_in: boot });
                }
                // NOTE: only in the same opening: since then, an interrupted checkpoint may have written the key to
                // sled.
                Change::Remove if self.0.get(&key).is_some_and(|entry| entry.new_in == boot) => {
                    self.0.remove(&key);
                }
                Change::Remove => {
                    self.0.insert(key, Entry { value: None, new_in: 0 });
                }
            }
        }
    }

    /// All changes in key order; `None` is a removal.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&IVec, Option<&IVec>)> {
        self.0.iter().map(|(key, entry)| (key, entry.value.as_ref()))
    }

    /// The change at `key`; `Some(None)` is a removal.
    pub(super) fn get(&self, key: &[u8]) -> Option<Option<&IVec>> {
        self.0.get(key).map(|entry| entry.value.as_ref())
    }

    /// The changes in a range, which must not be reversed.
    pub(super) fn range<'a>(
        &'a self,
        range: (Bound<&[u8]>, Bound<&[u8]>),
    ) -> impl DoubleEndedIterator<Item = (IVec, Option<IVec>)> + use<'a> {
        self.0.range::<[u8], _>(range).map(|(key, entry)| (key.clone(), entry.value.clone()))
    }
}

/// The layers above sled.
#[derive(Debug, Default)]
pub(super) struct Overlay {
    /// Receives group commits.
    pub(super) active: Layer,
    /// Being written into sled by a checkpoint.
    pub(super) frozen: Option<Arc<Layer>>,
}

impl Overlay {
    /// The layers, newest first.
    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        std::iter::once(&self.active).chain(self.frozen.as_deref())
    }

    /// Freezes the active layer. There must be no frozen layer.
    pub(super) fn freeze(&mut self) -> Arc<Layer> {
        debug_assert!(self.frozen.is_none(), "the previous layer must be in sled");
        let layer = Arc::new(std::mem::take(&mut self.active));
        self.frozen = Some(Arc::clone(&layer));
        layer
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The value after steps such as `new in 1`.
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
    fn a_new_key_removed_in_the_same_opening_leaves_no_tombstone() {
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
