//! Trouble outside is not the agent's: the trial does not count, and the benchmark goes on when the trouble is over.

use orkestra_bench::task::Suite;

use super::benchmark::{has_docker, is_solved, read_result, trials};
use super::benchmark_endpoint::{Endpoint, url};
use super::benchmark_process::Running;
use super::support::Place;

fn arguments(url: &str) -> Vec<&str> {
    vec!["benchmark", "--base-url", url, "--model", "scripted", "--tasks", "hello_world", "--out", "out"]
}

/// Asserts that the one trial is solved, and that nothing of the trouble before counts.
fn assert_solved(place: &Place) {
    let result = read_result(&place.path().join("out"));
    let [(_, trial)] = trials(&result)[..] else { panic!("one trial: {result:#}") };
    assert!(is_solved(trial), "{trial:#}");
    assert_eq!((&trial["restarts"], &trial["ending"]["ending"]), (&0.into(), &"finished".into()), "{trial:#}");
    // One attempt of each agent.
    assert_eq!(trial["attempts"], 4, "{trial:#}");
    let timeline = trial["timeline"].to_string();
    assert!(!timeline.contains("not available"), "{timeline}");
}

#[test]
fn a_model_that_cannot_be_reached_is_waited_for() {
    if !has_docker() {
        return;
    }
    let (place, port) = (Place::new(), Endpoint::free_port());
    let url = url(port);
    let mut running = Running::start(&place, &arguments(&url));
    running.until(&["hello_world 1: could not be worked on, does not count and is tried again"]);
    let _endpoint = Endpoint::start_at(port, &Suite::built_in().expect("valid"));
    let done = running.finish();
    assert_eq!(done.code, 0, "{done:?}");
    assert_solved(&place);
}

#[test]
fn a_key_that_is_refused_pauses_the_benchmark() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let endpoint = Endpoint::start(&Suite::built_in().expect("valid"));
    endpoint.refuse_key(true);
    let url = endpoint.url();
    let done = place.done(&arguments(&url));
    assert_eq!(done.code, 1, "{done:?}");
    for text in ["hello_world.1: planner: ", "refuses the key", "Incorrect API key", "aios benchmark resume out"] {
        assert!(done.err.contains(text), "{text}: {done:?}");
    }
    assert_eq!(endpoint.asked().len(), 1, "waiting does not help: {:?}", endpoint.asked());
    assert!(trials(&read_result(&place.path().join("out"))).is_empty(), "no trial counts");
    // The key is still wrong: the same message.
    let again = place.done(&["benchmark", "resume", "out"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(again.err.contains("refuses the key"), "{again:?}");

    endpoint.refuse_key(false);
    place.good(&["benchmark", "resume", "out"]);
    assert_solved(&place);
}

#[test]
fn time_without_a_model_is_not_the_agents() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let url = url(Endpoint::free_port());
    let mut running = Running::start(&place, &[&arguments(&url)[..], &["--time-limit", "3"]].concat());
    running.until(&["planner: the model could not be reached for the last"]);
    running.interrupt();
    let done = running.finish();
    assert_eq!(done.code, 130, "{done:?}");
    assert!(trials(&read_result(&place.path().join("out"))).is_empty(), "{done:?}");
}

#[test]
fn what_an_agent_did_within_its_limits_is_graded() {
    if !has_docker() {
        return;
    }
    let endpoint = Endpoint::start(&Suite::built_in().expect("valid"));
    let url = endpoint.url();
    // The model takes too long; each call takes 120 tokens.
    endpoint.hold("hello_world");
    for (limit, ending) in [(["--time-limit", "4"], "out_of_time"), (["--token-limit", "200"], "out_of_tokens")] {
        let place = Place::new();
        place.good(&[&arguments(&url)[..], &limit].concat());
        let result = read_result(&place.path().join("out"));
        let [(_, trial)] = trials(&result)[..] else { panic!("one trial: {result:#}") };
        assert_eq!(trial["ending"]["ending"], ending, "{trial:#}");
        let tests = trial["strict"]["tests"].as_array().map_or(0, Vec::len);
        assert_eq!(tests, 4, "what exists is graded: {:#}", trial["strict"]);
    }
}
