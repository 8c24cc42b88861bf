//! Reads a task from its files, and checks it: everything that is wrong with it is reported at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use super::definition::{Base, CheckDefinition, Definition, WrongDefinition};
use super::{Check, CheckError, CodingTask, WrongSolution};
use crate::delivery::{self, File};
use crate::limits::{TESTS_MAX, TESTS_TIME_MAX};

/// Why a task cannot be used: everything that is wrong with it.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {}", problems.join("; "))]
pub struct TaskError {
    place: String,
    problems: Vec<String>,
}

impl TaskError {
    pub(super) fn new(place: impl Display, problems: Vec<String>) -> Self {
        Self { place: place.to_string(), problems }
    }

    /// Each problem by itself.
    #[must_use]
    pub fn problems(&self) -> &[String] {
        &self.problems
    }
}

pub(super) fn from_directory(directory: &Path) -> Result<CodingTask, TaskError> {
    let files =
        delivery::read_all(directory).map_err(|error| TaskError::new(directory.display(), vec![error.to_string()]))?;
    let absolute = std::path::absolute(directory).unwrap_or_else(|_| directory.to_owned());
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    from_files(&name, &files.into_iter().map(|file| (file.path, file.content)).collect())
}

/// A task from its files, whose paths are relative to its directory.
pub(super) fn from_files(name: &str, files: &BTreeMap<String, Vec<u8>>) -> Result<CodingTask, TaskError> {
    let text = |path: &str| {
        let content = files.get(path).ok_or_else(|| format!("the file {path} is missing"))?;
        String::from_utf8(content.clone()).map_err(|_| format!("the file {path} is not UTF-8"))
    };
    let failed = |problem: String| TaskError::new(format!("task {name}"), vec![problem]);
    let definition: Definition = toml::from_str(&text("task.toml").map_err(failed)?)
        .map_err(|error| failed(format!("task.toml: {}", error.to_string().trim())))?;
    let grader = text("grader.py").map_err(failed)?;
    let mut problems = Vec::new();
    check(name, &definition, &grader, files, &mut problems);
    let mut checks = Vec::new();
    for check in &definition.checks {
        match compiled(check) {
            Ok(check) => checks.push(check),
            Err(error) => problems.push(error.to_string()),
        }
    }
    let below = |prefix: &str| {
        let found = files.iter().filter_map(|(path, content)| Some((path.strip_prefix(prefix)?, content)));
        found.map(|(path, content)| File::new(path, content.clone())).collect::<Vec<File>>()
    };
    let (start, oracle) = (below("start/"), below("oracle/"));
    let mut wrong_solutions = Vec::new();
    for wrong in definition.wrong {
        let files = below(&format!("wrong/{}/", wrong.name));
        match solution(wrong, &oracle, files) {
            Ok(solution) => wrong_solutions.push(solution),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(TaskError::new(format!("task {name}"), problems));
    }
    Ok(CodingTask {
        name: name.to_owned(),
        title: definition.title,
        difficulty: definition.difficulty,
        objective: definition.objective.trim().to_owned(),
        checks,
        tests: definition.strict.tests,
        tests_time: Duration::from_secs(definition.strict.timeout_s),
        grader,
        wrong: wrong_solutions,
        start,
        oracle,
        fingerprint: fingerprint(files),
    })
}

fn solution(wrong: WrongDefinition, oracle: &[File], files: Vec<File>) -> Result<WrongSolution, String> {
    let replaced: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    let is_kept = |file: &&File| {
        wrong.base == Base::Oracle && !replaced.contains(file.path.as_str()) && !wrong.removed.contains(&file.path)
    };
    let mut all: Vec<File> = oracle.iter().filter(is_kept).cloned().collect();
    for edit in &wrong.edits {
        let failed = |problem: &str| format!("wrong solution {}: edit of {}: {problem}", wrong.name, edit.path);
        let file = all.iter_mut().find(|file| file.path == edit.path);
        let file = file.ok_or_else(|| failed("the oracle does not have it, or it is replaced or removed"))?;
        let text = std::str::from_utf8(&file.content).map_err(|_| failed("it is not text"))?;
        if edit.old.is_empty() || text.matches(&edit.old).count() != 1 {
            return Err(failed(&format!("it must have this text exactly once: {:?}", edit.old)));
        }
        file.content = text.replacen(&edit.old, &edit.new, 1).into_bytes();
    }
    all.extend(files);
    Ok(WrongSolution { name: wrong.name, why: wrong.why, text_only: wrong.text_only, files: all })
}

fn compiled(check: &CheckDefinition) -> Result<Check, CheckError> {
    Ok(match check {
        CheckDefinition::FileExists { path } => Check::FileExists { path: path.clone() },
        CheckDefinition::FileContains { path, pattern } => {
            Check::FileContains { path: path.clone(), pattern: Check::pattern(pattern)? }
        }
        CheckDefinition::AnyFileContains { pattern } => Check::AnyFileContains { pattern: Check::pattern(pattern)? },
    })
}

fn check(
    name: &str,
    definition: &Definition,
    grader: &str,
    files: &BTreeMap<String, Vec<u8>>,
    problems: &mut Vec<String>,
) {
    let is_plain = |text: &str| {
        let is_allowed = |one: u8| one.is_ascii_lowercase() || one.is_ascii_digit() || b"_-".contains(&one);
        (1..=64).contains(&text.len()) && text.bytes().all(is_allowed) && text.as_bytes()[0].is_ascii_alphanumeric()
    };
    if !is_plain(name) {
        problems.push(format!("invalid name {name:?}: it must match [a-z0-9][a-z0-9_-]{{0,63}}"));
    }
    if definition.objective.trim().is_empty() {
        problems.push("objective is empty: it is all that an agent is told".to_owned());
    }
    if definition.checks.is_empty() {
        problems.push("checks is empty: the documented score needs at least one".to_owned());
    }
    check_tests(definition, grader, problems);
    let has = |prefix: &str| files.keys().any(|path| path.starts_with(prefix));
    if !has("oracle/") {
        problems.push("oracle/ is missing: a right solution proves that the task can be solved".to_owned());
    }
    if definition.wrong.len() < 3 {
        problems.push("fewer than three [[wrong]] solutions: they prove that mistakes are found".to_owned());
    }
    let mut names = BTreeSet::new();
    for wrong in &definition.wrong {
        if !is_plain(&wrong.name) || !names.insert(wrong.name.as_str()) {
            problems.push(format!("wrong solution {:?}: invalid or repeated name", wrong.name));
        }
        if !has(&format!("wrong/{}/", wrong.name)) && wrong.removed.is_empty() && wrong.edits.is_empty() {
            problems
                .push(format!("wrong solution {}: it has no edits, and wrong/{}/ no files", wrong.name, wrong.name));
        }
        for path in wrong.removed.iter().filter(|path| !files.contains_key(&format!("oracle/{path}"))) {
            problems
                .push(format!("wrong solution {}: removed names {path}, which the oracle does not have", wrong.name));
        }
    }
    let known = |path: &&String| {
        let rest = path.strip_prefix("wrong/").and_then(|rest| rest.split_once('/'));
        rest.is_none_or(|(name, _)| names.contains(name))
    };
    if let Some(path) = files.keys().find(|path| !known(path)) {
        problems.push(format!("{path} belongs to no [[wrong]] solution of task.toml"));
    }
}

fn check_tests(definition: &Definition, grader: &str, problems: &mut Vec<String>) {
    let tests = &definition.strict.tests;
    if tests.is_empty() || tests.len() > TESTS_MAX {
        problems.push(format!("strict.tests has {} tests: it needs 1 to {TESTS_MAX}", tests.len()));
    }
    let mut seen = BTreeSet::new();
    for test in tests {
        if !seen.insert(test) {
            problems.push(format!("strict.tests has {test} twice"));
        }
        if !grader.contains(&format!("def {test}(")) {
            problems.push(format!("strict.tests has {test}, which grader.py does not define"));
        }
    }
    let time = Duration::from_secs(definition.strict.timeout_s);
    if time.is_zero() || time > TESTS_TIME_MAX {
        problems.push(format!("strict.timeout_s must be 1 to {}", TESTS_TIME_MAX.as_secs()));
    }
}

fn fingerprint(files: &BTreeMap<String, Vec<u8>>) -> String {
    let mut hasher = Sha256::new();
    for (path, content) in files {
        // The lengths too, so that a byte that moves from one to the next changes the hash.
        hasher.update((path.len() as u64).to_be_bytes());
        hasher.update(path);
        hasher.update((content.len() as u64).to_be_bytes());
        hasher.update(content);
    }
    hasher.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A task with these wrong solutions, written as in `task.toml`, and an oracle of two lines.
    fn task(wrong: &str) -> Result<CodingTask, TaskError> {
        let head = "title = 't'\ndifficulty = 'easy'\nobjective = 'o'\nchecks = [{ type = 'file_exists', path = 'a' }]\n\
                    strict = { tests = ['x'] }\n";
        let others =
            "[[wrong]]\nname = 'w1'\nwhy = ''\nremoved = ['a']\n[[wrong]]\nname = 'w2'\nwhy = ''\nremoved = ['a']\n";
        let files = [
            ("task.toml", format!("{head}{others}{wrong}")),
            ("grader.py", "def x():".to_owned()),
            ("oracle/a", "one\ntwo\n".to_owned()),
            ("oracle/b", "b".to_owned()),
            ("wrong/w3/c", "c".to_owned()),
        ];
        from_files("t", &files.map(|(path, text)| (path.to_owned(), text.into_bytes())).into())
    }

    #[test]
    fn a_wrong_solution_is_the_oracle_with_edits() {
        let wrong = "[[wrong]]\nname = 'w3'\nwhy = ''\n[[wrong.edits]]\npath = 'a'\nold = 'two'\nnew = '2'\n";
        let task = task(wrong).expect("valid");
        let files: Vec<(&str, &[u8])> =
            task.wrong[2].files.iter().map(|file| (file.path.as_str(), file.content.as_slice())).collect();
        assert_eq!(files, [("a", &b"one\n2\n"[..]), ("b", b"b"), ("c", b"c")]);
    }

    #[test]
    fn an_edit_that_does_not_apply_is_named() {
        let edit = |path: &str, old: &str| {
            let wrong = "[[wrong]]\nname = 'w3'\nwhy = ''\n[[wrong.edits]]\n";
            task(&format!("{wrong}path = '{path}'\nold = '{old}'\nnew = ''\n")).expect_err("invalid").to_string()
        };
        for (path, old, problem) in [
            ("a", "three", "exactly once"),
            ("a", "o", "exactly once"),
            ("a", "", "exactly once"),
            ("missing", "x", "the oracle does not have it"),
            ("c", "c", "the oracle does not have it"),
        ] {
            let error = edit(path, old);
            assert!(
                error.contains(problem) && error.contains(&format!("wrong solution w3: edit of {path}")),
                "{error}"
            );
        }
    }

    #[test]
    fn everything_that_is_wrong_is_reported_at_once() {
        let wrong = "[[wrong]]\nname = 'w4'\nwhy = ''\n[[wrong]]\nname = 'W 5'\nwhy = ''\nremoved = ['zzz']\n";
        let error = task(wrong).expect_err("invalid");
        assert_eq!(error.problems().len(), 4, "{error}");
    }
}
