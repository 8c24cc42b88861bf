//! Turns the result of a command into a verdict. Pure.

use serde::{Deserialize, Serialize};

use super::{
    debug_info::{DebugInfo, ErrorType},
    junit::Report,
};

/// The verdict of a validator on an agent's work. Stored as the result of its step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The work is accepted.
    Passed {
        /// What was checked and what could not be checked, for users.
        notes: Vec<String>,
    },
    /// The work is refused; the next attempt reads why.
    Failed(DebugInfo),
}

/// How a command ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ending<'a> {
    pub(super) exit_code: i32,
    pub(super) timed_out: bool,
    pub(super) output: &'a str,
}

/// The exit code of pytest and of our runner when there was no test.
const NO_TESTS_EXIT: i32 = 5;

/// The error of a test run; `None` when it passed. A pass needs exit code 0 and a report with at least one test that ran and
/// none that failed: either alone can happen by accident.
pub(super) fn test_error(ending: &Ending<'_>, report: Option<&Report>) -> Option<ErrorType> {
    if ending.timed_out {
        return Some(ErrorType::CommandTimeout);
    }
    let ran = report.map_or(0, |report| report.tests - report.skipped.min(report.tests));
    if ending.exit_code == NO_TESTS_EXIT || (report.is_some() && ending.exit_code == 0 && ran == 0) {
        return Some(ErrorType::NoTests);
    }
    let passed = ending.exit_code == 0 && ran > 0 && report.is_some_and(|report| report.failed.is_empty());
    (!passed).then(|| words_error(ending.output))
}

/// The error of any other command; `None` when it passed.
pub(super) fn command_error(ending: &Ending<'_>, otherwise: ErrorType) -> Option<ErrorType> {
    if ending.timed_out {
        return Some(ErrorType::CommandTimeout);
    }
    (ending.exit_code != 0).then(|| match words_error(ending.output) {
        ErrorType::ValidationFailure => otherwise,
        other => other,
    })
}

fn words_error(output: &str) -> ErrorType {
    let says = |words: &[&str]| words.iter().any(|words| output.contains(words));
    if says(&["SyntaxError:", "IndentationError:", "TabError:"]) {
        return ErrorType::SyntaxError;
    }
    let missing = [
        "ModuleNotFoundError:",
        "No module named ",
        "Cannot find module",
        "ERR_MODULE_NOT_FOUND",
        "fixtures need pytest",
        "command not found",
        ": not found",
    ];
    if says(&missing) { ErrorType::DependencyError } else { ErrorType::ValidationFailure }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(exit_code: i32, output: &str, report: impl Into<Option<Report>>) -> Option<ErrorType> {
        let report = report.into();
        test_error(&Ending { exit_code, timed_out: false, output }, report.as_ref())
    }

    fn report(tests: usize, skipped: usize, failed: &[&str]) -> Option<Report> {
        Some(Report { tests, skipped, failed: failed.iter().map(|&name| name.to_owned()).collect() })
    }

    #[test]
    fn a_pass_needs_the_exit_code_and_the_report() {
        assert_eq!(check(0, "", report(3, 1, &[])), None);
        assert_eq!(check(1, "", report(3, 0, &["a"])), Some(ErrorType::ValidationFailure));
        assert_eq!(check(0, "", report(3, 0, &["a"])), Some(ErrorType::ValidationFailure));
        assert_eq!(check(0, "3 passed", None), Some(ErrorType::ValidationFailure));
        assert_eq!(check(2, "", report(3, 0, &[])), Some(ErrorType::ValidationFailure));
    }

    #[test]
    fn a_run_without_tests_does_not_pass() {
        assert_eq!(check(5, "no tests ran", report(0, 0, &[])), Some(ErrorType::NoTests));
        assert_eq!(check(5, "", None), Some(ErrorType::NoTests));
        assert_eq!(check(0, "", report(0, 0, &[])), Some(ErrorType::NoTests));
        assert_eq!(check(0, "", report(2, 2, &[])), Some(ErrorType::NoTests));
    }

    #[test]
    fn the_output_of_a_failure_decides_its_type() {
        assert_eq!(check(2, "E  SyntaxError: invalid", report(1, 0, &["a"])), Some(ErrorType::SyntaxError));
        let missing = check(2, "ModuleNotFoundError: No module named 'flask'", report(1, 0, &["a"]));
        assert_eq!(missing, Some(ErrorType::DependencyError));
        let timed_out = Ending { exit_code: 124, timed_out: true, output: "" };
        assert_eq!(test_error(&timed_out, None), Some(ErrorType::CommandTimeout));
        let refused = Ending { exit_code: 1, timed_out: false, output: "bad" };
        assert_eq!(command_error(&refused, ErrorType::SyntaxError), Some(ErrorType::SyntaxError));
    }
}
