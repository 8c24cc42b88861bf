//! What a group commit changes, and how that is written down.
//!
//! ```text
//! 0 <length, 4 bytes> <key>                                removed
//! 1 <length, 4 bytes> <key> <length, 4 bytes> <value>      put
//! 2 <length, 4 bytes> <key> <length, 4 bytes> <value>      put where nothing was
//! ```

use super::error::Trouble;

const REMOVED: u8 = 0;
const PUT: u8 = 1;
const NEW: u8 = 2;

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

    /// Appends what is written down of them to `bytes`.
    pub(crate) fn encode(&self, bytes: &mut Vec<u8>) {
        for (key, change) in &self.0 {
            let (tag, value) = match change {
                Change::Remove => (REMOVED, None),
                Change::Put(value) => (PUT, Some(value)),
                Change::New(value) => (NEW, Some(value)),
            };
            bytes.push(tag);
            put(bytes, key);
            if let Some(value) = value {
                put(bytes, value);
            }
        }
    }

    /// Reads all of `bytes` back.
    pub(crate) fn decode(mut bytes: &[u8]) -> Result<Self, Trouble> {
        let damaged = || Trouble::Damaged("a record of the write-ahead file is not as it is written".into());
        let mut changes = Vec::new();
        while let Some((tag, rest)) = bytes.split_first() {
            let (key, rest) = take(rest).ok_or_else(damaged)?;
            let (change, rest) = match *tag {
                REMOVED => (Change::Remove, rest),
                PUT => take(rest).map(|(value, rest)| (Change::Put(value), rest)).ok_or_else(damaged)?,
                NEW => take(rest).map(|(value, rest)| (Change::New(value), rest)).ok_or_else(damaged)?,
                _ => return Err(damaged()),
            };
            changes.push((key, change));
            bytes = rest;
        }
        Ok(Self(changes))
    }
}

impl IntoIterator for Changes {
    type Item = (Vec<u8>, Change);
    type IntoIter = std::vec::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

fn put(bytes: &mut Vec<u8>, text: &[u8]) {
    let length = u32::try_from(text.len()).expect("keys and parts of values are short");
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(text);
}

fn take(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    let (text, rest) = rest.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    Some((text.to_vec(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_are_read_back_or_refused() {
        let mut changes = Changes::default();
        changes.insert(&b"k"[..], &b"value"[..]);
        changes.insert_new(&b"n"[..], &b""[..]);
        changes.remove(&b""[..]);
        let mut bytes = Vec::new();
        changes.encode(&mut bytes);
        let whole = [bytes.len(), 0, 1 + 4 + 1 + 4 + 5, 2 * (1 + 4 + 1 + 4) + 5];
        for cut in 0..=bytes.len() {
            assert_eq!(Changes::decode(&bytes[..cut]).is_ok(), whole.contains(&cut), "cut at {cut}");
        }
        assert_eq!(Changes::decode(&bytes).expect("it is whole"), changes);
        assert!(Changes::decode(&[9, 0, 0, 0, 0]).is_err());
    }
}
