//! The tools as a model uses them: through `ToolSet::call` with JSON.

use std::sync::Arc;

use orkestra_tools::{Effect, Happening, ToolError, ToolOutput, ToolScope, ToolSet, Workspace, limits};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Recorder, local};

pub(crate) struct Agent {
    root: TempDir,
    tools: ToolSet,
    pub(crate) scope: ToolScope,
    pub(crate) seen: Arc<Recorder>,
}

impl Agent {
    pub(crate) async fn new() -> Self {
        Self::in_directory(TempDir::new().expect("a temporary directory")).await
    }

    /// A new process in the same directories.
    async fn in_directory(root: TempDir) -> Self {
        let workspace = Workspace::open(&root.path().join("workspace")).expect("opened");
        let sandbox = local(workspace.path()).await;
        let seen = Arc::new(Recorder::default());
        let scope = ToolScope::new(workspace, sandbox, root.path().join("artifacts"), seen.clone());
        Self { root, tools: ToolSet::builtin(), scope, seen }
    }

    pub(crate) async fn call(&self, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        self.tools.call(&self.scope, name, arguments).await
    }

    pub(crate) async fn text(&self, name: &str, arguments: Value) -> String {
        self.call(name, arguments).await.expect(name).text
    }

    pub(crate) async fn refusal(&self, name: &str, arguments: Value) -> String {
        let error = self.call(name, arguments).await.expect_err(name);
        assert!(error.is_for_model(), "{error}");
        error.to_string()
    }
}

#[tokio::test]
async fn files_are_written_read_edited_and_listed() {
    let agent = Agent::new().await;
    let written = agent.text("write_file", json!({"path": "src/a.py", "content": "one\ntwo\nthree\n"})).await;
    assert_eq!(written, "Wrote 14 bytes to src/a.py.");
    assert_eq!(agent.text("read_file", json!({"path": "src/a.py"})).await, "one\ntwo\nthree\n");
    let middle = agent.call("read_file", json!({"path": "src/a.py", "offset": 2, "limit": 1})).await.expect("read");
    assert_eq!(middle.text, "two\n[lines 2 to 2 of 3; continue with offset=3]");
    assert_eq!(middle.data["last_line"], 2);
    agent.text("edit_file", json!({"path": "src/a.py", "search": "two", "replace": "2"})).await;
    assert_eq!(agent.text("read_file", json!({"path": "src/a.py"})).await, "one\n2\nthree\n");
    assert_eq!(agent.text("list_files", json!({})).await, "src/a.py (12)");
    let expected = [14, 12].map(|bytes| Happening::FileWritten { path: "src/a.py".to_owned(), bytes });
    assert_eq!(agent.seen.happenings(), expected);
}

#[tokio::test]
async fn long_files_are_paged_and_binary_files_refused() {
    let agent = Agent::new().await;
    let line = "x".repeat(99) + "\n";
    agent.text("write_file", json!({"path": "long", "content": line.repeat(1000)})).await;
    let page = agent.call("read_file", json!({"path": "long"})).await.expect("read");
    assert!(page.text.len() < limits::READ_TEXT_BYTES_MAX + 100);
    assert!(page.text.ends_with("[lines 1 to 655 of 1000; continue with offset=656]"), "{}", &page.text[65_000..]);
    let rest = agent.call("read_file", json!({"path": "long", "offset": 656})).await.expect("read");
    assert_eq!((&rest.data["last_line"], &rest.data["truncated"]), (&json!(1000), &json!(false)));
    assert!(agent.refusal("read_file", json!({"path": "long", "offset": 2000})).await.contains("only 1000 lines"));
    agent.scope.workspace().write("binary", b"a\0b").expect("written");
    assert!(agent.refusal("read_file", json!({"path": "binary"})).await.contains("not a text file"));
    agent.scope.workspace().write("one-line", "é".repeat(70_000).as_bytes()).expect("written");
    assert!(agent.text("read_file", json!({"path": "one-line"})).await.contains("line cut"));
    agent.scope.workspace().write("empty", b"").expect("written");
    assert_eq!(agent.text("read_file", json!({"path": "empty"})).await, "[the file is empty]");
}

