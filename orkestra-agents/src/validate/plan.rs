//! Decides which checks to run on an agent's work: tests if there are some, else a syntax check per language. Pure.

use std::collections::BTreeSet;

/// Files per command line, because a command line has a limit. Larger projects are checked in parts.
const FILES_MAX: usize = 200;

/// Whose work is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scope {
    /// What this agent wrote: agents beside it may be in the middle of their work.
    Own,
    /// Everything in the workspace.
    Everything,
}

/// One check to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Check {
    /// Python tests; an empty list means all tests that are found.
    Tests(Vec<String>),
    /// Whether Python files can be compiled.
    PythonSyntax(Vec<String>),
    /// Whether JavaScript files can be parsed.
    ScriptSyntax(Vec<String>),
    /// The tests of the package in this folder (empty for the workspace itself).
    NpmTest(String),
    /// The types of the TypeScript project in this folder.
    TypeScript(String),
}

/// The work to judge.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work<'a> {
    /// Every file in the workspace.
    pub(super) files: &'a [String],
    /// The files that the agent wrote.
    pub(super) written: &'a [String],
    /// The folders whose `package.json` has a test script.
    pub(super) npm_tests: &'a [String],
    pub(super) scope: Scope,
}

/// The checks for `work`, in their order; the first that fails ends the validation.
pub(super) fn checks(work: &Work<'_>) -> Vec<Check> {
    let there: BTreeSet<&String> = work.files.iter().collect();
    let own: Vec<String> = work.written.iter().filter(|file| there.contains(file)).cloned().collect();
    // NOTE: an agent that wrote no file with its tools may have written some with a command; then all files are judged.
    let judged: &[String] = if work.scope == Scope::Everything || own.is_empty() { work.files } else { &own };
    let mut checks = Vec::new();
    let tests: Vec<String> = judged.iter().filter(|file| is_python_test(file)).cloned().collect();
    if !tests.is_empty() {
        let all = work.scope == Scope::Everything || tests.len() > FILES_MAX;
        checks.push(Check::Tests(if all { Vec::new() } else { tests }));
    } else {
        checks.extend(parts(judged, &["py"]).map(Check::PythonSyntax));
    }
    checks.extend(parts(judged, &["js", "mjs", "cjs"]).map(Check::ScriptSyntax));
    let touched =
        |folder: &String| folder.is_empty() || judged.iter().any(|file| file.starts_with(&format!("{folder}/")));
    checks.extend(work.npm_tests.iter().filter(|folder| touched(folder)).cloned().map(Check::NpmTest));
    let projects = work.files.iter().filter_map(|file| folder_of(file, "tsconfig.json"));
    checks.extend(projects.filter(touched).map(Check::TypeScript));
    checks
}

fn parts(files: &[String], endings: &[&str]) -> impl Iterator<Item = Vec<String>> {
    let chosen: Vec<String> = files
        .iter()
        .filter(|file| bare(file).rsplit_once('.').is_some_and(|(_, ending)| endings.contains(&ending)))
        .cloned()
        .collect();
    let parts: Vec<Vec<String>> = chosen.chunks(FILES_MAX).map(<[String]>::to_vec).collect();
    parts.into_iter()
}

/// Whether pytest looks for tests in this file.
pub(super) fn is_python_test(path: &str) -> bool {
    let path = bare(path);
    let name = path.rsplit('/').next().unwrap_or(path);
    name.strip_suffix(".py").is_some_and(|stem| stem.starts_with("test_") || stem.ends_with("_test"))
}

/// A shown path without the quotes around an unusual name.
fn bare(path: &str) -> &str {
    path.strip_prefix('"').and_then(|path| path.strip_suffix('"')).unwrap_or(path)
}

/// The folder of `path` when its name is `name`, outside of installed packages.
pub(super) fn folder_of(path: &str, name: &str) -> Option<String> {
    if path.split('/').any(|part| part == "node_modules") {
        return None;
    }
    match path.strip_suffix(name)? {
        "" => Some(String::new()),
        folder => folder.strip_suffix('/').map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(scope: Scope, files: &[&str], written: &[&str]) -> Vec<Check> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        checks(&Work { files: &owned(files), written: &owned(written), npm_tests: &[], scope })
    }

    fn list(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn own_work_runs_its_own_tests_and_everything_runs_all() {
        let files = ["a.py", "tests/test_a.py", "tests/test_b.py", "app.js"];
        let own = check(Scope::Own, &files, &["a.py", "tests/test_a.py"]);
        assert_eq!(own, [Check::Tests(list(&["tests/test_a.py"]))]);
        let all = check(Scope::Everything, &files, &["tests/test_b.py"]);
        assert_eq!(all, [Check::Tests(vec![]), Check::ScriptSyntax(list(&["app.js"]))]);
    }

    #[test]
    fn without_tests_the_syntax_is_checked_per_language() {
        let files = ["hello.py", "app.js", "readme.md", "latest_tester.py"];
        let found = check(Scope::Own, &files, &["hello.py", "app.js", "gone.py"]);
        assert_eq!(found, [Check::PythonSyntax(list(&["hello.py"])), Check::ScriptSyntax(list(&["app.js"]))]);
    }

    #[test]
    fn unusual_names_are_files_like_others() {
        let (test, code) = (r#""tests/test_\"a.py""#, r#""a\\b.py""#);
        assert_eq!(check(Scope::Own, &[test], &[test]), [Check::Tests(list(&[test]))]);
        assert_eq!(check(Scope::Own, &[code], &[code]), [Check::PythonSyntax(list(&[code]))]);
    }

    #[test]
    fn files_that_a_command_wrote_count_when_no_tool_wrote_any() {
        assert_eq!(check(Scope::Own, &["hello.py"], &[]), [Check::PythonSyntax(list(&["hello.py"]))]);
    }

    #[test]
    fn a_typescript_project_is_checked_where_it_lies() {
        let files = ["web/tsconfig.json", "web/src/a.ts", "web/node_modules/x/tsconfig.json"];
        assert_eq!(check(Scope::Own, &files, &["web/src/a.ts"]), [Check::TypeScript("web".to_owned())]);
    }
}
