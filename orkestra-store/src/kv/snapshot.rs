//! Snapshots of runs. They are caches: written atomically, without waiting for the disk.

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::Snapshot;

use super::changes::Changes;
use super::error::BackendError;
use super::map::View;
use super::{keys, value};

/// The changes that store `snapshot` in place of the previous one.
pub(crate) fn put(view: &dyn View, run: &RunId, snapshot: &Snapshot) -> Result<Changes, BackendError> {
    let key = keys::snapshot(run);
    let parts = view.get(&key)?.map_or(Ok(0), |raw| value::parts(&key, &raw))?;
    let mut changes = Changes::default();
    value::put(&mut changes, &key, &[&snapshot.last.0.to_be_bytes(), &*snapshot.bytes].concat(), parts);
    Ok(changes)
}

/// The stored snapshot of `run`.
pub(crate) fn get(view: &dyn View, run: &RunId) -> Result<Option<Snapshot>, BackendError> {
    let key = keys::snapshot(run);
    let Some((whole, _)) = value::get(view, &key)? else {
        return Ok(None);
    };
    let (last, bytes) = whole.split_first_chunk().ok_or_else(|| BackendError::value(&key, "it has no position"))?;
    Ok(Some(Snapshot { last: Seq(u64::from_be_bytes(*last)), bytes: bytes.into() }))
}
