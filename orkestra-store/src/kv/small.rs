//! Small versioned values, and blobs of runs.

use orkestra_core::model::RunId;
use orkestra_core::store::{Refusal, Versioned};

use super::changes::Changes;
use super::error::BackendError;
use super::map::View;
use super::{keys, value};

/// The longest key, in bytes. sled copies keys into its inner pages, 256 of them into one.
const KEY_BYTES_MAX: usize = 400;

pub(crate) fn get(view: &dyn View, name: &str) -> Result<Option<Versioned>, BackendError> {
    Ok(get_with_parts(view, name)?.map(|(value, _)| value))
}

/// The changes that write a value; `None` if its version is not `expected`.
pub(crate) fn put(
    view: &dyn View,
    name: &str,
    expected: u64,
    bytes: &[u8],
) -> Result<Option<(Changes, u64)>, BackendError> {
    if name.len() > KEY_BYTES_MAX {
        let why =
            format!("cannot write a value: its key has {} bytes, more than the {KEY_BYTES_MAX} allowed", name.len());
        return Err(BackendError::Invalid(why));
    }
    let (current, parts) = get_with_parts(view, name)?.map_or((0, 0), |(value, parts)| (value.version, parts));
    if current != expected {
        return Ok(None);
    }
    let version = expected + 1;
    let mut changes = Changes::default();
    value::put(&mut changes, &keys::small(name), &[&version.to_be_bytes(), bytes].concat(), parts);
    Ok(Some((changes, version)))
}

/// The changes that write a blob, replacing an earlier one.
pub(crate) fn put_blob(view: &dyn View, run: &RunId, name: &str, bytes: &[u8]) -> Result<Changes, BackendError> {
    Refusal::check_blob_key(run, name)?;
    let key = keys::blob(run, name);
    let parts = view.get(&key)?.map_or(Ok(0), |raw| value::parts(&key, &raw))?;
    let mut changes = Changes::default();
    value::put(&mut changes, &key, bytes, parts);
    Ok(changes)
}

/// The keys of all blobs of `run`, in order.
pub(crate) fn blob_keys(view: &dyn View, run: &RunId) -> Result<Vec<String>, BackendError> {
    let all = keys::blobs(run);
    view.prefix(&all).map(|entry| keys::parse_blob(&entry?.0, &all)).collect()
}

pub(crate) fn keys(view: &dyn View, prefix: &str, limit: usize) -> Result<Vec<String>, BackendError> {
    let found = view.prefix(&keys::small(prefix)).take(limit);
    found.map(|entry| keys::parse_small(&entry?.0)).collect()
}

fn get_with_parts(view: &dyn View, name: &str) -> Result<Option<(Versioned, u32)>, BackendError> {
    let key = keys::small(name);
    let Some((whole, parts)) = value::get(view, &key)? else {
        return Ok(None);
    };
    let (version, bytes) = whole.split_first_chunk().ok_or_else(|| BackendError::value(&key, "it has no version"))?;
    Ok(Some((Versioned { version: u64::from_be_bytes(*version), bytes: bytes.to_vec() }, parts)))
}
