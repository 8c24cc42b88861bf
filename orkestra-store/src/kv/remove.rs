//! Deletes everything stored for a run.

use orkestra_core::model::RunId;

use super::changes::Changes;
use super::error::BackendError;
use super::map::View;
use super::{inbox, index, keys, read, value};

/// The changes that delete `run`; `None` when nothing is stored for it.
pub(crate) fn run(view: &dyn View, run: &RunId) -> Result<Option<Changes>, BackendError> {
    let mut changes = Changes::default();
    let mut known = false;
    let (journal, blobs) = (keys::journal(run), keys::blobs(run));
    let letters = keys::letters(run);
    for entry in view.prefix(&journal).chain(view.prefix(&blobs)).chain(view.prefix(&letters)) {
        let (key, raw) = entry?;
        value::remove(&mut changes, &key, value::parts(&key, &raw)?);
        known = true;
    }
    let mail = inbox::has_letters(view, run)?;
    for key in [keys::record(run), keys::snapshot(run)] {
        if let Some(raw) = view.get(&key)? {
            value::remove(&mut changes, &key, value::parts(&key, &raw)?);
            known = true;
        }
    }
    if let Some(record) = read::record(view, run)? {
        index::change(&mut changes, Some((&record, mail)), None);
    }
    Ok(known.then_some(changes))
}
