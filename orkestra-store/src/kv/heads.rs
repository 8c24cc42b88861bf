//! Where runs stand that were written to lately: an append must search for nothing.
//!
//! Whoever plans a change of them sets them; when the write fails the store is poisoned, and nobody looks at them again.

use orkestra_core::model::{RunId, Seq};

use super::error::Trouble;
use super::lately::Lately;
use super::map::View;
use super::{inbox, read};

/// Where a run stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// Its last position; zero when it has no journal.
    pub(crate) last: Seq,
    /// How many letters wait for it.
    pub(crate) letters: usize,
}

impl Head {
    pub(crate) fn has_journal(self) -> bool {
        self.last > Seq::ZERO
    }

    pub(crate) fn has_mail(self) -> bool {
        self.letters > 0
    }

    pub(crate) fn with_letters(self, letters: usize) -> Self {
        Self { letters, ..self }
    }
}

/// The heads of runs.
#[derive(Default)]
pub(crate) struct Heads(Lately<Head>);

impl Heads {
    /// The head of `run`, with what was planned.
    pub(crate) fn of(&mut self, view: &dyn View, run: &RunId) -> Result<Head, Trouble> {
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
