//! Small values with versions.

use ::sled::{Batch, Db};

use orkestra_core::store::Versioned;

use super::error::Trouble;
use super::{keys, value};

/// The longest key, in bytes: keys are copied into sled's inner pages, 256 of them into one.
const KEY_BYTES_MAX: usize = 400;

pub(super) fn get(db: &Db, name: &str) -> Result<Option<Versioned>, Trouble> {
    Ok(get_with_parts(db, name)?.map(|(value, _)| value))
}

/// The batch that writes the value, unless another version is there.
pub(super) fn put(db: &Db, name: &str, expected: u64, bytes: &[u8]) -> Result<Option<(Batch, u64)>, Trouble> {
    if name.len() > KEY_BYTES_MAX {
        let why = format!("a key has at most {KEY_BYTES_MAX} bytes, this one has {}", name.len());
        return Err(Trouble::Invalid(why));
    }
    let (current, parts) = get_with_parts(db, name)?.map_or((0, 0), |(value, parts)| (value.version, parts));
    if current != expected {
        return Ok(None);
    }
    let version = expected + 1;
    let mut batch = Batch::default();
    value::put(&mut batch, &keys::small(name), &[&version.to_be_bytes(), bytes].concat(), parts);
    Ok(Some((batch, version)))
}

pub(super) fn keys(db: &Db, prefix: &str, limit: usize) -> Result<Vec<String>, Trouble> {
    let found = db.scan_prefix(keys::small(prefix)).take(limit);
    found.map(|entry| keys::parse_small(&entry?.0)).collect()
}

fn get_with_parts(db: &Db, name: &str) -> Result<Option<(Versioned, u32)>, Trouble> {
    let key = keys::small(name);
    let Some((whole, parts)) = value::get(db, &key)? else {
        return Ok(None);
    };
    let (version, bytes) = whole.split_first_chunk().ok_or_else(|| Trouble::value(&key, "it has no version"))?;
    Ok(Some((Versioned { version: u64::from_be_bytes(*version), bytes: bytes.to_vec() }, parts)))
}
