//! What was moved, and what was found.

use orkestra_core::model::RunId;

/// How much of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Runs.
    pub runs: u64,
    /// Commits of their journals.
    pub commits: u64,
    /// Letters that wait for them.
    pub letters: u64,
    /// Blobs of them.
    pub blobs: u64,
    /// Small values.
    pub values: u64,
    /// Runs that were left out of an export: somebody drove them, or they are damaged.
    pub skipped: u64,
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// What is in the export.
    pub counts: Counts,
    /// Runs that somebody drives. They were left out.
    pub busy: Vec<RunId>,
    /// What could not be read, and was left out. Empty unless the export was to salvage.
    pub damage: Vec<Damage>,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// What is in the export.
    pub counts: Counts,
    /// How many of its runs were there already, whole.
    pub already: u64,
}

/// What cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The run that it belongs to; `None` when it is the store's lists or values.
    pub run: Option<RunId>,
    /// What is wrong.
    pub what: String,
    /// How many commits of the run's journal can be read and replayed.
    pub commits: u64,
    /// Whether an export that salvages has the run all the same: without what is named here, or, when it was asked for what is
    /// damaged, as it is.
    pub saved: bool,
}

/// What a look at all of a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// What is whole.
    pub whole: Counts,
    /// What is not.
    pub damage: Vec<Damage>,
}

impl Damage {
    /// Damage of the store itself, as its own check tells it.
    #[must_use]
    pub fn of_store(what: impl Into<String>) -> Self {
        Self { run: None, what: what.into(), commits: 0, saved: false }
    }
}
