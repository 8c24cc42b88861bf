//! Errors of exports and imports.

use std::io;

use orkestra_core::journal::ReplayError;
use orkestra_core::model::RunId;
use orkestra_core::store::{AppendError, StoreError};

/// Why an export or import failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The export could not be written.
    #[error("cannot write the export: {0}")]
    Write(#[source] io::Error),
    /// The export could not be read.
    #[error("cannot read the export: {0}")]
    Read(#[source] io::Error),
    /// These runs are being driven. Stop their engines, or skip the runs with
    /// [`with_skip_busy`](super::ExportOptions::with_skip_busy).
    #[error("cannot export runs that an engine is driving: {}", named(.0))]
    Busy(Vec<RunId>),
    /// The store contains a damaged journal.
    #[error("cannot export run `{run}`: its journal is damaged: {source}")]
    Journal {
        /// The run.
        run: RunId,
        /// What is wrong.
        #[source]
        source: Box<ReplayError>,
    },
    /// The store contains something too large for an export.
    #[error("{0}")]
    TooLarge(String),
    /// The input is not an export, or is damaged.
    #[error("line {line}: {what}")]
    Line {
        /// The number of the line, counted from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// The export was written by a newer version of this library.
    #[error("cannot import: the export has format {found}, this version reads up to {max}; use a newer version", max = super::FORMAT_VERSION)]
    Newer {
        /// The version of its format.
        found: u32,
    },
    /// The store must be empty, but is not.
    #[error("cannot import into {0}: it is not empty")]
    NotEmpty(String),
    /// The store contains other data than the export. Nothing is overwritten.
    #[error("{0}")]
    Differs(String),
    /// The store refused a commit.
    #[error("cannot import run `{run}`: {source}")]
    Append {
        /// The run.
        run: RunId,
        /// The answer of the store.
        #[source]
        source: AppendError,
    },
    /// The input changed between the check and the import.
    #[error("cannot import: the export changed while it was read; try again")]
    Changed,
}

/// How many runs an error names.
const NAMED_MAX: usize = 10;

fn named(runs: &[RunId]) -> String {
    let mut text = runs.iter().take(NAMED_MAX).map(|run| format!("`{run}`")).collect::<Vec<_>>().join(", ");
    if runs.len() > NAMED_MAX {
        text.push_str(&format!(" and {} more", runs.len() - NAMED_MAX));
    }
    text
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;

    use orkestra_core::model::Seq;
    use orkestra_core::store::StoreErrorKind;

    use super::*;

    #[test]
    fn each_error_that_has_a_cause_gives_it_and_tells_it() {
        let run = RunId::new("r").expect("an id");
        let full = || io::Error::from(io::ErrorKind::StorageFull);
        let store = || StoreError::new(StoreErrorKind::Io, "the disk is full").with_source(full());
        let gap = ReplayError::Gap { run: run.clone(), found: Seq(2), expected: Seq(1) };
        let errors = [
            TransferError::from(store()),
            TransferError::Write(full()),
            TransferError::Read(full()),
            TransferError::Journal { run: run.clone(), source: Box::new(gap) },
            TransferError::Append { run, source: store().into() },
        ];
        for error in &errors {
            let source = error.source().unwrap_or_else(|| panic!("`{error}` has no source"));
            assert!(error.to_string().contains(&source.to_string()), "`{error}` does not tell `{source}`");
        }
        assert!(errors[0].source().is_some_and(<dyn std::error::Error>::is::<StoreError>));
        assert!(errors[1].source().is_some_and(<dyn std::error::Error>::is::<io::Error>));
        assert!(errors[4].source().is_some_and(<dyn std::error::Error>::is::<AppendError>));
    }
}
