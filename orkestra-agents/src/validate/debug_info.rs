//! Why a validator refused an agent's work: the durable failure that the next attempt's prompt contains.

use serde::{Deserialize, Serialize};

/// The kind of a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ErrorType {
    /// Tests ran and failed.
    ValidationFailure,
    /// A file cannot be parsed.
    SyntaxError,
    /// The command timed out.
    CommandTimeout,
    /// A dependency of the code is missing.
    DependencyError,
    /// There are test files without a test in them.
    NoTests,
    /// A tool failed, or the agent repeated its calls.
    ToolError,
    /// The budget of the run is used up. No validator says so now: a budget pauses the run.
    BudgetExceeded,
}

impl ErrorType {
    /// Its name on the wire, and as the kind of an attempt's failure.
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

/// What the next attempt needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DebugInfo {
    /// The kind of the failure.
    pub error_type: ErrorType,
    /// The command that failed, as a user would type it.
    pub failed_command: String,
    /// Its output; head and tail when it is very long.
    pub full_output: String,
    /// The full names of the failed tests, from the JUnit file.
    pub failed_tests: Vec<String>,
    /// The attempt that failed.
    pub attempt: u32,
}
