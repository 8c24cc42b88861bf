//! Checks a whole store for consistency.

use orkestra_core::journal::Replayer;
use orkestra_core::model::RunId;
use orkestra_core::store::RunRecord;

use super::error::BackendError;
use super::map::View;
use super::{inbox, index, keys, read, value};

/// What a check of a store has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Number of runs.
    pub runs: u64,
    /// Number of commits of all runs.
    pub commits: u64,
}

/// Replays every journal and compares records and index entries with the result.
pub(crate) fn check(view: &dyn View) -> Result<CheckReport, BackendError> {
    let report = journals(view)?;
    let (mut records, mut entries) = (0, 0);
    for found in view.prefix(keys::ALL_RECORDS) {
        let run = keys::parse_record(&found?.0)?;
        let record = read::record(view, &run)?.ok_or_else(|| missing("record", &run))?;
        for entry in index::entries((&record, inbox::has_letters(view, &run)?)) {
            if !view.contains_key(&entry)? {
                return Err(missing("index entry", &run));
            }
            entries += 1;
        }
        records += 1;
    }
    if records != report.runs {
        return Err(BackendError::Damaged(format!("found {records} records for {} runs", report.runs)));
    }
    let mut found = 0_u64;
    for prefix in [keys::ALL_TERMS, keys::ALL_WAKE_UPS] {
        for entry in view.prefix(prefix) {
            entry?;
            found += 1;
        }
    }
    if found != entries {
        return Err(BackendError::Damaged(format!("the indexes have {found} entries, expected {entries}")));
    }
    for letter in view.prefix(keys::ALL_LETTERS) {
        let (key, raw) = letter?;
        let (run, _) = keys::parse_letter(&key)?;
        if !view.contains_key(&keys::record(&run))? {
            return Err(missing("record, but a letter waits for it", &run));
        }
        value::whole(view, &key, &raw)?;
    }
    Ok(report)
}

fn journals(view: &dyn View) -> Result<CheckReport, BackendError> {
    let mut report = CheckReport::default();
    let mut current: Option<(RunId, Replayer)> = None;
    for entry in view.prefix(keys::ALL_COMMITS) {
        let (key, raw) = entry?;
        let written = read::written(view, &key, &raw)?;
        let run = written.run.clone();
        let mut replayer = match current.take() {
            Some((same, replayer)) if same == run => replayer,
            before => {
                finish(view, before)?;
                report.runs += 1;
                Replayer::new(run.clone())
            }
        };
        replayer.add(&written)?;
        report.commits += 1;
        current = Some((run, replayer));
    }
    finish(view, current)?;
    Ok(report)
}

/// Compares the replayed state of a run with its record.
fn finish(view: &dyn View, journal: Option<(RunId, Replayer)>) -> Result<(), BackendError> {
    let Some((run, replayer)) = journal else {
        return Ok(());
    };
    let state = replayer.finish().ok_or_else(|| missing("journal", &run))?;
    let record: RunRecord = read::record(view, &run)?.ok_or_else(|| missing("record", &run))?;
    if record.status != state.status() {
        let (recorded, replayed) = (record.status, state.status());
        return Err(BackendError::Damaged(format!(
            "run `{run}` is {recorded:?} in its record, but {replayed:?} in its journal"
        )));
    }
    Ok(())
}

fn missing(what: &str, run: &RunId) -> BackendError {
    BackendError::Damaged(format!("run `{run}` has no {what}"))
}
