//! The code validator against real files and real commands, in the local sandbox with plain Python.

use std::sync::Arc;

use orkestra_agents::validate::{CodeValidator, DebugInfo, ErrorType, Submission, Validator, Verdict};
use orkestra_tools::{LocalOptions, LocalSandbox, Sandbox, ToolScope, Unobserved};

async fn judge(files: &[(&str, &str)], validator: CodeValidator) -> (Verdict, Vec<String>) {
    judge_wanted(files, &[], validator).await
}

async fn judge_wanted(files: &[(&str, &str)], wanted: &[String], validator: CodeValidator) -> (Verdict, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("workspace");
    let sandbox = LocalSandbox::start(LocalOptions::default(), &path).await.expect("it starts");
    let workspace = sandbox.workspace().clone();
    for (path, content) in files {
        workspace.write(path, content.as_bytes()).expect("it can be written");
    }
    let artifacts = directory.path().join("artifacts");
    let scope = ToolScope::new(workspace.clone(), Arc::new(sandbox), artifacts, Arc::new(Unobserved));
    let written: Vec<String> = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    let work = Submission { scope: &scope, written: &written, wanted, attempt: 2 };
    let verdict = validator.validate(work).await.expect("it comes to a verdict");
    let left = workspace.list().expect("it can be listed").files.into_iter().map(|entry| entry.path);
    (verdict, left.collect())
}

async fn refused(files: &[(&str, &str)]) -> DebugInfo {
    match judge(files, CodeValidator::own_work()).await.0 {
        Verdict::Failed(info) => info,
        Verdict::Passed { notes } => panic!("it should be refused: {notes:?}"),
    }
}

const GOOD_TEST: &str =
    "import unittest\nclass T(unittest.TestCase):\n    def test_good(self):\n        self.assertTrue(True)\n";

#[tokio::test]
async fn passing_tests_are_counted_and_no_file_is_left_behind() {
    let function = "def test_function():\n    assert 1 + 1 == 2\n";
    let files = [("tests/test_a.py", GOOD_TEST), ("tests/test_b.py", function)];
    let (verdict, left) = judge(&files, CodeValidator::own_work()).await;
    let Verdict::Passed { notes } = verdict else { panic!("{verdict:?}") };
    assert!(notes[0].ends_with("2 tests passed"), "{notes:?}");
    assert_eq!(left, ["tests/test_a.py", "tests/test_b.py"]);
}

