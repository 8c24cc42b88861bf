//! Judges what an agent delivered with hidden tests.
//!
//! ```text
//! sandbox of the tests                 this process                    sandbox of the solution
//! grader.py, grading.py  --requests--> Session  --commands, ports-->  a copy of what was delivered
//!                        <--answers---          <--output, bytes---
//!                        --reports---> verdict
//! ```
//!
//! The two sandboxes share nothing: no file, process, network or user (where this process may give a directory to another one). The
//! tests never import the solution; they see what its programs print and answer. The solution sees what it is given to work
//! with, never a test or an expected value. So a solution can only pass by doing what is asked for.

mod places;
mod program;
mod protocol;
mod session;
mod verdict;

use std::path::Path;

use orkestra_tools::SandboxError;

pub use self::places::{GRADING_IMAGE, GradingPlace};
use self::program::{Program, Workplace};
use self::session::Session;
use crate::delivery::{self, Delivery, File};
use crate::result::{CheckResult, Documented, Strict};
use crate::task::CodingTask;

/// The module that hidden tests import.
const GRADING: &str = include_str!("../../grading/grading.py");

/// Why something could not be judged: trouble of this machine, never of the solution.
#[derive(Debug, thiserror::Error)]
#[error("cannot grade: {message}")]
pub struct GradeError {
    message: String,
    is_retryable: bool,
}

impl GradeError {
    fn new(message: impl Into<String>, is_retryable: bool) -> Self {
        Self { message: message.into(), is_retryable }
    }

    /// Whether the same call may succeed later.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.is_retryable
    }
}

impl From<SandboxError> for GradeError {
    fn from(error: SandboxError) -> Self {
        Self::new(error.to_string(), error.is_retryable())
    }
}

impl From<std::io::Error> for GradeError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error.to_string(), true)
    }
}

/// The documented score: text checks, which need no sandbox.
#[must_use]
pub fn documented(task: &CodingTask, delivery: &Delivery) -> Documented {
    let check =
        |check: &crate::task::Check| CheckResult { check: check.to_string(), passed: check.is_fulfilled(delivery) };
    Documented { checks: task.checks.iter().map(check).collect() }
}

/// The strict score: runs the hidden tests of the task on a copy of the delivery. Uses the directory `scratch`, which is made
/// anew and removed; nothing runs in it afterwards.
///
/// A crash leaves the directory and idle containers: the next call with the same directory replaces both.
///
/// # Errors
/// [`GradeError`] when the sandboxes cannot be used. Whatever the solution does is a [`Strict`].
pub async fn strict(
    task: &CodingTask,
    delivery: &Delivery,
    place: &GradingPlace,
    scratch: &Path,
) -> Result<Strict, GradeError> {
    strict_until(Until::End, task, delivery, place, scratch).await
}

/// When the hidden tests end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Until {
    /// When all have been reported.
    End,
    /// With the first that fails: for solutions that are known to be wrong. The result then has the tests up to that one.
    FirstFailure,
}

pub(crate) async fn strict_until(
    until: Until,
    task: &CodingTask,
    delivery: &Delivery,
    place: &GradingPlace,
    scratch: &Path,
) -> Result<Strict, GradeError> {
    match tokio::fs::remove_dir_all(scratch).await {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let (program, tests) = (scratch.join("program"), scratch.join("tests"));
    std::fs::create_dir_all(&program)?;
    std::fs::create_dir_all(&tests)?;
    delivery::write(&tests, &File::new("grader.py", task.grader.clone()))?;
    delivery::write(&tests, &File::new("grading.py", GRADING))?;
    let copy = Workplace { place, delivery, directory: &program };
    let outcome = judge(until, task, copy, scratch, &tests).await;
    // What cannot be removed is replaced by the next call.
    let _ = tokio::fs::remove_dir_all(scratch).await;
    outcome
}

async fn judge(
    until: Until,
    task: &CodingTask,
    copy: Workplace<'_>,
    scratch: &Path,
    tests: &Path,
) -> Result<Strict, GradeError> {
    let (program, of_tests) = tokio::try_join!(Program::start(copy, scratch), async {
        Ok::<_, GradeError>(copy.place.start_tests(tests).await?)
    })?;
    let mut session = Session::new(program, until);
    let reports = session.run(of_tests.as_ref(), task.tests_time).await;
    let closed = tokio::join!(session.end(), of_tests.close());
    let reports = reports?;
    closed.0.and(closed.1)?;
    Ok(verdict::verdict(&task.tests, reports))
}
