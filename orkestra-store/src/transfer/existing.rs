//! What the store already has of a run, to compare it with the export.

use std::collections::VecDeque;

use orkestra_core::journal::Written;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Letter, LetterId, Store, StoreError};

use super::error::TransferError;
use super::survey::{COMMITS_AT_ONCE, LETTERS_AT_ONCE};

/// A journal in the store, read commit by commit.
pub(super) struct Journal {
    run: RunId,
    read: VecDeque<Written>,
    from: Option<Seq>,
}

impl Journal {
    pub(super) const fn of(run: RunId) -> Self {
        Self { run, read: VecDeque::new(), from: Some(Seq(1)) }
    }

    pub(super) async fn next(&mut self, store: &dyn Store) -> Result<Option<Written>, StoreError> {
        if let Some(from) = self.from.filter(|_| self.read.is_empty()) {
            self.read = store.read(&self.run, from, COMMITS_AT_ONCE).await?.into();
            self.from = self.read.back().map(|last| last.last.plus(1));
        }
        Ok(self.read.pop_front())
    }
}

/// An inbox in the store, read letter by letter. It must contain the first letters of the export: an interrupted import
/// has sent those, and the rest is sent now.
pub(super) struct Inbox {
    read: VecDeque<Letter>,
    after: Option<LetterId>,
}

impl Inbox {
    /// An inbox that may contain letters.
    pub(super) const fn unknown() -> Self {
        Self { read: VecDeque::new(), after: Some(LetterId::ZERO) }
    }

    /// An empty inbox.
    pub(super) const fn empty() -> Self {
        Self { read: VecDeque::new(), after: None }
    }

    /// Whether the store already has the next letter.
    pub(super) async fn has(&mut self, store: &dyn Store, run: &RunId, body: &[u8]) -> Result<bool, TransferError> {
        if let Some(after) = self.after.filter(|_| self.read.is_empty()) {
            self.read = store.letters(run, after, LETTERS_AT_ONCE).await?.into();
            self.after = self.read.back().map(|last| last.id);
        }
        match self.read.pop_front() {
            None => Ok(false),
            Some(letter) if *letter.body == *body => Ok(true),
            Some(_) => {
                Err(TransferError::Differs(format!("cannot import run `{run}`: it has other letters in the store")))
            }
        }
    }
}
