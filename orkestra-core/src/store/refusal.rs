//! Requests that every store refuses as invalid, in the same words.

use crate::model::RunId;
use crate::model::limits::{BLOB_KEY_BYTES_MAX, LETTER_BYTES_MAX, LETTERS_MAX};

use super::{Append, AppendError, StoreError, StoreErrorKind};

/// A request that a store must refuse. It becomes a [`StoreError`] of kind [`StoreErrorKind::Invalid`] with this text, so that
/// the error of a mistake does not depend on the store.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A commit ends before it begins.
    #[error("cannot append to run `{0}`: the commit has no events")]
    NoEvents(RunId),
    /// The first commit of a run has no record.
    #[error("cannot append to run `{0}`: its first commit must include the run's record")]
    NoRecord(RunId),
    /// A commit has the record of another run.
    #[error("cannot append to run `{run}`: the commit includes the record of run `{other}`")]
    OtherRecord {
        /// The run of the commit.
        run: RunId,
        /// The run of the record.
        other: RunId,
    },
    /// The run that a letter is for does not exist.
    #[error("cannot send a letter to run `{0}`: the run was not found")]
    NoRun(RunId),
    /// A letter is too long.
    #[error("cannot send a letter to run `{run}`: it has {bytes} bytes, more than the {LETTER_BYTES_MAX} allowed")]
    LongLetter {
        /// The run.
        run: RunId,
        /// The length of the letter.
        bytes: usize,
    },
    /// The inbox of a run is full.
    #[error("cannot send a letter to run `{0}`: its inbox is full with {LETTERS_MAX} letters; try later")]
    FullInbox(RunId),
    /// The key of a blob is empty or too long.
    #[error("cannot write a blob of run `{run}`: its key has {bytes} bytes, allowed are 1 to {BLOB_KEY_BYTES_MAX}")]
    BlobKey {
        /// The run.
        run: RunId,
        /// The length of the key.
        bytes: usize,
    },
}

impl Refusal {
    /// Checks a commit that follows the last position of its run and is not fenced; `is_first` if the run has no commit yet.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_append(append: &Append, is_first: bool) -> Result<(), Self> {
        let Append { commit, record, .. } = append;
        let run = || commit.run.clone();
        match record {
            _ if commit.last < commit.first => Err(Self::NoEvents(run())),
            None if is_first => Err(Self::NoRecord(run())),
            Some(record) if record.id != commit.run => Err(Self::OtherRecord { run: run(), other: record.id.clone() }),
            _ => Ok(()),
        }
    }

    /// Checks the length of a letter.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_letter(run: &RunId, body: &[u8]) -> Result<(), Self> {
        let bytes = body.len();
        if bytes > LETTER_BYTES_MAX { Err(Self::LongLetter { run: run.clone(), bytes }) } else { Ok(()) }
    }

    /// Checks the key of a blob.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn check_blob_key(run: &RunId, key: &str) -> Result<(), Self> {
        let bytes = key.len();
        let is_fine = (1..=BLOB_KEY_BYTES_MAX).contains(&bytes);
        if is_fine { Ok(()) } else { Err(Self::BlobKey { run: run.clone(), bytes }) }
    }
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        Self::new(StoreErrorKind::Invalid, refusal.to_string()).with_source(refusal)
    }
}

impl From<Refusal> for AppendError {
    fn from(refusal: Refusal) -> Self {
        Self::Failed(refusal.into())
    }
}
