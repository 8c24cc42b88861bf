//! Recovery: a journal folded into a state, commit by commit. There is no other way to load a run.

use crate::kernel::{IllegalEvent, RunState, apply};
use crate::model::{RunId, Seq};

use super::codec::{CodecError, decode};
use super::commit::{Commit, Written};

/// Why a journal is no run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A commit is unreadable.
    #[error("run `{run}`, commit at {first}: {source}")]
    Codec {
        /// The run.
        run: RunId,
        /// The commit's first event.
        first: Seq,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// Something is missing in the middle.
    #[error("run `{run}`: a commit begins at {found} where {expected} follows")]
    Gap {
        /// The run.
        run: RunId,
        /// Where the commit begins.
        found: Seq,
        /// Where it should.
        expected: Seq,
    },
    /// An event contradicts those before it.
    #[error("{0}")]
    Illegal(#[from] IllegalEvent),
}

/// Folds commits into a state.
#[derive(Debug)]
pub struct Replayer {
    run: RunId,
    state: Option<RunState>,
}

impl Replayer {
    /// Begins with nothing.
    #[must_use]
    pub const fn new(run: RunId) -> Self {
        Self { run, state: None }
    }

    /// Begins with what a snapshot holds.
    #[must_use]
    pub fn resume(state: RunState) -> Self {
        Self { run: state.id().clone(), state: Some(state) }
    }

    /// Adds the next commit; returns it decoded.
    ///
    /// # Errors
    /// [`ReplayError`]; the replay is over then.
    pub fn add(&mut self, written: &Written) -> Result<Commit, ReplayError> {
        let (run, first) = (self.run.clone(), written.first);
        let expected = self.state.as_ref().map_or(Seq::ZERO, RunState::last).plus(1);
        if first != expected {
            return Err(ReplayError::Gap { run, found: first, expected });
        }
        let commit = decode(&run, first, written.last, &written.body).map_err(|source| ReplayError::Codec {
            run,
            first,
            source,
        })?;
        for event in &commit.events {
            apply(&self.run, &mut self.state, commit.at, event)?;
        }
        Ok(commit)
    }

    /// The run.
    #[must_use]
    pub const fn run(&self) -> &RunId {
        &self.run
    }

    /// The state so far; none before the first commit.
    #[must_use]
    pub const fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// The state that the journal adds up to.
    #[must_use]
    pub fn finish(self) -> Option<RunState> {
        self.state
    }
}
