//! The validator for code: runs tests if there are some, else checks the syntax per language.

use std::time::Duration;

use async_trait::async_trait;
use orkestra_tools::{Command, ToolScope, Unobserved};
use serde_json::Value;

use super::{
    DebugInfo, ErrorType, Submission, ValidateError, Validator, Verdict, blocking, files,
    plan::{self, Check, Scope, folder_of},
    tests_run::{self, quote},
    verdict::{Ending, command_error, test_error},
    wanted,
};

const SYNTAX_TIME_MAX: Duration = Duration::from_secs(60);
const NPM_TIME_MAX: Duration = Duration::from_secs(300);
/// The test script that npm writes into a new package; it is not a test.
const NO_NPM_TEST: &str = "no test specified";

/// Runs the tests of an agent's work, or checks its syntax when there are none.
#[derive(Debug, Clone)]
pub struct CodeValidator {
    scope: Scope,
    needs_files: bool,
    ignored: Vec<String>,
}

impl CodeValidator {
    /// Judges only what the agent wrote: agents that run beside it may be in the middle of their work.
    #[must_use]
    pub fn own_work() -> Self {
        Self { scope: Scope::Own, needs_files: true, ignored: Vec::new() }
    }

    /// Judges everything in the workspace.
    #[must_use]
    pub fn everything() -> Self {
        Self { scope: Scope::Everything, needs_files: false, ignored: Vec::new() }
    }

    /// Files of other agents that do not count as work of this one.
    #[must_use]
    pub fn with_ignored(mut self, files: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.ignored = files.into_iter().map(Into::into).collect();
        self
    }
}

/// A check that was not made, and why.
struct Skipped(String);

enum Outcome {
    Held(String),
    Skipped(Skipped),
    Broken(DebugInfo),
}

#[async_trait]
impl Validator for CodeValidator {
    fn checks(&self) -> &str {
        "runs your tests or, without tests, checks your files' syntax"
    }

    async fn validate(&self, work: Submission<'_>) -> Result<Verdict, ValidateError> {
        let files = files(work.scope).await?;
        if self.needs_files && work.written.is_empty() && files.iter().all(|file| self.ignored.contains(file)) {
            let output = "no file was written: write your work with write_file, an answer in words is not enough";
            return Ok(work.refused(ErrorType::ValidationFailure, "list_files", output));
        }
        let missing = wanted::missing(work.wanted, &files);
        if !missing.is_empty() {
            let output = format!("the objective names files that do not exist: {}", missing.join(", "));
            return Ok(work.refused(ErrorType::ValidationFailure, "list_files", output));
        }
        let npm_tests = npm_tests(work.scope, &files).await?;
        let planned = plan::Work { files: &files, written: work.written, npm_tests: &npm_tests, scope: self.scope };
        let mut notes = Vec::new();
        for check in plan::checks(&planned) {
            match run(work, &check).await? {
                Outcome::Held(note) => notes.push(note),
                Outcome::Skipped(Skipped(reason)) => notes.push(format!("NOT CHECKED: {reason}")),
                Outcome::Broken(info) => return Ok(Verdict::Failed(info)),
            }
        }
        if notes.is_empty() {
            notes.push("nothing here can be checked by running it".to_owned());
        }
        Ok(Verdict::Passed { notes })
    }
}

async fn run(work: Submission<'_>, check: &Check) -> Result<Outcome, ValidateError> {
    match check {
        Check::Tests(tests) => run_tests(work, tests).await,
        Check::PythonSyntax(files) => {
            // NOTE: the compiled files go to scratch space, not into the workspace.
            let names = files.iter().map(|file| quote(file)).collect::<Vec<_>>().join(" ");
            let line = format!("python3 -m py_compile {names}");
            let real = format!("PYTHONPYCACHEPREFIX=\"$(mktemp -d)\" {line}");
            run_command(work, "python3", &line, &real, None, ErrorType::SyntaxError).await
        }
        Check::ScriptSyntax(files) => {
            let each: Vec<String> = files.iter().map(|file| format!("node --check {}", quote(file))).collect();
            let line = each.join(" && ");
            run_command(work, "node", &line, &line, None, ErrorType::SyntaxError).await
        }
        Check::NpmTest(folder) => {
            let line = "CI=1 npm test";
            run_command(work, "npm", line, line, Some(folder), ErrorType::ValidationFailure).await
        }
        Check::TypeScript(folder) => {
            let line = "npx --no-install tsc --noEmit";
            if !succeeds(work, "npx --no-install tsc --version", Some(folder)).await? {
                return Ok(Outcome::Skipped(Skipped("TypeScript is not installed in the sandbox".to_owned())));
            }
            run_command(work, "npx", line, line, Some(folder), ErrorType::SyntaxError).await
        }
    }
}

