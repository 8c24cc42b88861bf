//! Tasks: what an agent is asked for, how the result is judged, and the solutions that prove the judge.

use serde::{Deserialize, Serialize};

/// How hard a task is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Difficulty {
    /// A line or two.
    Trivial,
    /// One file.
    Easy,
    /// A small project.
    Medium,
    /// A project in which things happen at the same time.
    Hard,
}
