//! Replay: applies a journal, commit by commit, to get a run's state. There is no other way to load a run.

use crate::kernel::{IllegalEvent, RunState, apply};
use crate::model::{RunId, Seq};

use super::codec::{CodecError, decode};
use super::commit::{Commit, Written};

/// Why a journal cannot be replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// A commit is unreadable.
    #[error("cannot read the commit at {first} of run `{run}`: {source}")]
    Codec {
        /// The run.
        run: RunId,
        /// The position of the commit's first event.
        first: Seq,
        /// What is wrong.
        #[source]
        source: CodecError,
    },
    /// A commit is missing.
    #[error("the journal of run `{run}` has a gap: expected a commit at {expected}, found one at {found}")]
    Gap {
        /// The run.
        run: RunId,
        /// The position of the commit that was found.
        found: Seq,
        /// The position that was expected.
        expected: Seq,
    },
    /// An event contradicts the events before it.
    #[error("{0}")]
    Illegal(#[from] IllegalEvent),
}

/// Builds a state from commits.
#[derive(Debug)]
pub struct Replayer {
    run: RunId,
    state: Option<RunState>,
}

impl Replayer {
    /// Starts without a state.
    #[must_use]
    pub const fn new(run: RunId) -> Self {
        Self { run, state: None }
    }

    /// Starts with the state of a snapshot.
    #[must_use]
    pub fn resume(state: RunState) -> Self {
        Self { run: state.id().clone(), state: Some(state) }
    }

    /// Applies the next commit and returns it decoded.
    ///
    /// # Errors
    /// [`ReplayError`]. The replayer must not be used afterwards.
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

    /// The state so far; `None` before the first commit.
    #[must_use]
    pub const fn state(&self) -> Option<&RunState> {
        self.state.as_ref()
    }

    /// The state after all commits.
    #[must_use]
    pub fn finish(self) -> Option<RunState> {
        self.state
    }
}
