//! Caches the heads of recently written runs, so that an append does not search for them.
//!
//! Heads are updated while a write is planned. If the write fails, the store is poisoned and they are not read again.

use orkestra_core::model::{RunId, Seq};

use super::error::BackendError;
use super::map::View;
use super::recent::RecentRuns;
use super::{inbox, read};

/// The end of a run's journal, and its inbox.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Position of the last event; zero without a journal.
    pub(crate) last: Seq,
    /// Number of letters waiting.
    pub(crate) letters: usize,
}

impl Head {
    pub(crate) fn has_journal(self) -> bool {
        self.last > Seq::ZERO
    }

    pub(crate) fn has_letters(self) -> bool {
        self.letters > 0
    }

    pub(crate) fn with_letters(self, letters: usize) -> Self {
        Self { letters, ..self }
    }
}

#[derive(Default)]
pub(crate) struct Heads(RecentRuns<Head>);

impl Heads {
    /// The head of `run`, including planned changes.
    pub(crate) fn of(&mut self, view: &dyn View, run: &RunId) -> Result<Head, BackendError> {
        if let Some(head) = self.0.get(run) {
            return Ok(head);
        }
        let head = Head { last: read::last(view, run)?, letters: inbox::count(view, run)? };
        self.set(run, head);
        Ok(head)
    }

    pub(crate) fn set(&mut self, run: &RunId, head: Head) {
        drop(self.0.set(run, head));
    }

    pub(crate) fn forget(&mut self, run: &RunId) {
        self.0.forget(run);
    }
}
