//! The encoding of a group commit in the write-ahead file.
//!
//! ```text
//! 0 <length, 4 bytes> <key>                                remove
//! 1 <length, 4 bytes> <key> <length, 4 bytes> <value>      put
//! 2 <length, 4 bytes> <key> <length, 4 bytes> <value>      put at a key that has no value
//! ```

use crate::kv::changes::{Change, Changes};
use crate::kv::error::BackendError;

const REMOVED: u8 = 0;
const PUT: u8 = 1;
const NEW: u8 = 2;

/// Appends the encoded changes to `bytes`.
pub(super) fn encode(changes: &Changes, bytes: &mut Vec<u8>) {
    for (key, change) in changes.iter() {
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

/// Decodes all of `bytes`.
pub(super) fn decode(mut bytes: &[u8]) -> Result<Changes, BackendError> {
    let damaged = || BackendError::Damaged("a record of the write-ahead file cannot be decoded".into());
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
    Ok(changes.into_iter().collect())
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
    fn changes_are_decoded_or_refused() {
        let mut changes = Changes::default();
        changes.insert(&b"k"[..], &b"value"[..]);
        changes.insert_new(&b"n"[..], &b""[..]);
        changes.remove(&b""[..]);
        let mut bytes = Vec::new();
        encode(&changes, &mut bytes);
        let whole = [bytes.len(), 0, 1 + 4 + 1 + 4 + 5, 2 * (1 + 4 + 1 + 4) + 5];
        for cut in 0..=bytes.len() {
            assert_eq!(decode(&bytes[..cut]).is_ok(), whole.contains(&cut), "cut at {cut}");
        }
        assert_eq!(decode(&bytes).expect("it is whole"), changes);
        assert!(decode(&[9, 0, 0, 0, 0]).is_err());
    }
}