#[tokio::test]
async fn invalid_arguments_never_reach_the_tool_and_the_error_says_what_is_expected() {
    let agent = Agent::new().await;
    let table = [
        ("write_file", json!({"path": "a"}), "argument `content` is missing; give a string: The whole content"),
        ("write_file", json!({"path": 5, "content": "x"}), "argument `path`: must be a string, not 5"),
        ("write_file", json!({"path": "a", "content": "x", "mode": "w"}), "argument `mode` is unknown; leave it out"),
        ("write_file", json!("path=a"), "must be an object, not the string \"path=a\""),
        ("read_file", json!({"path": "a", "offset": 0}), "argument `offset`: must be at least 1, not 0"),
        (
            "read_file",
            json!({"path": "a", "limit": "ten"}),
            "argument `limit`: must be an integer, not the string \"ten\"",
        ),
        ("run_command", json!({"command": ""}), "argument `command`: must not be empty"),
        ("run_command", json!({"command": "true", "timeout_s": 999_999}), "must be at most 1200, not 999999"),
        (
            "grep",
            json!({"pattern": "x", "mode": "lines"}),
            "must be one of [\"matches\",\"files\",\"counts\"], not the string",
        ),
    ];
    for (name, arguments, expected) in table {
        let refusal = agent.refusal(name, arguments.clone()).await;
        assert!(refusal.contains(expected), "{name} {arguments}: {refusal}");
        assert!(refusal.contains("It takes: ") && refusal.contains("Call it again"), "{refusal}");
    }
    let unknown = agent.refusal("delete_everything", json!({})).await;
    assert!(unknown.contains("read_file, ") && unknown.contains("write_file"), "{unknown}");
    assert_eq!(agent.scope.workspace().list().expect("listed").files, []);
    assert_eq!(agent.seen.happenings(), []);
}

#[tokio::test]
async fn every_wrong_argument_is_listed_by_name() {
    let agent = Agent::new().await;
    let wrong = json!({"file_path": "a", "old_string": 1, "all": "yes", "bogus": null, "\u{1b}[31m": 1});
    let refusal = agent.refusal("edit_file", wrong).await;
    let expected = [
        "argument `path` is missing",
        "argument `search` is missing",
        "argument `replace` is missing",
        "argument `file_path` is unknown; did you mean `path`?",
        "argument `old_string` is unknown; did you mean `search`?",
        "argument `bogus` is unknown; leave it out",
        "argument `\\u{1b}[31m` is unknown; leave it out",
        "argument `all`: must be a boolean, not the string \"yes\"",
    ];
    for line in expected {
        assert!(refusal.contains(line), "{line}: {refusal}");
    }
    let many: serde_json::Map<String, Value> = (0..10_000).map(|number| (format!("x{number}"), json!(1))).collect();
    let refusal = agent.refusal("edit_file", Value::Object(many)).await;
    assert!(refusal.contains("- and 9978 more") && refusal.len() < 5000, "{refusal}");
}

#[tokio::test]
async fn arguments_of_ten_megabytes_are_refused_before_they_are_validated() {
    let agent = Agent::new().await;
    let huge = [
        json!({"path": "a", "content": "x".repeat(10_000_000)}),
        json!({"path": vec![0; 10_000_000 / 32], "content": "x"}),
        json!({ "x".repeat(10_000_000): 1 }),
    ];
    for arguments in huge {
        let refusal = agent.refusal("write_file", arguments).await;
        assert!(refusal.contains("its arguments have more than 4194304 bytes") && refusal.len() < 1000, "{refusal}");
    }
    assert_eq!(agent.scope.workspace().list().expect("listed").files, []);
}

#[tokio::test]
async fn a_refusal_does_not_quote_a_whole_file_and_null_means_absent() {
    let agent = Agent::new().await;
    let refusal = agent.refusal("write_file", json!({"path": ["x".repeat(100_000)], "content": "y"})).await;
    assert!(refusal.len() < 1000, "{} bytes", refusal.len());
    agent.text("write_file", json!({"path": "a", "content": "x"})).await;
    assert_eq!(agent.text("read_file", json!({"path": "a", "offset": null, "limit": null})).await, "x");
    assert_eq!(agent.text("list_files", Value::Null).await, "a (1)");
}

#[tokio::test]
async fn a_path_outside_the_workspace_is_refused_with_advice() {
    let agent = Agent::new().await;
    for path in ["../x", "/etc/passwd", "/workspace/x"] {
        let refusal = agent.refusal("read_file", json!({"path": path})).await;
        assert!(
            refusal.contains("relative") || refusal.contains("component 1, `..`, leaves the workspace"),
            "{refusal}"
        );
    }
    assert!(agent.refusal("read_file", json!({"path": "missing"})).await.contains("list_files"));
}

