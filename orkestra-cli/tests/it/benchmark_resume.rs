//! A benchmark whose process dies or is asked to stop: what was graded is kept, what was under way continues.

use std::process::Command;

use orkestra_bench::task::Suite;
use serde_json::Value;
use tokio::time::Instant;

use super::benchmark::{has_docker, is_solved, read_result, trials};
use super::benchmark_endpoint::{Asked, Endpoint};
use super::benchmark_process::Running;
use super::support::Place;

/// What a crash may add to the time of a trial: its time is written down every two seconds.
const SLACK_S: f64 = 2.0;

fn start(place: &Place, endpoint: &Endpoint, more: &[&str]) -> Running {
    let url = endpoint.url();
    let arguments = ["benchmark", "--base-url", &url, "--model", "scripted", "--tasks", "hello_world,calculator"];
    Running::start(place, &[&arguments[..], &["--jobs", "2", "--out", "out"], more].concat())
}

/// The containers that have a directory below `place` mounted.
fn containers(place: &Place) -> Vec<String> {
    let format = "{{.Names}} {{.Mounts}}";
    let arguments = ["ps", "-a", "--no-trunc", "--filter", "label=orkestra.run", "--format", format];
    let output = Command::new("docker").args(arguments).output().expect("docker runs");
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let path = place.path().to_str().expect("it is UTF-8").to_owned();
    text.lines().filter(|line| line.contains(&path)).map(str::to_owned).collect()
}

fn of_task<'asked>(asked: &'asked [Asked], task: &str) -> Vec<&'asked Asked> {
    asked.iter().filter(|asked| asked.task == task).collect()
}

fn solved(result: &Value) -> usize {
    trials(result).iter().filter(|(_, trial)| is_solved(trial)).count()
}

#[test]
fn a_benchmark_that_was_killed_is_resumed() {
    if !has_docker() {
        return;
    }
    let (place, endpoint) = (Place::new(), Endpoint::start(&Suite::built_in().expect("valid")));
    endpoint.hold("calculator");
    let begun = Instant::now();
    let mut running = start(&place, &endpoint, &["--trials", "2"]);
    running.until(&["hello_world 1: solved", "hello_world 2: solved"]);
    endpoint.wait_for("calculator", 1, 2);
    assert_eq!(containers(&place).len(), 2, "each trial under way has a sandbox");

    // Another process cannot work on the same benchmark.
    let second = place.done(&["benchmark", "resume", "out"]);
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("out") && second.err.contains("process"), "{second:?}");
    running.kill();
    let mut worked_s = begun.elapsed().as_secs_f64();
    let before = endpoint.asked();
    endpoint.release();
    // A benchmark is not started over another one; and what is graded can be read meanwhile.
    let refused = place.done(&["benchmark", "--model", "demo", "--out", "out"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(refused.err.contains("aios benchmark resume out"), "{refused:?}");
    assert_eq!(solved(&read_result(&place.path().join("out"))), 2);

    let begun = Instant::now();
    place.good(&["benchmark", "resume", "out"]);
    worked_s += begun.elapsed().as_secs_f64();
    let result = read_result(&place.path().join("out"));
    assert_eq!(solved(&result), 4, "{result:#}");
    assert!(!result["ended_at"].is_null());
    let after = endpoint.asked();
    assert_eq!(
        of_task(&after, "hello_world"),
        of_task(&before, "hello_world"),
        "graded trials are not worked on again"
    );
    let planned = |asked: &[Asked]| asked.iter().filter(|asked| asked.role == "planner").count();
    assert_eq!(planned(&after), planned(&before), "the same runs continue: nothing is planned again");
    for (name, trial) in trials(&result) {
        assert_eq!(trial["restarts"], u64::from(name == "calculator"), "{name}: {trial:#}");
        let seconds = trial["seconds"].as_f64().expect("a number");
        assert!(seconds <= worked_s + SLACK_S, "{name}: {seconds} s of {worked_s} s");
    }
    assert_eq!(containers(&place), Vec::<String>::new());
}

#[test]
fn a_benchmark_is_interrupted_and_resumed() {
    if !has_docker() {
        return;
    }
    let (place, endpoint) = (Place::new(), Endpoint::start(&Suite::built_in().expect("valid")));
    endpoint.hold("calculator");
    let mut running = start(&place, &endpoint, &[]);
    running.until(&["hello_world 1: solved"]);
    endpoint.wait_for("calculator", 1, 1);
    running.interrupt();
    let done = running.finish();
    assert_eq!(done.code, 130, "{done:?}");
    assert!(done.err.contains("continue with: aios benchmark resume out"), "{done:?}");
    assert!(done.out.contains("INCOMPLETE: 1 of 2 trials"), "{done:?}");
    let out = place.path().join("out");
    assert!(out.join("report.html").is_file() && out.join("junit.xml").is_file());
    let result = read_result(&out);
    assert!(result["ended_at"].is_null());
    assert_eq!((trials(&result).len(), solved(&result)), (1, 1));
    assert_eq!(containers(&place), Vec::<String>::new());

    endpoint.release();
    let done = place.good(&["benchmark", "resume", "out", "--json"]);
    let printed: Value = serde_json::from_str(&done.out).expect("one JSON object");
    assert_eq!(solved(&printed), 2, "{printed:#}");
    assert_eq!(printed, read_result(&out));
    // To resume what has ended only reports on it.
    let asked = endpoint.asked().len();
    let again = place.good(&["benchmark", "resume", "out", "--json"]);
    assert_eq!((again.out, endpoint.asked().len()), (done.out, asked));
}

#[test]
fn a_trial_whose_process_dies_again_and_again_waits_for_a_person() {
    if !has_docker() {
        return;
    }
    let (place, endpoint) = (Place::new(), Endpoint::start(&Suite::built_in().expect("valid")));
    endpoint.hold("hello_world");
    let url = endpoint.url();
    let first = ["benchmark", "--base-url", &url, "--model", "scripted", "--tasks", "hello_world", "--out", "out"];
    for process in 1..=3 {
        let arguments = if process == 1 { &first[..] } else { &["benchmark", "resume", "out"] };
        let running = Running::start(&place, arguments);
        endpoint.wait_for("hello_world", 1, process);
        running.kill();
    }
    // What the agent runs may be the cause, or this machine: the trial does not count until somebody has looked.
    let done = place.done(&["benchmark", "resume", "out"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("its process was lost 3 times") && done.err.contains("resume out"), "{done:?}");
    assert!(trials(&read_result(&place.path().join("out"))).is_empty());
    endpoint.release();
    place.good(&["benchmark", "resume", "out"]);
    let result = read_result(&place.path().join("out"));
    let [(_, trial)] = trials(&result)[..] else { panic!("one trial: {result:#}") };
    assert!(is_solved(trial), "{:#}", trial["strict"]);
    assert_eq!(trial["restarts"], 3);
}
