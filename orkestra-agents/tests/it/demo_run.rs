//! The demo model in the whole pipeline: real files, real commands, one failing test, and a second attempt.

use std::{process::Command, sync::Arc};

use orkestra_agents::{ErrorKind, Orkestra, PipelineRequest, SandboxChoice, model::ModelChoice};
use orkestra_core::prelude::{MemoryStore, Outcome, RunId};
use orkestra_tools::DockerSandbox;
use serde_json::{Value, json};

use crate::support::product::{builder, demo, events, named, start};

const FILES: [&str; 9] = [
    "plan.md",
    "contract.json",
    "backend/service.py",
    "frontend/index.html",
    "frontend/app.js",
    "tests/test_backend.py",
    "tests/test_frontend.py",
    "tests/test_end_to_end.py",
    "qa_report.md",
];

fn blog() -> PipelineRequest {
    PipelineRequest { objective: "Build a REST API for a blog".to_owned(), ..PipelineRequest::default() }
}

fn check_events(events: &[Value]) {
    let last = events.last().expect("there are events");
    assert_eq!(last["event"], "run_completed", "{events:#?}");
    let files = last["files"].as_array().expect("files");
    assert!(FILES.iter().all(|file| files.iter().any(|one| one == file)), "{last}");
    assert_eq!(named(events, "run_started")[0]["node_count"], 4);
    let failed = named(events, "validation_failed");
    assert_eq!(failed.len(), 1, "{failed:#?}");
    let info = &failed[0]["debug_info"];
    assert_eq!(
        (&failed[0]["agent"], &info["error_type"], &info["attempt"]),
        (&"backend".into(), &"validation_failure".into(), &1.into())
    );
    let tests = info["failed_tests"].as_array().expect("a list");
    assert_eq!(tests.len(), 1, "{info:#?}");
    assert!(
        tests[0].as_str().is_some_and(|name| name.ends_with("test_create_answers_201_with_the_new_post")),
        "{info}"
    );
    assert_eq!(named(events, "node_started").len(), 5);
    assert_eq!(named(events, "retry_scheduled").len(), 1);
    assert!(named(events, "token_chunk").len() > 10);
    assert!(
        named(events, "command_output")
            .iter()
            .any(|event| event["line"].as_str().is_some_and(|line| line.contains("FAIL")))
    );
    assert!(events.iter().all(|event| event["event"] == event["type"] && event["run_id"].is_string()));
    let seqs: Vec<u64> = events.iter().filter_map(|event| event["seq"].as_u64()).collect();
    assert!(seqs.len() == events.len() && seqs.is_sorted_by(|a, b| a < b), "{seqs:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_objective_becomes_a_tested_project() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), demo()).await;
    let run = orkestra.create(blog()).await.expect("it is created");
    let events = events(&run).await;
    check_events(&events);
    assert_eq!(named(&events, "notice").len(), 2, "the demo model and the local sandbox say what they are");

    let record = run.status().await.expect("it is there");
    let path = orkestra.workspace_path(&record);
    let tests = Command::new("python3").args(["-m", "unittest", "discover", "-s", "tests"]).current_dir(&path).output();
    let tests = tests.expect("there is a python3");
    assert!(tests.status.success(), "by hand: {}", String::from_utf8_lossy(&tests.stderr));
    let report = std::fs::read_to_string(path.join("qa_report.md")).expect("a report");
    assert!(report.contains("all tests pass"), "{report}");

    let view = json!(orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there"));
    assert_eq!((&view["status"], &view["progress_percentage"]), (&"completed".into(), &100.into()));
    assert_eq!(view["nodes"][1]["agent_name"], "backend");
    assert_eq!(view["nodes"][1]["attempt"], 2);
    assert_eq!(view["nodes"][1]["error_message"], Value::Null);
    assert!(view["files"].as_array().is_some_and(|files| files.iter().any(|file| file == "plan.md")), "{view}");
    let unknown = RunId::new("unknown").expect("an id");
    assert_eq!(orkestra.run_view(&unknown).await.expect("it can be read"), None);
    orkestra.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_objective_becomes_a_tested_project_in_a_container() {
    if let Err(error) = DockerSandbox::available().await {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs Docker: {error}");
        eprintln!("SKIPPED, LOUDLY: {error}");
        return;
    }
    let data = tempfile::tempdir().expect("a directory");
    let builder = Orkestra::builder(data.path()).model(demo()).sandbox(SandboxChoice::Automatic);
    let orkestra = builder.start(Arc::new(MemoryStore::new())).await.expect("it starts");
    let run = orkestra.create(blog()).await.expect("it is created");
    let events = events(&run).await;
    check_events(&events);
    assert_eq!(named(&events, "notice").len(), 1, "only the demo model has something to say");
    let view = json!(orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there"));
    assert_eq!(view["sandbox"], "docker");
    orkestra.shutdown().await;
}

/// Runs a selection of agents. Returns the nodes and the files.
async fn select(tasks: &[&str]) -> (Vec<String>, Vec<String>) {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), demo()).await;
    let tasks = tasks.iter().map(|&task| task.to_owned()).collect();
    let run = orkestra.create(PipelineRequest { tasks, ..blog() }).await.expect("it is created");
    let outcome = run.outcome().await.expect("it ends");
    assert!(matches!(outcome, Outcome::Completed(_)), "{outcome:?}");
    let view = json!(orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there"));
    let texts = |values: &Value, name: &str| -> Vec<String> {
        let values = values.as_array().into_iter().flatten();
        values
            .map(|value| if name.is_empty() { value } else { &value[name] }.as_str().unwrap_or_default().to_owned())
            .collect()
    };
    orkestra.shutdown().await;
    (texts(&view["nodes"], "id"), texts(&view["files"], ""))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_selection_of_agents_completes() {
    let (nodes, files) = select(&["qa", "backend"]).await;
    assert_eq!(nodes, ["planner", "backend", "qa"]);
    assert!(files.iter().any(|file| file == "tests/test_end_to_end.py"), "{files:?}");
    assert!(!files.iter().any(|file| file.starts_with("frontend")), "{files:?}");
    assert_eq!(select(&["backend"]).await.0, ["planner", "backend"]);
    assert_eq!(select(&["frontend", "backend"]).await.0, ["planner", "backend", "frontend"]);
    let (nodes, files) = select(&["qa"]).await;
    assert_eq!(nodes, ["planner", "qa"]);
    assert!(files.iter().any(|file| file == "tests/test_contract.py"), "{files:?}");
    assert_eq!(select(&["planner"]).await.0, ["planner"]);
}

#[tokio::test]
async fn an_invalid_request_is_refused_with_its_reason() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), demo()).await;
    let request = |change: &dyn Fn(&mut PipelineRequest)| {
        let mut request = blog();
        change(&mut request);
        request
    };
    for (bad, words) in [
        (request(&|request| request.objective = " \n".to_owned()), "objective is empty"),
        (request(&|request| request.tasks = vec!["devops".to_owned()]), "planner, backend, frontend, qa"),
        (request(&|request| request.project_id = Some("../x".to_owned())), "invalid project id"),
        (request(&|request| request.id = Some("a/../b".to_owned())), "invalid run id"),
    ] {
        let error = orkestra.create(bad).await.expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(error.to_string().contains(words), "{error}");
    }
    let needs_key = request(&|request| request.model = Some("groq::some-model".to_owned()));
    if std::env::var_os("GROQ_API_KEY").is_none() {
        let error = orkestra.create(needs_key).await.expect_err("there is no key");
        assert_eq!(error.kind(), ErrorKind::Model, "{error}");
    }
    let runs = orkestra.engine().list(&orkestra_core::prelude::RunQuery::default()).await.expect("it can be read");
    assert!(runs.items.is_empty(), "a refused request creates no run");
    orkestra.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_project_continues_in_its_workspace() {
    let data = tempfile::tempdir().expect("a directory");
    let orkestra = start(data.path(), demo()).await;
    let request = || PipelineRequest { project_id: Some("my-blog".to_owned()), ..blog() };
    for expected_attempts in [5, 4] {
        let run = orkestra.create(request()).await.expect("it is created");
        let events = events(&run).await;
        assert_eq!(events.last().expect("events")["event"], "run_completed", "{events:#?}");
        assert_eq!(named(&events, "node_started").len(), expected_attempts);
        let record = run.status().await.expect("it is there");
        assert_eq!(orkestra.workspace_path(&record), data.path().join("workspace/project_my-blog"));
    }
    orkestra.shutdown().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_completes_although_its_process_dies_many_times() {
    let data = tempfile::tempdir().expect("a directory");
    let store = Arc::new(MemoryStore::new());
    let log = data.path().join("calls.log");
    let mut deaths = 0;
    for wanted in [3, 9, 17, 26, 40, usize::MAX] {
        let orkestra =
            builder(data.path(), demo()).call_log(&log).start(Arc::clone(&store) as _).await.expect("it starts");
        let run = orkestra.create(PipelineRequest { id: Some("r1".to_owned()), ..blog() }).await.expect("it goes on");
        let mut events = run.events(orkestra_core::prelude::Cursor::START);
        let mut calls = 0;
        while calls < wanted {
            let Some(event) = events.next().await.expect("the store can be read") else { break };
            calls += usize::from(matches!(event.event, orkestra_core::prelude::Event::StepCompleted { .. }));
        }
        if calls == wanted {
            deaths += 1;
        } else {
            let view = json!(orkestra.run_view(run.id()).await.expect("it can be read").expect("it is there"));
            assert_eq!(view["status"], "completed", "{view:#}");
        }
        orkestra.shutdown().await;
    }
    assert_eq!(deaths, 5);
    check_log(&std::fs::read_to_string(&log).expect("the log is there"));
}

/// No step ends twice, and no step starts after its end.
fn check_log(log: &str) {
    let mut ended = std::collections::BTreeSet::new();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("each line is JSON");
        let key = (line["node"].to_string(), line["step"].to_string());
        assert!(!ended.contains(&key), "made again after it had ended: {line}");
        if line["phase"] == "end" {
            ended.insert(key);
        }
    }
    assert!(ended.len() > 30, "{}", ended.len());
}

#[tokio::test]
async fn a_real_model_never_falls_back_to_the_local_sandbox() {
    if DockerSandbox::available().await.is_ok() {
        eprintln!("not to be seen here: Docker answers");
        return;
    }
    let data = tempfile::tempdir().expect("a directory");
    let model = ModelChoice::named("some-model").with_base_url("http://127.0.0.1:9/v1");
    let orkestra =
        Orkestra::builder(data.path()).model(model).start(Arc::new(MemoryStore::new())).await.expect("it starts");
    let error = orkestra.create(blog()).await.expect_err("commands have nowhere to run");
    assert_eq!(error.kind(), ErrorKind::Sandbox, "{error}");
    let text = error.to_string();
    assert!(text.starts_with("cannot run commands in Docker: "), "{text}");
    let advice =
        ["start it", "build it", "local sandbox", "--sandbox local"].map(|advice| text.matches(advice).count());
    assert!(advice[0] + advice[1] <= 1 && advice[2..] == [1, 1], "the advice is given once: {text}");
}
