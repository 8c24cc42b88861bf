//! The summary of an ended run: its files, where they are, and how to test them by hand.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use orkestra_core::kernel::Outcome;
use orkestra_core::store::RunRecord;

/// How many files are listed; a larger project is better viewed with other tools.
const FILES_SHOWN_MAX: usize = 30;

/// The summary of a run that ended with `outcome` and whose workspace at `path` holds `files`.
pub(crate) fn of(record: &RunRecord, outcome: &Outcome, path: &Path, files: &[String]) -> String {
    let took = seconds(record.updated_at.since(record.created_at));
    let mut text = match outcome {
        Outcome::Completed(_) => format!("\nRun {} completed in {took}.\n", record.id),
        Outcome::Failed { node, failure } => {
            format!(
                "\nRun {} failed after {took}: {node}: {failure}\nSee its events: aios logs {}\n",
                record.id, record.id
            )
        }
        Outcome::Cancelled(reason) => format!("\nRun {} was cancelled after {took}: {reason}\n", record.id),
        _ => format!("\nRun {} ended after {took}.\n", record.id),
    };
    if files.is_empty() {
        return text;
    }
    // Writing to a string cannot fail.
    let _ = writeln!(text, "Files in {}:", path.display());
    for file in files.iter().take(FILES_SHOWN_MAX) {
        let _ = writeln!(text, "  {file}");
    }
    if files.len() > FILES_SHOWN_MAX {
        let _ = writeln!(text, "  and {} more", files.len() - FILES_SHOWN_MAX);
    }
    if let Some(command) = test_command(path, files) {
        let _ = writeln!(text, "Run the tests by hand:\n  cd {} && {command}", quoted(path));
    }
    text
}

/// A duration in seconds with one decimal.
pub(crate) fn seconds(duration: Duration) -> String {
    format!("{:.1} s", duration.as_secs_f64())
}

/// The command that runs the tests in `files`, if there are any.
fn test_command(path: &Path, files: &[String]) -> Option<String> {
    let name = |file: &str| file.rsplit('/').next().unwrap_or_default().to_owned();
    let is_python = |file: &&String| {
        let name = name(file);
        name.strip_suffix(".py").is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
    };
    let python: Vec<&String> = files.iter().filter(is_python).collect();
    let is_unittest =
        |file: &&String| std::fs::read_to_string(path.join(file.as_str())).is_ok_and(|text| text.contains("unittest"));
    let in_tests = python.iter().all(|file| file.starts_with("tests/") && name(file).starts_with("test_"));
    match python.as_slice() {
        [] => files.iter().any(|file| file == "package.json").then(|| "npm test".to_owned()),
        all if all.iter().all(is_unittest) && in_tests => Some("python3 -m unittest discover -s tests -v".to_owned()),
        all if all.iter().all(is_unittest) => Some("python3 -m unittest discover -v".to_owned()),
        _ => Some("python3 -m pytest".to_owned()),
    }
}

/// A path, quoted for a shell.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |one: char| one.is_ascii_alphanumeric() || "/._-+:@%".contains(one);
    if text.chars().all(is_plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_test_command_matches_the_test_framework() {
        let directory = tempfile::tempdir().expect("a directory");
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("it can be made");
            std::fs::write(path, text).expect("it can be written");
        };
        write("tests/test_a.py", "import unittest");
        write("tests/test_b.py", "def test_b(): pass");
        let check = |files: &[&str]| {
            let files: Vec<String> = files.iter().map(|&file| file.to_owned()).collect();
            test_command(directory.path(), &files)
        };
        assert_eq!(check(&["a.py"]), None);
        assert_eq!(check(&["package.json"]).as_deref(), Some("npm test"));
        assert_eq!(check(&["a.py", "tests/test_a.py"]).as_deref(), Some("python3 -m unittest discover -s tests -v"));
        assert_eq!(check(&["tests/test_a.py", "tests/test_b.py"]).as_deref(), Some("python3 -m pytest"));
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("a/b.c")), "a/b.c");
        assert_eq!(quoted(Path::new("it's here")), r"'it'\''s here'");
    }
}