async fn run_tests(work: Submission<'_>, tests: &[String]) -> Result<Outcome, ValidateError> {
    let run = tests_run::run(work, tests).await?;
    let (exit_code, timed_out, output) = (run.result.exit_code, run.result.timed_out, run.result.output.as_str());
    let Some(error_type) = test_error(&Ending { exit_code, timed_out, output }, run.report.as_ref()) else {
        let ran = run.report.map_or(0, |report| report.tests);
        return Ok(Outcome::Held(format!("{}: {ran} tests passed", run.command)));
    };
    let mut info = debug_info(work, error_type, &run.command, output);
    info.failed_tests = run.report.map(|report| report.failed).unwrap_or_default();
    Ok(Outcome::Broken(info))
}

/// Runs `line`, shown as `shown`. The check is skipped when the sandbox does not have `program`.
async fn run_command(
    work: Submission<'_>,
    program: &str,
    shown: &str,
    line: &str,
    folder: Option<&String>,
    otherwise: ErrorType,
) -> Result<Outcome, ValidateError> {
    if !succeeds(work, &format!("command -v {program}"), None).await? {
        return Ok(Outcome::Skipped(Skipped(format!("the sandbox has no {program}, so `{shown}` was not run"))));
    }
    let timeout = if otherwise == ErrorType::SyntaxError { SYNTAX_TIME_MAX } else { NPM_TIME_MAX };
    let command = in_folder(Command::new(line).with_timeout(timeout), folder);
    let result = work.scope.sandbox().execute(command, work.scope.observer().as_ref()).await?;
    let ending = Ending { exit_code: result.exit_code, timed_out: result.timed_out, output: &result.output };
    Ok(match command_error(&ending, otherwise) {
        None => Outcome::Held(format!("{shown}: fine")),
        Some(error_type) => Outcome::Broken(debug_info(work, error_type, shown, &result.output)),
    })
}

async fn succeeds(work: Submission<'_>, line: &str, folder: Option<&String>) -> Result<bool, ValidateError> {
    let command = in_folder(Command::new(line).with_timeout(SYNTAX_TIME_MAX), folder);
    Ok(work.scope.sandbox().execute(command, &Unobserved).await?.exit_code == 0)
}

fn in_folder(command: Command, folder: Option<&String>) -> Command {
    match folder {
        Some(folder) if !folder.is_empty() => command.with_cwd(folder.clone()),
        _ => command,
    }
}

fn debug_info(work: Submission<'_>, error_type: ErrorType, command: &str, output: &str) -> DebugInfo {
    DebugInfo {
        error_type,
        failed_command: command.to_owned(),
        full_output: output.to_owned(),
        failed_tests: Vec::new(),
        attempt: work.attempt,
    }
}

/// The folders whose `package.json` has a test script.
async fn npm_tests(scope: &ToolScope, files: &[String]) -> Result<Vec<String>, ValidateError> {
    let workspace = scope.workspace().clone();
    let packages: Vec<String> =
        files.iter().filter(|file| folder_of(file, "package.json").is_some()).cloned().collect();
    blocking(move || {
        let mut folders = Vec::new();
        for path in packages {
            let Ok(bytes) = workspace.read(&path) else { continue };
            let package: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            let script = package["scripts"]["test"].as_str().unwrap_or_default();
            if !script.is_empty() && !script.contains(NO_NPM_TEST) {
                folders.extend(folder_of(&path, "package.json"));
            }
        }
        Ok(folders)
    })
    .await
}