#[tokio::test]
async fn a_failing_command_is_a_result_and_its_output_survives_a_restart() {
    let agent = Agent::new().await;
    assert!(agent.text("read_test_output", json!({})).await.contains("not run a command yet"));
    let output =
        agent.call("run_command", json!({"command": "echo out; echo err >&2; exit 3"})).await.expect("a result");
    assert!(output.text.contains("exit code 3") && output.text.contains("out\n") && output.text.contains("err\n"));
    assert_eq!(output.data["exit_code"], 3);
    let line = |line: &str, stderr| Happening::CommandOutput { line: line.to_owned(), stderr };
    let mut seen = agent.seen.happenings();
    seen.sort_by_key(|happening| format!("{happening:?}"));
    assert_eq!(seen, [line("err", true), line("out", false)]);
    let whole = output.data["whole"].as_str().expect("an artifact");
    assert_eq!(std::fs::read_to_string(whole).expect("kept").len(), "out\nerr\n".len());

    let again = Agent::in_directory(agent.root).await;
    let remembered = again.call("read_test_output", json!({})).await.expect("remembered");
    assert_eq!((remembered.text, remembered.data), (output.text, output.data));
}

#[tokio::test]
async fn cwd_is_confined_and_a_timeout_says_so() {
    let agent = Agent::new().await;
    agent.text("write_file", json!({"path": "sub/a", "content": ""})).await;
    assert!(agent.text("run_command", json!({"command": "ls", "cwd": "sub"})).await.ends_with("\na\n"));
    for cwd in ["..", "/tmp", "missing"] {
        agent.refusal("run_command", json!({"command": "true", "cwd": cwd})).await;
    }
    let slow =
        agent.call("run_command", json!({"command": "echo begun; sleep 600", "timeout_s": 1})).await.expect("a result");
    assert_eq!((&slow.data["exit_code"], &slow.data["timed_out"]), (&json!(124), &json!(true)));
    assert!(slow.text.contains("begun") && slow.text.contains("timed out"), "{}", slow.text);
}

#[tokio::test]
async fn artifacts_inside_the_workspace_are_refused() {
    let agent = Agent::new().await;
    let inside = agent.scope.workspace().path().join("artifacts");
    let scope =
        ToolScope::new(agent.scope.workspace().clone(), agent.scope.sandbox().clone(), inside, agent.seen.clone());
    let refused = agent.tools.call(&scope, "run_command", json!({"command": "true"})).await.expect_err("refused");
    assert!(refused.to_string().contains("must not be inside"), "{refused}");
}

#[test]
fn schemas_are_small_objects_and_effects_are_right() {
    let tools = ToolSet::builtin();
    let expected = [
        ("apply_patch", Effect::Mutating),
        ("edit_file", Effect::Mutating),
        ("glob", Effect::ReadOnly),
        ("grep", Effect::ReadOnly),
        ("list_files", Effect::ReadOnly),
        ("read_file", Effect::ReadOnly),
        ("read_process", Effect::ReadOnly),
        ("read_test_output", Effect::ReadOnly),
        ("run_command", Effect::Mutating),
        ("start_process", Effect::Mutating),
        ("stop_process", Effect::Mutating),
        ("write_file", Effect::Mutating),
    ];
    for (name, effect) in expected {
        assert_eq!(tools.get(name).map(|tool| tool.effect()), Some(effect), "{name}");
    }
    for tool in tools.iter() {
        let schema = tool.schema();
        assert_eq!(
            (&schema["type"], &schema["additionalProperties"]),
            (&json!("object"), &json!(false)),
            "{}",
            tool.name()
        );
        assert!(schema["properties"].is_object() && schema.get("$schema").is_none(), "{schema}");
        for (name, property) in schema["properties"].as_object().expect("an object") {
            assert!(
                property["type"].is_string() && property["description"].is_string(),
                "{} {name}: {property}",
                tool.name()
            );
        }
    }
    assert!(tools.select(&["read_file", "missing"]).is_err());
    assert_eq!(tools.select(&["read_file"]).expect("selected").iter().count(), 1);
}
