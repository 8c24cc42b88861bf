//! Values of any size as sled takes them well: in parts. Other backends have the same parts.
//!
//! sled moves a page of more than a quarter of a segment (128 KiB) into a file of its own under `blobs/`, which nothing
//! ever syncs. A page is a leaf with up to 19 values, so a value must stay far below that: the first part stands at the
//! key itself, the others at keys of their own. So no value is ever written to `blobs/`; a test looks. A page of an index with keys of
//! more than 500 bytes may be: checkpoints sync those files (`sled/sync.rs`).
//!
//! ```text
//! 0 <bytes>                      all of it
//! 1 <length, 8 bytes> <bytes>    the first part
//! ```

use super::changes::Changes;
use super::error::Trouble;
use super::keys;
use super::map::View;

/// The most bytes of a part. 19 of them with their keys stay below 128 KiB, see above.
const PART_BYTES_MAX: usize = 5 * 1024;

const WHOLE: u8 = 0;
const FIRST: u8 = 1;
const HEAD: usize = 1 + size_of::<u64>();

/// Puts `bytes` at `key`, over a value that had `old` further parts. Answers how many this one has.
pub(crate) fn put(changes: &mut Changes, key: &[u8], bytes: &[u8], old: u32) -> u32 {
    let count = write(changes, key, bytes, Changes::insert);
    for number in count..old {
        changes.remove(keys::part(key, number));
    }
    count
}

/// The same at a key where nothing was: what comes and goes soon leaves nothing to be remembered.
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

/// Removes the value at `key`, which has `parts` further parts.
pub(crate) fn remove(changes: &mut Changes, key: &[u8], parts: u32) {
    changes.remove(key);
    for number in 0..parts {
        changes.remove(keys::part(key, number));
    }
}

/// How many further parts the value `raw` at `key` has.
pub(crate) fn parts(key: &[u8], raw: &[u8]) -> Result<u32, Trouble> {
    let Some(length) = length(key, raw)? else {
        return Ok(0);
    };
    let count = length.saturating_sub(PART_BYTES_MAX as u64).div_ceil(PART_BYTES_MAX as u64);
    u32::try_from(count).map_err(|_| Trouble::value(key, format!("it claims to have {length} bytes")))
}

/// What can be known of the value `raw` at `key` without its further parts.
pub(crate) fn beginning<'a>(key: &[u8], raw: &'a [u8]) -> Result<&'a [u8], Trouble> {
    Ok(if length(key, raw)?.is_some() { &raw[HEAD..] } else { &raw[1..] })
}

/// All of the value `raw` at `key`.
pub(crate) fn whole(view: &dyn View, key: &[u8], raw: &[u8]) -> Result<Vec<u8>, Trouble> {
    let mut bytes = beginning(key, raw)?.to_vec();
    for number in 0..parts(key, raw)? {
        let part = view.get(&keys::part(key, number))?;
        let part = part.ok_or_else(|| Trouble::value(key, format!("its part {number} is missing")))?;
        bytes.extend_from_slice(&part);
    }
    match length(key, raw)? {
        Some(length) if length != bytes.len() as u64 => {
            Err(Trouble::value(key, format!("{} bytes are there of {length}", bytes.len())))
        }
        _ => Ok(bytes),
    }
}

/// The value at `key`, whole, with the number of its further parts.
pub(crate) fn get(view: &dyn View, key: &[u8]) -> Result<Option<(Vec<u8>, u32)>, Trouble> {
    let Some(raw) = view.get(key)? else {
        return Ok(None);
    };
    Ok(Some((whole(view, key, &raw)?, parts(key, &raw)?)))
}

/// The length of a value that has parts.
fn length(key: &[u8], raw: &[u8]) -> Result<Option<u64>, Trouble> {
    match raw.split_first() {
        Some((&WHOLE, _)) => Ok(None),
        Some((&FIRST, rest)) => {
            let number = rest.first_chunk().ok_or_else(|| Trouble::value(key, "it is too short"))?;
            Ok(Some(u64::from_be_bytes(*number)))
        }
        _ => Err(Trouble::value(key, "it does not begin as a value does")),
    }
}