#[tokio::test]
async fn files_with_unusual_names_are_checked_like_others() {
    for (name, content) in [
        (r#""tests/test_a\"b.py""#, GOOD_TEST),
        (r#""tests/test_it's $HOME.py""#, GOOD_TEST),
        (r#""a\\b\n`x`.py""#, "x = 1\n"),
        (r#""-rf\377 .py""#, "x = 1\n"),
        ("\"caf\u{e9}\\033.js\"", "let x = 1;\n"),
    ] {
        let (verdict, _) = judge(&[(name, content)], CodeValidator::own_work()).await;
        let Verdict::Passed { notes } = verdict else { panic!("{name}: {verdict:?}") };
        assert!(notes[0].ends_with("1 tests passed") || notes[0].ends_with("fine"), "{name}: {notes:?}");
        let broken = refused(&[(name, "def broken(:\n")]).await;
        assert!(!broken.full_output.contains("No such file"), "{name}: {}", broken.full_output);
    }
}

#[tokio::test]
async fn a_file_that_the_objective_names_must_exist() {
    let wanted = ["hello.py".to_owned()];
    let elsewhere = [("main.py", "print('Hello, World!')\n")];
    let (verdict, _) = judge_wanted(&elsewhere, &wanted, CodeValidator::own_work()).await;
    let Verdict::Failed(info) = verdict else { panic!("{verdict:?}") };
    assert_eq!(info.full_output, "the objective names files that do not exist: hello.py");
    let there = [("hello.py", "print('Hello, World!')\n")];
    let (verdict, _) = judge_wanted(&there, &wanted, CodeValidator::own_work()).await;
    assert!(matches!(verdict, Verdict::Passed { .. }), "{verdict:?}");
}

#[tokio::test]
async fn a_failing_test_is_named_with_its_output() {
    let test = "import unittest\nclass T(unittest.TestCase):\n    def test_bad(self):\n        self.assertEqual(1, 2, 'one is not two')\n";
    let info = refused(&[("tests/test_a.py", GOOD_TEST), ("tests/test_b.py", test)]).await;
    assert_eq!(info.error_type, ErrorType::ValidationFailure);
    assert_eq!(info.attempt, 2);
    assert_eq!(info.failed_tests.len(), 1, "{info:?}");
    assert!(info.failed_tests[0].ends_with("test_bad"), "{info:?}");
    assert!(info.full_output.contains("one is not two"), "{info:?}");
    assert!(info.failed_command.contains("tests/test_a.py tests/test_b.py"), "{info:?}");
}

#[tokio::test]
async fn a_test_file_without_a_test_does_not_pass() {
    let info = refused(&[("tests/test_a.py", "print('nothing to see')\n")]).await;
    assert_eq!(info.error_type, ErrorType::NoTests);
}

#[tokio::test]
async fn syntax_errors_and_missing_imports_have_their_own_types() {
    let info = refused(&[("tests/test_a.py", "def broken(:\n")]).await;
    assert_eq!(info.error_type, ErrorType::SyntaxError);
    assert_eq!(info.failed_tests.len(), 1, "{info:?}");
    let info = refused(&[("tests/test_a.py", "import surely_not_installed\n")]).await;
    assert_eq!(info.error_type, ErrorType::DependencyError);
}

#[tokio::test]
async fn code_that_ends_the_test_run_early_does_not_pass() {
    let quits =
        "import os\nimport unittest\nclass T(unittest.TestCase):\n    def test_quits(self):\n        os._exit(0)\n";
    assert_eq!(refused(&[("tests/test_a.py", quits)]).await.error_type, ErrorType::ValidationFailure);
    let exits = "raise SystemExit(0)\n";
    assert_eq!(refused(&[("tests/test_a.py", exits)]).await.failed_tests.len(), 1);
}

#[tokio::test]
async fn a_report_that_existed_before_is_not_read() {
    let forged = "<testsuite><testcase name='a'/></testsuite>";
    let quits = "import os\nos._exit(0)\n";
    let info = refused(&[("junit.xml", forged), (".orkestra-check/junit.xml", forged), ("test_a.py", quits)]).await;
    assert_eq!(info.error_type, ErrorType::ValidationFailure);
    assert_eq!(info.failed_tests, Vec::<String>::new());
}

#[tokio::test]
async fn a_running_thread_does_not_block_the_validator() {
    let test = "import threading, time, unittest\nclass T(unittest.TestCase):\n    def test_thread(self):\n        threading.Thread(target=lambda: time.sleep(600)).start()\n";
    let (verdict, _) = judge(&[("test_a.py", test)], CodeValidator::own_work()).await;
    assert!(matches!(verdict, Verdict::Passed { .. }), "{verdict:?}");
}

#[tokio::test]
async fn without_tests_the_syntax_decides() {
    let (verdict, left) = judge(&[("hello.py", "print('Hello, World!')\n")], CodeValidator::own_work()).await;
    assert!(matches!(verdict, Verdict::Passed { .. }), "{verdict:?}");
    assert_eq!(left, ["hello.py"]);
    let info = refused(&[("hello.py", "print('Hello\n")]).await;
    assert_eq!(
        (info.error_type, info.failed_command.as_str()),
        (ErrorType::SyntaxError, "python3 -m py_compile hello.py")
    );
}

#[tokio::test]
async fn scripts_are_parsed_if_the_sandbox_has_node() {
    let (verdict, _) = judge(&[("app.js", "const a = 1;\n")], CodeValidator::own_work()).await;
    let Verdict::Passed { notes } = verdict else { panic!("{verdict:?}") };
    if notes[0].starts_with("NOT CHECKED") {
        eprintln!("SKIPPED, LOUDLY: {}", notes[0]);
        return;
    }
    assert_eq!(refused(&[("app.js", "const = 1;\n")]).await.error_type, ErrorType::SyntaxError);
}

#[tokio::test]
async fn everything_includes_every_test_in_the_workspace() {
    let bad = "def test_bad():\n    assert False\n";
    let files = [("tests/test_a.py", GOOD_TEST), ("old/test_old.py", bad), ("report.md", "fine")];
    let (verdict, _) = judge(&files, CodeValidator::everything()).await;
    let Verdict::Failed(info) = verdict else { panic!("{verdict:?}") };
    assert!(info.failed_tests[0].ends_with("test_bad"), "{info:?}");
}

#[tokio::test]
async fn names_of_files_are_never_run_as_commands() {
    let (verdict, left) =
        judge(&[("a;touch made.py", "text"), ("b $(touch made).py", "pass\n")], CodeValidator::own_work()).await;
    assert!(matches!(verdict, Verdict::Passed { .. }), "{verdict:?}");
    assert!(!left.iter().any(|path| path == "made" || path == "made.py"), "{left:?}");
}
