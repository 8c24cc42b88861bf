//! Coding tasks: what an agent is asked for, how the result is judged, and the solutions that prove the judge.

mod check;
mod definition;
mod read;
mod suite;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::check::{Check, CheckError};
pub use self::read::TaskError;
pub use self::suite::Suite;
use crate::delivery::{Delivery, File};

/// One coding task.
///
/// A directory `NAME/` holds it: `task.toml`, the hidden tests `grader.py`, a right solution in `oracle/`, wrong ones in
/// `wrong/<name>/`, and optionally what the workspace begins with in `start/`. `docs/benchmark.md` shows how to write one.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CodingTask {
    /// Its name, which is the name of its directory: `[a-z0-9][a-z0-9_-]{0,63}`.
    pub name: String,
    /// Its title, a few words.
    pub title: String,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// What the agent is asked for: all that it gets.
    pub objective: String,
    /// The text checks of the documented score.
    pub checks: Vec<Check>,
    /// The hidden tests, each of which has to be reported exactly once.
    pub tests: Vec<String>,
    /// How long the hidden tests may take in sum.
    pub tests_time: Duration,
    /// The program that runs the hidden tests.
    pub grader: String,
    /// The files that the workspace begins with.
    pub start: Vec<File>,
    /// A right solution: the files that it adds to `start`, or changes.
    pub oracle: Vec<File>,
    /// Solutions that the hidden tests must refuse.
    pub wrong: Vec<WrongSolution>,
    /// A hash of all of it, sixteen hexadecimal digits.
    pub fingerprint: String,
}

impl CodingTask {
    /// What an agent delivers that adds these files to those that the workspace begins with, or changes those.
    #[must_use]
    pub fn delivery_of(&self, files: &[File]) -> Delivery {
        Delivery::of(self.start.iter().chain(files).cloned())
    }
}

/// A solution that the hidden tests must refuse.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct WrongSolution {
    /// Its name.
    pub name: String,
    /// What is wrong with it.
    pub why: String,
    /// Whether it is made for the text checks: its documented score must be high.
    pub text_only: bool,
    /// All of its files.
    pub files: Vec<File>,
}

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

impl Difficulty {
    /// Its name, as in task files.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trivial => "trivial",
            Self::Easy => "easy",
            Self::Medium => "medium",
            Self::Hard => "hard",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_right_solution_has_what_the_workspace_begins_with() {
        let mut task = Suite::built_in().expect("valid").tasks()[0].clone();
        task.start = vec![File::new("start.txt", "given"), File::new(task.oracle[0].path.clone(), "to be replaced")];
        let delivery = task.delivery_of(&task.oracle);
        assert_eq!(delivery.file("start.txt").map(File::text).as_deref(), Some("given"));
        assert_eq!(delivery.file(&task.oracle[0].path), Some(&task.oracle[0]));
    }
}
