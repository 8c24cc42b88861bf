//! Secrets in the tools of a scope: results, errors, lines, artifacts; and not in environments or in Docker.

use std::fs;
use std::process::Command as Program;
use std::sync::Arc;

use orkestra_tools::{Command, DockerSandbox, Sandbox, Secrets, ToolScope, ToolSet, Workspace};
use serde_json::json;

use crate::support::{Recorder, docker_options, local, run_id};

const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

fn secrets() -> Secrets {
    Secrets::new([("GITHUB_TOKEN", TOKEN)]).expect("one secret")
}

#[tokio::test]
async fn results_errors_lines_and_artifacts_are_masked_and_the_workspace_is_not() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("workspace");
    let sandbox = local(&path).await;
    let recorder = Arc::new(Recorder::default());
    let artifacts = directory.path().join("artifacts");
    let workspace = Workspace::open(&path).expect("it opens");
    let scope =
        ToolScope::new(workspace, sandbox, artifacts.clone(), Arc::clone(&recorder) as _).with_secrets(secrets());
    let tools = ToolSet::builtin();
    let written =
        tools.call(&scope, "write_file", json!({"path": "t", "content": TOKEN})).await.expect("it is written");
    assert!(!written.text.contains(TOKEN));
    for command in [
        "cat t",
        "cat t >&2; exit 3",
        "base64 t",
        "base64 -w 7 t",
        "head -c 9 t; sleep 0.2; tail -c +10 t",
        "env; env | base64",
        "yes \"$(cat t)\" | head -n 20000",
    ] {
        let output = tools.call(&scope, "run_command", json!({"command": command})).await.expect("it runs");
        assert!(!format!("{output:?}").contains(&TOKEN[10..30]), "{command}: {}", output.text);
    }
    let errors = [
        tools.call(&scope, TOKEN, json!({})).await,
        tools.call(&scope, "read_file", json!({"path": TOKEN})).await,
        tools.call(&scope, "read_file", json!({"path": "t", "limit": TOKEN})).await,
        tools.call(&scope, "read_file", json!({"path": format!("../{TOKEN}")})).await,
        tools.call(&scope, "run_command", json!({"command": "ls", "cwd": TOKEN})).await,
    ];
    for error in errors {
        let error = error.expect_err("none of them can succeed");
        assert!(error.is_for_model(), "{error}");
        assert!(
            error.to_string().contains("[secret GITHUB_TOKEN]") && !format!("{error:?}").contains(TOKEN),
            "{error:?}"
        );
    }
    let last = tools.call(&scope, "read_test_output", json!({})).await.expect("there is one");
    assert!(last.text.contains("[secret GITHUB_TOKEN]\n[secret GITHUB_TOKEN]"), "{}", last.text);
    let lines = format!("{:?}", recorder.happenings());
    assert!(!lines.contains(&TOKEN[10..30]) && lines.contains("[secret GITHUB_TOKEN]"));
    for entry in fs::read_dir(&artifacts).expect("it is there") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("it can be read");
        assert!(!text.contains(&TOKEN[10..30]), "{text}");
    }
    assert_eq!(fs::read_to_string(path.join("t")).expect("it is there"), TOKEN);
}

#[tokio::test]
async fn what_a_process_prints_is_masked() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("workspace");
    let sandbox = local(&path).await;
    let artifacts = directory.path().join("artifacts");
    let workspace = Workspace::open(&path).expect("it opens");
    let scope =
        ToolScope::new(workspace, sandbox, artifacts.clone(), Arc::new(Recorder::default())).with_secrets(secrets());
    let tools = ToolSet::builtin();
    tools.call(&scope, "write_file", json!({"path": "t", "content": TOKEN})).await.expect("it is written");
    let command = "cat t; base64 -w 7 t; head -c 9 t; sleep 0.2; tail -c +10 t; echo end";
    tools.call(&scope, "start_process", json!({"command": command, "name": "p"})).await.expect("it starts");
    let mut read = String::new();
    for _ in 0..100 {
        let output = tools.call(&scope, "read_process", json!({"id": "p"})).await.expect("it is known");
        read = format!("{output:?}");
        if read.contains("end") {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert!(read.contains("[secret GITHUB_TOKEN]") && read.contains("end"), "{read}");
    let stopped = tools.call(&scope, "stop_process", json!({"id": "p"})).await.expect("it has ended");
    for text in [read, format!("{stopped:?}")] {
        assert!(!text.contains(&TOKEN[10..30]) && !text.contains("MTZDN2U0"), "{text}");
    }
    for entry in fs::read_dir(&artifacts).expect("it is there") {
        let text = fs::read_to_string(entry.expect("an entry").path()).expect("it can be read");
        assert!(!text.contains(&TOKEN[10..30]), "{text}");
    }
}

#[tokio::test]
async fn docker_has_no_secret_in_an_environment_or_in_what_inspect_says() {
    let Some(options) = docker_options().await else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let run = run_id("secrets");
    let docker = Arc::new(DockerSandbox::start(options, &run, directory.path()).await.expect("it starts"));
    let sandbox: Arc<dyn Sandbox> = Arc::clone(&docker) as _;
    let workspace = Workspace::open(directory.path()).expect("it opens");
    let artifacts = tempfile::tempdir().expect("a directory");
    let scope = ToolScope::new(workspace, sandbox, artifacts.path().to_owned(), Arc::new(Recorder::default()))
        .with_secrets(secrets());
    let command = Command::new("env; cat /proc/1/environ; echo done");
    let result = scope.sandbox().execute(command, scope.observer().as_ref()).await.expect("it runs");
    assert!(result.output.contains("done") && !result.output.contains("GITHUB_TOKEN"), "{}", result.output);
    let listed = Program::new("docker").args(["ps", "-aq", "--no-trunc"]).output().expect("docker runs");
    let ids = String::from_utf8_lossy(&listed.stdout).into_owned();
    for id in ids.split_whitespace() {
        let inspected = Program::new("docker").args(["inspect", id]).output().expect("docker runs");
        let inspected = String::from_utf8_lossy(&inspected.stdout).into_owned();
        assert!(!inspected.contains(TOKEN) && !inspected.contains("GITHUB_TOKEN"), "{inspected}");
    }
    docker.close().await.expect("it is removed");
}
