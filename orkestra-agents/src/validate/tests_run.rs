//! Runs Python tests and reads their JUnit file: with pytest if the sandbox has it, else with our own runner, which needs only
//! the standard library.
//!
//! Old files cannot forge the report: it is written into a folder with a new name, which is removed afterwards.

use std::{os::unix::ffi::OsStrExt as _, path::Path, time::Duration};

use orkestra_tools::{Command, CommandResult, Unobserved, WorkspaceError, parse_path};
use ulid::Ulid;

use super::{Submission, ValidateError, blocking, junit};

/// The prefix of the folders that validators use in the workspace.
pub(super) const FOLDER: &str = ".orkestra-";
const RUNNER: &str = include_str!("runner.py");
/// The time limit of a test run.
const TESTS_TIME_MAX: Duration = Duration::from_secs(300);
const PROBE_TIME_MAX: Duration = Duration::from_secs(30);

/// How a test run ended.
pub(super) struct TestRun {
    /// The command as a user would type it.
    pub(super) command: String,
    pub(super) result: CommandResult,
    /// The content of the JUnit file; `None` when it does not exist or cannot be read.
    pub(super) report: Option<junit::Report>,
}

/// Runs `tests`, or all tests when the list is empty.
pub(super) async fn run(work: Submission<'_>, tests: &[String]) -> Result<TestRun, ValidateError> {
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
    // NOTE: also removes folders that a crash left. A folder that stays does no harm: its name is never used again.
    let remove = Command::new(format!("rm -rf -- {stem}*")).with_timeout(PROBE_TIME_MAX);
    if let Err(error) = work.scope.sandbox().execute(remove, &Unobserved).await {
        tracing::warn!(%error, folder, "cannot remove a validator's folder from the workspace");
    }
    Ok(TestRun { command, result: result?, report: report? })
}

/// The prefix of this agent's folders; other agents may be validated at the same time.
fn folder_stem(work: Submission<'_>) -> String {
    let agent = work.scope.artifacts_path().file_name().unwrap_or_default().to_string_lossy();
    let plain = agent.chars().filter(|one| one.is_ascii_alphanumeric() || "._-".contains(*one));
    format!("{FOLDER}check-{}@", plain.collect::<String>())
}

/// A new name that an agent's code cannot predict.
#[expect(clippy::disallowed_methods, reason = "the name must be random; it is not part of a run's state")]
fn fresh_folder(stem: &str) -> String {
    format!("{stem}{}", Ulid::generate().to_string().to_lowercase())
}

async fn has_pytest(work: Submission<'_>) -> Result<bool, ValidateError> {
    let probe = Command::new("python3 -c 'import pytest'").with_timeout(PROBE_TIME_MAX);
    Ok(work.scope.sandbox().execute(probe, &Unobserved).await?.exit_code == 0)
}

async fn read_report(work: Submission<'_>, path: String) -> Result<Option<junit::Report>, ValidateError> {
    let workspace = work.scope.workspace().clone();
    let text = blocking(move || match workspace.read(&path) {
        Ok(bytes) => Ok(Some(String::from_utf8_lossy(&bytes).into_owned())),
        Err(WorkspaceError::Io { path, source }) => Err(WorkspaceError::Io { path, source }.into()),
        Err(_) => Ok(None),
    })
    .await?;
    Ok(text.and_then(|text| {
        junit::parse(&text).inspect_err(|error| tracing::warn!(error, "cannot read the JUnit file")).ok()
    }))
}

/// A path, as listings show it, as one word of a shell command.
pub(super) fn quote(path: &str) -> String {
    let plain = |one: char| one.is_ascii_alphanumeric() || "._-/".contains(one);
    let decoded = parse_path(path).unwrap_or_else(|_| path.into());
    let path = if decoded.as_os_str().as_bytes().starts_with(b"-") { Path::new(".").join(decoded) } else { decoded };
    match path.to_str() {
        Some(text) if text.chars().all(plain) => text.to_owned(),
        Some(text) => format!("'{}'", text.replace('\'', "'\\''")),
        None => {
            let octal: String = path.as_os_str().as_bytes().iter().map(|byte| format!("\\{byte:03o}")).collect();
            format!("\"$(printf '{octal}')\"")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_path_is_one_word() {
        assert_eq!(quote("tests/test_a.py"), "tests/test_a.py");
        assert_eq!(quote("a b; rm -rf *"), "'a b; rm -rf *'");
        assert_eq!(quote("it's"), "'it'\\''s'");
        assert_eq!(quote("-rf"), "./-rf");
        assert_eq!(quote(r#""a\"b\\c\n.py""#), "'a\"b\\c\n.py'");
        assert_eq!(quote(r#""a\377 b""#), r#""$(printf '\141\377\040\142')""#);
    }
}
