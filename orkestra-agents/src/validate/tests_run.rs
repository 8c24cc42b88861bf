//! Runs Python tests and reads their JUnit file: with pytest where the sandbox has it, else with a runner of ours that
//! needs the standard library only.
//!
//! The file cannot be forged by leftovers: it is written into a folder whose name did not exist before, and which is
//! removed afterwards.

use std::time::Duration;

use orkestra_tools::{Command, CommandResult, Unobserved, WorkspaceError};
use ulid::Ulid;

use super::{ValidateError, Work, blocking, junit};

/// How the folder begins that a validator uses in the workspace while it runs.
pub(super) const FOLDER: &str = ".orkestra-";
const RUNNER: &str = include_str!("runner.py");
/// How long tests may take.
const TESTS_TIME_MAX: Duration = Duration::from_secs(300);
const PROBE_TIME_MAX: Duration = Duration::from_secs(30);

/// How a test run ended.
pub(super) struct TestRun {
    /// The command as people type it.
    pub(super) command: String,
    pub(super) result: CommandResult,
    /// What the JUnit file says; nothing when there is none, or none that can be read.
    pub(super) report: Option<junit::Report>,
}

/// Runs `tests`, or all tests when it names none.
pub(super) async fn run(work: Work<'_>, tests: &[String]) -> Result<TestRun, ValidateError> {
    let stem = folder_stem(work);
    let folder = fresh_folder(&stem);
    let junit_path = format!("{folder}/junit.xml");
    let quoted: Vec<String> = tests.iter().map(|path| quote(path)).collect();
    let files = quoted.join(" ");
    let (command, line) = if has_pytest(work).await? {
        let command = format!("python3 -m pytest -q {files}").trim_end().to_owned();
        let options = format!("-p no:cacheprovider --junitxml={junit_path}");
        (command, format!("mkdir {folder} && python3 -m pytest -q {options} {files}"))
    } else {
        let workspace = work.scope.workspace().clone();
        let path = format!("{folder}/runner.py");
        blocking(move || Ok(workspace.write(&path, RUNNER.as_bytes())?)).await?;
        let all = if tests.is_empty() { "discover".to_owned() } else { files.clone() };
        (format!("python3 -m unittest -v {all}"), format!("python3 {folder}/runner.py {junit_path} . {files}"))
    };
    let line = format!("export PYTHONDONTWRITEBYTECODE=1; {line}");
    let command_line = Command::new(line).with_timeout(TESTS_TIME_MAX);
    let result = work.scope.sandbox().execute(command_line, work.scope.observer().as_ref()).await;
    let report = read_report(work, junit_path).await;
    // NOTE: with those that a crash left. A folder that stays is ugly, not wrong: its name is never used again.
    let remove = Command::new(format!("rm -rf -- {stem}*")).with_timeout(PROBE_TIME_MAX);
    if let Err(error) = work.scope.sandbox().execute(remove, &Unobserved).await {
        tracing::warn!(%error, folder, "a validator's folder stays in the workspace");
    }
    Ok(TestRun { command, result: result?, report: report? })
}

/// How the folders of this agent's validator begin; its siblings may be validated at the same time.
fn folder_stem(work: Work<'_>) -> String {
    let agent = work.scope.artifacts_path().file_name().unwrap_or_default().to_string_lossy();
    let plain = agent.chars().filter(|one| one.is_ascii_alphanumeric() || "._-".contains(*one));
    format!("{FOLDER}check-{}@", plain.collect::<String>())
}

/// A name that was never used and that an agent's code cannot foresee.
#[expect(clippy::disallowed_methods, reason = "chance is wanted here: it is no part of any run's state")]
fn fresh_folder(stem: &str) -> String {
    format!("{stem}{}", Ulid::generate().to_string().to_lowercase())
}

async fn has_pytest(work: Work<'_>) -> Result<bool, ValidateError> {
    let probe = Command::new("python3 -c 'import pytest'").with_timeout(PROBE_TIME_MAX);
    Ok(work.scope.sandbox().execute(probe, &Unobserved).await?.exit_code == 0)
}

async fn read_report(work: Work<'_>, path: String) -> Result<Option<junit::Report>, ValidateError> {
    let workspace = work.scope.workspace().clone();
    let text = blocking(move || match workspace.read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(WorkspaceError::Io { path, source }) => Err(WorkspaceError::Io { path, source }.into()),
        Err(_) => Ok(None),
    })
    .await?;
    Ok(text.and_then(|text| junit::parse(&text).inspect_err(|error| tracing::warn!(error, "no JUnit file")).ok()))
}

/// A path as one word of a shell.
pub(super) fn quote(path: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "._-/".contains(one);
    let path = if path.starts_with('-') { format!("./{path}") } else { path.to_owned() };
    if path.chars().all(plain) { path } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_one_word() {
        assert_eq!(quote("tests/test_a.py"), "tests/test_a.py");
        assert_eq!(quote("a b; rm -rf *"), "'a b; rm -rf *'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote("-rf"), "./-rf");
    }
}
