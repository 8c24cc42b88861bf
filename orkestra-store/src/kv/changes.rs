//! What a group commit changes.

/// A change of the value at a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// There is none any more.
    Remove,
    /// This one, whatever was there.
    Put(Vec<u8>),
    /// This one, and nothing was there before.
    New(Vec<u8>),
}

/// Changes in their order. All of them become durable, or none.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes(Vec<(Vec<u8>, Change)>);

impl Changes {
    pub(crate) fn insert(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.0.push((key.into(), Change::Put(value.into())));
    }

    /// The same where nothing was: a removal that comes soon leaves nothing to be remembered.
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
