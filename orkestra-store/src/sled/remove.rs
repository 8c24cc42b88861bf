//! Removing all that is known of a run.

use ::sled::{Batch, Db};

use orkestra_core::model::RunId;

use super::error::Trouble;
use super::{index, keys, read, value};

/// The batch that removes `run`; `None` when nothing is known of it.
pub(super) fn run(db: &Db, run: &RunId) -> Result<Option<Batch>, Trouble> {
    let mut batch = Batch::default();
    let mut known = false;
    for entry in db.scan_prefix(keys::journal(run)).chain(db.scan_prefix(keys::blobs(run))) {
        let (key, raw) = entry?;
        value::remove(&mut batch, &key, &raw)?;
        known = true;
    }
    let record_key = keys::record(run);
    if let Some(raw) = db.get(&record_key)? {
        value::remove(&mut batch, &record_key, &raw)?;
        index::change(&mut batch, read::record(db, run)?.as_ref(), None);
        known = true;
    }
    Ok(known.then_some(batch))
}
