//! `task.toml` as it is written.

use serde::Deserialize;

use super::Difficulty;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Definition {
    pub(super) title: String,
    pub(super) difficulty: Difficulty,
    pub(super) objective: String,
    #[serde(default)]
    pub(super) checks: Vec<CheckDefinition>,
    pub(super) strict: StrictDefinition,
    #[serde(default)]
    pub(super) wrong: Vec<WrongDefinition>,
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum CheckDefinition {
    FileExists { path: String },
    FileContains { path: String, pattern: String },
    AnyFileContains { pattern: String },
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StrictDefinition {
    pub(super) tests: Vec<String>,
    #[serde(default = "timeout_s")]
    pub(super) timeout_s: u64,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WrongDefinition {
    pub(super) name: String,
    pub(super) why: String,
    #[serde(default)]
    pub(super) base: Base,
    #[serde(default)]
    pub(super) text_only: bool,
    #[serde(default)]
    pub(super) removed: Vec<String>,
    #[serde(default)]
    pub(super) edits: Vec<EditDefinition>,
}

/// A change of a file of the oracle: the text `old`, which it has exactly once, becomes `new`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EditDefinition {
    pub(super) path: String,
    pub(super) old: String,
    pub(super) new: String,
}

/// What the files of a wrong solution are laid over.
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Base {
    #[default]
    Oracle,
    Empty,
}

const fn timeout_s() -> u64 {
    120
}
