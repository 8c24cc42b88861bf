//! Values of any size, split into parts that suit sled. Other backends use the same parts.
//!
//! sled moves a page larger than a quarter of a segment (128 KiB) into a file of its own under `blobs/`, which it never
//! syncs. A leaf page has up to 19 values, so values must stay far below that limit. The first part is stored at the
//! key itself, the others at keys of their own. A test verifies that no value is written to `blobs/`. An index page
//! with keys of more than 500 bytes may be: checkpoints sync those files (`sled/sync.rs`).
//!
//! ```text
//! 0 <bytes>                      a complete value
//! 1 <length, 8 bytes> <bytes>    the first part of a longer value
//! ```

use super::changes::Changes;
use super::error::BackendError;
use super::keys;
use super::map::View;

/// The largest part, in bytes. 19 of them with their keys stay below 128 KiB, see above.
const PART_BYTES_MAX: usize = 5 * 1024;

const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const HEAD: usize = 1 + size_of::<u64>();

/// Puts `bytes` at `key`, replacing a value that had `old` continuation parts. Returns the new number of continuation
/// parts.
pub(crate) fn put(changes: &mut Changes, key: &[u8], bytes: &[u8], old: u32) -> u32 {
    let count = write(changes, key, bytes, Changes::insert);
    for number in count..old {
        changes.remove(keys::part(key, number));
    }
    count
}

/// Like [`put`], for a key that has no value: if it is removed again soon, no tombstone has to be kept.
pub(crate) fn put_new(changes: &mut Changes, key: &[u8], bytes: &[u8]) {
    write(changes, key, bytes, Changes::insert_new);
}

fn write(changes: &mut Changes, key: &[u8], bytes: &[u8], insert: fn(&mut Changes, Vec<u8>, Vec<u8>)) -> u32 {
    let (first, rest) = bytes.split_at(bytes.len().min(PART_BYTES_MAX));
    let head = if rest.is_empty() {
        [&[WHOLE], first].concat()
    } else {
        [&[FIRST], &(bytes.len() as u64).to_be_bytes()[..], first].concat()
    };
    insert(changes, key.to_vec(), head);
    let mut count = 0;
    for part in rest.chunks(PART_BYTES_MAX) {
        insert(changes, keys::part(key, count), part.to_vec());
        count += 1;
    }
    count
}

/// Removes the value at `key`, which has `parts` continuation parts.
pub(crate) fn remove(changes: &mut Changes, key: &[u8], parts: u32) {
    changes.remove(key);
    for number in 0..parts {
        changes.remove(keys::part(key, number));
    }
}

/// The number of continuation parts of the value `raw` at `key`.
pub(crate) fn parts(key: &[u8], raw: &[u8]) -> Result<u32, BackendError> {
    let Some(length) = length(key, raw)? else {
        return Ok(0);
    };
    let count = length.saturating_sub(PART_BYTES_MAX as u64).div_ceil(PART_BYTES_MAX as u64);
    u32::try_from(count).map_err(|_| BackendError::value(key, format!("its length of {length} bytes is impossible")))
}

/// The bytes of `raw` that are available without reading continuation parts.
pub(crate) fn beginning<'a>(key: &[u8], raw: &'a [u8]) -> Result<&'a [u8], BackendError> {
    Ok(if length(key, raw)?.is_some() { &raw[HEAD..] } else { &raw[1..] })
}

/// The whole value that begins with `raw` at `key`.
pub(crate) fn whole(view: &dyn View, key: &[u8], raw: &[u8]) -> Result<Vec<u8>, BackendError> {
    let mut bytes = beginning(key, raw)?.to_vec();
    for number in 0..parts(key, raw)? {
        let part = view.get(&keys::part(key, number))?;
        let part = part.ok_or_else(|| BackendError::value(key, format!("part {number} is missing")))?;
        bytes.extend_from_slice(&part);
    }
    match length(key, raw)? {
        Some(length) if length != bytes.len() as u64 => {
            Err(BackendError::value(key, format!("it has {} of {length} bytes", bytes.len())))
        }
        _ => Ok(bytes),
    }
}

/// The whole value at `key`, and the number of its continuation parts.
pub(crate) fn get(view: &dyn View, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, BackendError> {
    let Some(raw) = view.get(key)? else {
        return Ok(None);
    };
    Ok(Some((whole(view, key, &raw)?, parts(key, &raw)?)))
}

/// The length of a value that has continuation parts; `None` for a complete value.
fn length(key: &[u8], raw: &[u8]) -> Result<Option<u64>, BackendError> {
    match raw.split_first() {
        Some((&WHOLE, _)) => Ok(None),
        Some((&FIRST, rest)) => {
            let number = rest.first_chunk().ok_or_else(|| BackendError::value(key, "it is too short"))?;
            Ok(Some(u64::from_be_bytes(*number)))
        }
        _ => Err(BackendError::value(key, "its first byte is invalid")),
    }
}
