//! An objective becomes a tested project.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::Value;

use super::support::{LOCAL_DEMO, Place, assert_in_order, assert_no_call_twice, done, run_id, seq};

#[test]
fn other_users_can_read_nothing_that_a_run_leaves() {
    let place = Place::new();
    let data = place.path().join(".orkestra");
    // As an older version left it.
    fs::create_dir(&data).expect("it can be made");
    fs::set_permissions(&data, Permissions::from_mode(0o755)).expect("it is ours");
    place.good(&[&["run", "Build a REST API for a blog", "--tasks", "backend"], &LOCAL_DEMO[..]].concat());
    place.good(&["store", "export", "runs.jsonl"]);
    let mut left = vec![data, place.path().join("runs.jsonl"), place.call_log()];
    let mut seen = 0;
    while let Some(path) = left.pop() {
        let metadata = fs::symlink_metadata(&path).expect("it is there");
        assert_eq!(metadata.permissions().mode() & 0o077, 0, "{}", path.display());
        if metadata.is_dir() {
            left.extend(fs::read_dir(&path).expect("it is ours").map(|entry| entry.expect("it is ours").path()));
        }
        seen += 1;
    }
    assert!(seen > 10, "store, workspace and artifacts: {seen}");
}

#[test]
fn an_objective_becomes_a_tested_project() {
    let place = Place::new();
    let (code, events, said) = place.live_run(&[]).finish();
    assert_eq!(code, 0, "{said}");
    assert_in_order(&events);

    let failed = seq(&events, "validation_failed", "backend");
    let info = &events.iter().find(|event| event["seq"] == failed).expect("it is there")["debug_info"];
    assert_eq!((&info["error_type"], &info["attempt"]), (&"validation_failure".into(), &1.into()));
    assert!(info["failed_tests"].as_array().is_some_and(|tests| !tests.is_empty()), "{info}");
    assert!(info["full_output"].as_str().is_some_and(|output| output.contains("FAIL")), "{info}");
    let is_second = |event: &&Value| event["event"] == "node_started" && event["attempt"] == 2;
    let second = events.iter().find(is_second).expect("another attempt follows");
    assert_eq!(second["agent"], "backend");
    assert!(second["seq"].as_u64() > Some(failed) && seq(&events, "node_completed", "backend") > failed);
    assert!(events.iter().any(|event| event["event"] == "token_chunk"), "what agents say is streamed");

    let last = events.last().expect("there are events");
    assert_eq!(last["event"], "run_completed");
    let files: Vec<&str> = last["files"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let workspace = place.path().join(".orkestra/workspace").join(format!("run_{}", run_id(&events)));
    assert!(files.contains(&"plan.md") && files.iter().any(|file| file.ends_with(".py")), "{files:?}");
    assert!(files.iter().all(|file| workspace.join(file).is_file()), "{files:?}");

    let command = said.lines().find(|line| line.contains("&& python3")).expect("the summary says how to test by hand");
    let tested = done(Command::new("sh").args(["-c", command]).current_dir(place.path()));
    assert_eq!(tested.code, 0, "{tested:?}");
    assert!(tested.err.contains("\nOK"), "tests were run: {tested:?}");

    for part in ["no AI", "sandbox: local, as given by --sandbox", "completed in", "plan.md"] {
        assert!(said.contains(part), "{part:?} is printed: {said}");
    }
    assert_no_call_twice(&place.calls());
}

#[test]
fn piped_output_is_lines() {
    let place = Place::new();
    let arguments = [&["run", "Build a shop", "--tasks", "backend", "--project", "my-shop"], &LOCAL_DEMO[..]].concat();
    let done = place.good(&arguments);
    let body = done.out.split("\nRun ").next().unwrap_or_default();
    for part in [
        " run        ",
        " planner    started, attempt 1",
        " backend    wrote backend/service.py (",
        " backend    VALIDATION FAILED on attempt 1: validation_failure",
        "   failed test: ",
        " backend    started, attempt 2",
        " run        completed, ",
    ] {
        assert!(body.contains(part), "{part:?}: {body}");
    }
    assert!(!body.contains('\u{1b}'), "no colours in a pipe");
    assert!(!body.contains(" frontend   started"), "it was not selected");
    assert!(place.path().join(".orkestra/workspace/project_my-shop/plan.md").is_file());

    // The same project again: the same workspace, another run.
    let again = place.good(&arguments);
    assert!(again.out.contains("project_my-shop"), "{again:?}");
    assert_eq!(place.good(&["ls"]).out.lines().filter(|line| line.contains("[my-shop]")).count(), 2);
}
