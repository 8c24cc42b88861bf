//! Removing all that is known of a run.

use orkestra_core::model::RunId;

use super::changes::Changes;
use super::error::Trouble;
use super::map::View;
use super::{index, keys, read, value};

/// What removes `run`; `None` when nothing is known of it.
pub(crate) fn run(view: &dyn View, run: &RunId) -> Result<Option<Changes>, Trouble> {
    let mut changes = Changes::default();
    let mut known = false;
    for entry in view.prefix(&keys::journal(run)).chain(view.prefix(&keys::blobs(run))) {
        let (key, raw) = entry?;
        value::remove(&mut changes, &key, &raw)?;
        known = true;
    }
    let record_key = keys::record(run);
    if let Some(raw) = view.get(&record_key)? {
        value::remove(&mut changes, &record_key, &raw)?;
        index::change(&mut changes, read::record(view, run)?.as_ref(), None);
        known = true;
    }
    Ok(known.then_some(changes))
}
