//! What a benchmark found: plain data, written as `result.json` and read back for reports and comparisons.

mod changes;
mod compare;
mod grade;
mod grid;
mod html;
mod json;
mod junit;
#[cfg(test)]
mod sample;
mod score;
mod table;
mod text;

use serde::{Deserialize, Serialize};

pub use self::changes::{
    ALL_DIFFS_BYTES_MAX, CHANGES_MAX, COMPARED_BYTES_MAX, COMPARED_LINES_MAX, DIFF_BYTES_MAX, changes_between,
};
pub use self::compare::{
    Comparison, Contender, DocumentedComparison, NotCompared, SIGNIFICANCE, Solved, StrictComparison, TaskComparison,
};
pub use self::grade::{Grade, Interval};
pub use self::json::{ResultError, write_file};
pub use self::score::{Summary, Tally, Usage};
pub use self::table::Table;
use crate::task::Difficulty;

/// The version of `result.json`. Readers refuse a newer one.
pub const RESULT_FORMAT: u32 = 1;

/// The outcome of a benchmark, complete or so far.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BenchmarkResult {
    /// [`RESULT_FORMAT`].
    pub format: u32,
    /// The id of the benchmark, which is the id of its run.
    pub id: String,
    /// Who worked on the tasks.
    pub agent: AgentInfo,
    /// When it was started, RFC 3339 in UTC.
    pub started_at: String,
    /// When its last trial was graded; `None` while it is under way.
    pub ended_at: Option<String>,
    /// How many trials each task has.
    pub trials: u32,
    /// What one trial may take.
    pub limits: TrialLimits,
    /// Where agents worked and where they were graded, with what is not confined there.
    pub places: Vec<String>,
    /// The tasks, in the order of the suite.
    pub tasks: Vec<TaskResult>,
}

/// Who worked on the tasks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct AgentInfo {
    /// The agent: `orkestra`, or the command line of another one.
    pub name: String,
    /// The model, as it was named.
    pub model: String,
    /// What a reader has to know first, such as `demo: no AI`.
    pub notice: Option<String>,
}

/// What one trial may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrialLimits {
    /// The time that the agent may work, seconds.
    pub seconds: u64,
    /// The tokens that it may use, input and output; `None` for no limit.
    pub tokens: Option<u64>,
}

impl TrialLimits {
    /// So many seconds and, with `Some`, so many tokens.
    #[must_use]
    pub fn new(seconds: u64, tokens: Option<u64>) -> Self {
        Self { seconds, tokens }
    }
}

/// All trials of one task.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TaskResult {
    /// The name of the task.
    pub name: String,
    /// How hard it is.
    pub difficulty: Difficulty,
    /// A hash of the whole task, so that results of different versions of it are not compared.
    pub fingerprint: String,
    /// The trials that were graded, by number.
    pub trials: Vec<TrialResult>,
}

/// One trial: an agent's work on a task, and its grades.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrialResult {
    /// Its number, from 1.
    pub trial: u32,
    /// How the agent's work ended. What exists then is graded, however it ended.
    pub ending: Ending,
    /// The documented score: text checks.
    pub documented: Documented,
    /// The strict score: hidden tests.
    pub strict: Strict,
    /// How often agents attempted their part, in sum: more than the number of agents means that something was repaired. `None`
    /// when the agent does not tell.
    pub attempts: Option<u32>,
    /// The tokens of the model's input; `None` when they are unknown.
    pub input_tokens: Option<u64>,
    /// The tokens of the model's output; `None` when they are unknown.
    pub output_tokens: Option<u64>,
    /// The calls of the model; `None` when they are unknown.
    pub model_calls: Option<u64>,
    /// What it cost in dollars; `None` when the price is unknown.
    pub cost_usd: Option<f64>,
    /// The time that the agent worked, seconds, without the time that no process worked on it.
    pub seconds: f64,
    /// How often it was begun anew because the process died; an agent of ours continues instead.
    pub restarts: u32,
    /// What happened, in order, shortened.
    pub timeline: Vec<Moment>,
    /// What the agent changed.
    pub changes: Vec<Change>,
}

/// How the work of an agent ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ending {
    /// The agent says that it is done.
    Finished,
    /// The agent gave up or failed, for this reason.
    Failed {
        /// In its words.
        reason: String,
    },
    /// Its time was used up.
    OutOfTime,
    /// Its tokens were used up.
    OutOfTokens,
}

/// The documented score: `passed / total * 10`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Documented {
    /// Every check of the task, in its order.
    pub checks: Vec<CheckResult>,
}

/// The outcome of a text check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CheckResult {
    /// The check in words, such as "`hello.py` exists".
    pub check: String,
    /// Whether it is fulfilled.
    pub passed: bool,
}

/// The strict score: 10 when every hidden test passed, else 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Strict {
    /// What the tests reported, in the order of the task.
    pub tests: Vec<TestResult>,
    /// Why the tests count for nothing although they may have passed, such as a test that was not reported.
    pub problem: Option<String>,
}

/// The outcome of a hidden test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TestResult {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Why it failed.
    pub detail: String,
}

/// Something that happened in a trial.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Moment {
    /// Seconds since the start of the trial.
    pub at: f64,
    /// The agent; empty for the trial as a whole.
    pub agent: String,
    /// What happened, in a line.
    pub text: String,
}

/// A file that an agent changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// Its path in the workspace.
    pub path: String,
    /// A unified diff, shortened; a note when the file is not text.
    pub diff: String,
}

impl Documented {
    /// How many checks are fulfilled.
    #[must_use]
    pub fn passed(&self) -> usize {
        self.checks.iter().filter(|check| check.passed).count()
    }

    /// The score, 0 to 10.
    #[must_use]
    pub fn score(&self) -> f64 {
        if self.checks.is_empty() { 0.0 } else { self.passed() as f64 * 10.0 / self.checks.len() as f64 }
    }
}

impl Strict {
    /// Whether every hidden test passed.
    #[must_use]
    pub fn is_solved(&self) -> bool {
        self.problem.is_none() && !self.tests.is_empty() && self.tests.iter().all(|test| test.passed)
    }

    /// The score: 10 or 0.
    #[must_use]
    pub fn score(&self) -> f64 {
        if self.is_solved() { 10.0 } else { 0.0 }
    }
}
