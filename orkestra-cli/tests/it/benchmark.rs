//! `aios benchmark` on the suite: a model that knows the answers solves everything, the demo model gets what its files are worth.

use std::path::Path;

use orkestra_bench::task::Suite;
use serde_json::Value;

use super::benchmark_endpoint::Endpoint;
use super::support::Place;

/// What CI works on: one task of each kind. `ORKESTRA_LONG=1` takes all ten.
const SOME: &str = "hello_world,calculator,todo_api,docker_compose";

fn names() -> Vec<String> {
    let all = || Suite::built_in().expect("valid").list().map(|(name, ..)| name.to_owned()).collect();
    if std::env::var_os("ORKESTRA_LONG").is_some() { all() } else { SOME.split(',').map(str::to_owned).collect() }
}

/// Whether there is Docker with the images of the benchmark. In CI there is.
pub(crate) fn has_docker() -> bool {
    let inspect = |image: &str| std::process::Command::new("docker").args(["image", "inspect", image]).output();
    let has = |image: &str| inspect(image).is_ok_and(|output| output.status.success());
    let missing: Vec<&str> =
        ["orkestra-sandbox:latest", "orkestra-grading:latest"].into_iter().filter(|image| !has(image)).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "CI has Docker and the images {missing:?}");
    println!("SKIPPED: no Docker with the images {missing:?}");
    false
}

pub(crate) fn read_result(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("result.json")).expect("it was written");
    serde_json::from_str(&text).expect("JSON")
}

/// The trials of a result: the name of the task, and the trial.
pub(crate) fn trials(result: &Value) -> Vec<(&str, &Value)> {
    let mut found = Vec::new();
    for task in result["tasks"].as_array().expect("an array") {
        let name = task["name"].as_str().expect("a name");
        found.extend(task["trials"].as_array().expect("an array").iter().map(|trial| (name, trial)));
    }
    found
}

pub(crate) fn is_solved(trial: &Value) -> bool {
    let tests = trial["strict"]["tests"].as_array().expect("an array");
    trial["strict"]["problem"].is_null() && !tests.is_empty() && tests.iter().all(|test| test["passed"] == true)
}

/// The documented score of a trial.
fn documented(trial: &Value) -> f64 {
    let checks = trial["documented"]["checks"].as_array().expect("an array");
    checks.iter().filter(|check| check["passed"] == true).count() as f64 * 10.0 / checks.len() as f64
}

#[test]
fn a_model_that_knows_the_answers_solves_every_task() {
    if !has_docker() {
        return;
    }
    let (place, names) = (Place::new(), names());
    let endpoint = Endpoint::start(&Suite::built_in().expect("valid"));
    let (url, tasks) = (endpoint.url(), names.join(","));
    let model = ["--base-url", &url, "--model", "scripted"];
    let done = place.good(&[&["benchmark", "--tasks", &tasks, "--jobs", "2", "--out", "out"], &model[..]].concat());
    let out = place.path().join("out");
    let result = read_result(&out);
    let trials = trials(&result);
    assert_eq!(trials.iter().map(|(name, _)| *name).collect::<Vec<_>>(), names, "in the order of the suite");
    for (name, trial) in &trials {
        assert!(is_solved(trial), "{name}: {:#}", trial["strict"]);
        assert_eq!(documented(trial), 10.0, "{name}: {:#}", trial["documented"]);
        assert_eq!(trial["restarts"], 0, "{name}");
        let calls = trial["model_calls"].as_u64().expect("known");
        assert_eq!(
            (trial["input_tokens"].as_u64(), trial["output_tokens"].as_u64()),
            (Some(calls * 100), Some(calls * 20))
        );
    }
    let count = names.len();
    assert!(done.out.contains("grade: S (documented: 100"), "{}", done.out);
    assert!(done.out.contains(&format!("strict: {count} of {count} solved")), "{}", done.out);
    let junit = std::fs::read_to_string(out.join("junit.xml")).expect("it was written");
    let html = std::fs::read_to_string(out.join("report.html")).expect("it was written");
    let tests: usize = trials.iter().map(|(_, trial)| trial["strict"]["tests"].as_array().map_or(0, Vec::len)).sum();
    let id = result["id"].as_str().expect("an id");
    assert!(junit.contains(&format!(r#"<testsuites name="{id}" tests="{tests}" failures="0""#)), "{junit}");
    for name in &names {
        assert!(junit.contains(&format!(r#"<testsuite name="{name}""#)) && html.contains(name.as_str()), "{name}");
    }
    // What was printed and written can be had again.
    let again = place.good(&["benchmark", "report", "out"]).out;
    assert!(done.out.ends_with(&again), "{again}");
    let json: Value = serde_json::from_str(&place.good(&["benchmark", "report", "out", "--json"]).out).expect("JSON");
    assert_eq!(json, result);
    place.good(&["benchmark", "compare", "out", "out/result.json"]);
}

#[test]
fn the_demo_model_says_first_that_it_is_no_ai() {
    if !has_docker() {
        return;
    }
    let (place, names) = (Place::new(), names());
    let tasks = names.join(",");
    let done = place.good(&["benchmark", "--model", "demo", "--tasks", &tasks, "--jobs", "2", "--out", "out"]);
    assert!(done.err.starts_with("demo: no AI"), "{done:?}");
    let table = place.good(&["benchmark", "report", "out"]).out;
    assert!(table.trim_start().starts_with("demo: no AI\n"), "{table}");
    assert!(done.out.ends_with(&table), "{done:?}");
    let html = std::fs::read_to_string(place.path().join("out/report.html")).expect("it was written");
    assert!(html.contains("demo: no AI"));
    let result = read_result(&place.path().join("out"));
    assert_eq!(result["agent"]["notice"], "demo: no AI");
    let trials = trials(&result);
    assert_eq!(trials.len(), names.len());
    for (name, trial) in trials {
        let row = table.lines().find(|line| line.starts_with(&format!("{name} "))).expect("a row");
        let score = documented(trial);
        assert!(row.contains(&format!(" {score:.1} ")), "{row}: {score}");
        let solved = if is_solved(trial) { "1/1 solved" } else { "0/1 solved" };
        assert!(row.contains(solved), "{row}: {:#}", trial["strict"]);
    }
}
