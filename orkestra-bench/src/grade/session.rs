//! One run of hidden tests: reads their requests, has the solution do them, and collects what the tests report.

use std::time::Duration;

use orkestra_tools::{Command, PipedCommand, Sandbox, SandboxError};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::time::timeout;

use super::program::Program;
use super::protocol::{Answer, Report, Reports, Request};
use super::{GradeError, Until};
use crate::limits::{REQUEST_BYTES_MAX, REQUESTS_MAX};

/// How the hidden tests are run: isolated from what is in the environment and in the directories of the user.
const TESTS: &str = "exec python3 -B -s -u grader.py 2>errors.txt";

/// What the hidden tests print to their standard error, in their own directory.
const ERRORS: &str = "errors.txt";
/// Characters of its end that are shown.
const ERRORS_SHOWN: usize = 2_000;

/// One run of hidden tests.
pub(super) struct Session<'delivery> {
    program: Program<'delivery>,
    reports: Reports,
    until: Until,
}

impl<'delivery> Session<'delivery> {
    pub(super) fn new(program: Program<'delivery>, until: Until) -> Self {
        Self { program, reports: Reports::default(), until }
    }

    /// Runs the hidden tests in their sandbox until they are done, or this time is used up.
    pub(super) async fn run(&mut self, tests: &dyn Sandbox, time: Duration) -> Result<Reports, GradeError> {
        let mut pipe = BufReader::new(tests.pipe(Command::new(TESTS)).await?);
        let ended = timeout(time, self.serve(tests, &mut pipe)).await;
        let broken_off = match ended {
            Ok(served) => served?,
            Err(_) => Some(format!("they took more than {} s", time.as_secs())),
        };
        self.reports.broken_off = broken_off;
        Ok(std::mem::take(&mut self.reports))
    }

    /// Removes the sandbox of the solution.
    pub(super) async fn end(&mut self) -> Result<(), SandboxError> {
        self.program.end().await
    }

    /// Answers requests until the tests are done. Returns why they did not come to their end.
    async fn serve(
        &mut self,
        tests: &dyn Sandbox,
        pipe: &mut BufReader<PipedCommand>,
    ) -> Result<Option<String>, GradeError> {
        for _ in 0..REQUESTS_MAX {
            let mut line = Vec::new();
            let read = (&mut *pipe).take(REQUEST_BYTES_MAX as u64).read_until(b'\n', &mut line).await;
            if line.len() >= REQUEST_BYTES_MAX && !line.ends_with(b"\n") {
                return Ok(Some("they sent an endless line".to_owned()));
            }
            if read.is_err() || !line.ends_with(b"\n") {
                return Err(ended(tests));
            }
            let request = match serde_json::from_slice(&line) {
                Ok(request) => request,
                Err(error) => return Ok(Some(format!("they printed what is not a request: {error}"))),
            };
            let is_end = matches!(request, Request::Done);
            let is_failure = matches!(request, Request::Report { passed: false, .. });
            let answer = self.perform(request).await?;
            if is_failure && self.until == Until::FirstFailure {
                self.reports.is_cut = true;
                return Ok(None);
            }
            let mut text = serde_json::to_vec(&answer).map_err(|error| GradeError::new(error.to_string(), false))?;
            text.push(b'\n');
            let sent = pipe.get_mut().write_all(&text).await;
            if is_end {
                return Ok(None);
            }
            if sent.is_err() || pipe.get_mut().flush().await.is_err() {
                return Err(ended(tests));
            }
        }
        Ok(Some(format!("they sent more than {REQUESTS_MAX} requests")))
    }

    async fn perform(&mut self, request: Request) -> Result<Answer, GradeError> {
        let program = &mut self.program;
        Ok(match request {
            Request::Run { command, stdin, timeout_s } => program.run(&command, &stdin.0, seconds(timeout_s)).await?,
            Request::Start { command, port, timeout_s } => program.serve(&command, port, seconds(timeout_s)).await?,
            Request::Stop { process } => program.stop(&process).await?,
            Request::ReadProcess { process } => program.read_process(&process).await?,
            Request::Open { port } => program.open(port).await?,
            Request::Send { connection, bytes } => program.send(connection, &bytes.0).await,
            Request::Receive { connection, timeout_s } => program.receive(connection, seconds(timeout_s)).await,
            Request::Close { connection } => program.close(connection),
            Request::Files => program.files(),
            Request::Read { path } => program.read(&path),
            Request::Write { path, bytes } => program.write(&path, &bytes.0),
            Request::Renew { keep } => program.renew(&keep).await?,
            Request::Report { test, passed, detail } => {
                self.reports.reports.push(Report { test, passed, detail });
                Answer::default()
            }
            Request::Done => Answer::default(),
        })
    }
}

/// The tests have ended before they were done. The solution runs elsewhere, so this says nothing about it: the sandbox of the tests
/// was lost, or they are broken.
fn ended(tests: &dyn Sandbox) -> GradeError {
    let errors = tests.workspace().read(ERRORS).unwrap_or_default();
    let errors = String::from_utf8_lossy(&errors);
    let start = errors.char_indices().rev().nth(ERRORS_SHOWN).map_or(0, |(at, _)| at);
    GradeError::new(format!("the hidden tests ended early: {}", errors[start..].trim()), true)
}

/// The time of a request: a tenth of a second to ten minutes.
fn seconds(seconds: f64) -> Duration {
    let seconds = if seconds.is_finite() { seconds.clamp(0.1, 600.0) } else { 10.0 };
    Duration::from_secs_f64(seconds)
}
