//! What was exported, imported or found.

use orkestra_core::model::RunId;

/// Numbers of items.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Runs.
    pub runs: u64,
    /// Commits of their journals.
    pub commits: u64,
    /// Letters waiting for them.
    pub letters: u64,
    /// Their blobs.
    pub blobs: u64,
    /// Small values.
    pub values: u64,
    /// Runs left out of an export, because they were being driven or are damaged.
    pub skipped: u64,
}

/// What was exported.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Exported {
    /// The content of the export.
    pub counts: Counts,
    /// Runs that were skipped because they were being driven.
    pub busy: Vec<RunId>,
    /// What could not be read, and was skipped unless it says `saved`. Empty without
    /// [`ExportOptions::with_salvage`](super::ExportOptions::with_salvage).
    pub damage: Vec<Damage>,
}

/// What was imported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Imported {
    /// The content of the export.
    pub counts: Counts,
    /// How many of its runs the store already had completely.
    pub already: u64,
}

/// Something that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// The run it belongs to; `None` for the store's lists or values.
    pub run: Option<RunId>,
    /// What is wrong.
    pub what: String,
    /// How many commits of the run's journal can be read and replayed.
    pub commits: u64,
    /// Whether a salvaging export includes the run: without what is named here, or, if damaged runs were requested, as
    /// it is.
    pub saved: bool,
}

/// The result of checking a whole store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Survey {
    /// What is intact.
    pub whole: Counts,
    /// What is damaged.
    pub damage: Vec<Damage>,
}

impl Damage {
    /// Damage of the store itself, found by its own check.
    #[must_use]
    pub fn of_store(what: impl Into<String>) -> Self {
        Self { run: None, what: what.into(), commits: 0, saved: false }
    }
}
