//! The changes of a group commit.

/// A change of the value at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Removes the value.
    Remove,
    /// Puts a value, replacing any other.
    Put(Vec<u8>),
    /// Puts a value at a key that has none.
    New(Vec<u8>),
}

/// Changes in order. Either all of them become durable or none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(Vec<(Vec<u8>, Change)>);

impl Changes {
    pub(crate) fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), Change::Put(value.into())));
    }

    /// Like [`insert`](Self::insert), for a key that has no value: if it is removed again soon, no tombstone has to be
    /// kept.
    pub(crate) fn insert_new(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), Change::New(value.into())));
    }

    pub(crate) fn remove(&mut self, key: impl Into<Vec<u8>>) {
        self.0.push((key.into(), Change::Remove));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(feature = "sled")]
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(Vec<u8>, Change)> {
        self.0.iter()
    }
}

impl IntoIterator for Changes {
    type Item = (Vec<u8>, Change);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<(Vec<u8>, Change)> for Changes {
    fn from_iter<T: IntoIterator<Item = (Vec<u8>, Change)>>(changes: T) -> Self {
        Self(changes.into_iter().collect())
    }
}
