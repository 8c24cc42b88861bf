//! Why something was not moved.

use std::io;

use orkestra_core::journal::ReplayError;
use orkestra_core::model::RunId;
use orkestra_core::store::{AppendError, StoreError};

/// Why an export or an import was given up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The store failed.
    #[error("{0}")]
    Store(#[from] StoreError),
    /// The lines cannot be written.
    #[error("the export cannot be written: {0}")]
    Write(#[source] io::Error),
    /// The lines cannot be read.
    #[error("the export cannot be read: {0}")]
    Read(#[source] io::Error),
    /// Somebody drives these runs. Stop who does, or leave them out.
    #[error("somebody works on {}", named(.0))]
    Busy(Vec<RunId>),
    /// A journal of the store is damaged.
    #[error("the journal of run `{run}` is damaged: {source}")]
    Journal {
        /// The run.
        run: RunId,
        /// What is wrong.
        #[source]
        source: Box<ReplayError>,
    },
    /// Something of the store that no export holds.
    #[error("{0}")]
    TooLarge(String),
    /// What is read is no export, or a damaged one.
    #[error("line {line}: {what}")]
    Line {
        /// The number of the line, counted from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// What is read was written by a newer version of this library.
    #[error("the export is of format {found}, this version reads up to {max}; use a newer version", max = super::FORMAT_VERSION)]
    Newer {
        /// The format's version.
        found: u32,
    },
    /// The store is to be empty, and is not.
    #[error("{0} is not empty")]
    NotEmpty(String),
    /// The store has something else than the export. Nothing is written over.
    #[error("{0}")]
    Differs(String),
    /// The store refused a commit.
    #[error("run `{run}` was not taken: {source}")]
    Append {
        /// The run.
        run: RunId,
        /// What the store answered.
        #[source]
        source: AppendError,
    },
    /// What is read changed between looking at it and writing it into the store.
    #[error("the export has changed while it was read")]
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
        assert!(errors[0].source().is_some_and(|source| source.is::<StoreError>()));
        assert!(errors[1].source().is_some_and(|source| source.is::<io::Error>()));
        assert!(errors[4].source().is_some_and(|source| source.is::<AppendError>()));
    }
}
