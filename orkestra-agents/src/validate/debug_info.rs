//! Why a validator refused an agent's work: the durable failure that the next attempt's prompt carries.

use serde::{Deserialize, Serialize};

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorType {
    /// Tests ran and failed.
    ValidationFailure,
    /// A file cannot be parsed.
    SyntaxError,
    /// The command did not end in its time.
    CommandTimeout,
    /// Something that the code needs is not there.
    DependencyError,
    /// There are test files, and no test in them.
    NoTests,
    /// The tools themselves failed, or the agent went round in circles with them.
    ToolError,
    /// The run's budget is used up.
    BudgetExceeded,
}

impl ErrorType {
    /// Its name: on the wire, and as the kind of an attempt's failure.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ValidationFailure => "validation_failure",
            Self::SyntaxError => "syntax_error",
            Self::CommandTimeout => "command_timeout",
            Self::DependencyError => "dependency_error",
            Self::NoTests => "no_tests",
            Self::ToolError => "tool_error",
            Self::BudgetExceeded => "budget_exceeded",
        }
    }
}

/// What the next attempt must know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DebugInfo {
    /// What kind of thing went wrong.
    pub error_type: ErrorType,
    /// The command that failed, as one can type it.
    pub failed_command: String,
    /// What it wrote, head and tail when it was very long.
    pub full_output: String,
    /// The tests that failed, by their full names, from the JUnit file.
    pub failed_tests: Vec<String>,
    /// The attempt that this is about.
    pub attempt: u32,
}
