//! Steps: recorded once, requested often.

use orkestra_core::kernel::StepState;
use orkestra_core::model::Growth;
use orkestra_core::model::limits::STEP_KEY_BYTES_MAX;

use super::asks::publish;
use super::scene::{
    Node, Scene, TICK, asks, await_signal, cancel, done, emit, end_step, fail_step, fails, grow, json, signal, sleep,
    start_step, task,
};

#[test]
fn a_step_is_remembered_once() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", start_step("k")), ["a/k started"]);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    for again in [start_step("k"), end_step("k", "2"), fail_step("k"), sleep("k", 9), await_signal("k", "go")] {
        scene.then(asks("a#1", again), []);
    }
    scene.then(asks("a#1", grow("k", Growth::new().with_node(task("b")))), []);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(asks("a#2", end_step("k", "3")), []);
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("1")));
}

#[test]
fn a_final_failure_is_remembered_too() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", fail_step("k")), ["a/k failed (refused)"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(asks("a#2", end_step("k", "1")), []);
    assert!(scene.node("a").steps["k"].result().is_some_and(|result| result.is_err()));
}

#[test]
fn keys_belong_to_their_node() {
    Scene::of([task("a"), task("b")])
        .then(asks("a#1", end_step("k", "1")), ["a/k = 1"])
        .then(asks("b#1", end_step("k", "2")), ["b/k = 2"]);
}

#[test]
fn a_step_started_in_a_failed_attempt_is_known_to_the_next() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", start_step("k")), ["a/k started"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    assert_eq!(scene.node("a").steps["k"], StepState::Started);
    scene.then(asks("a#2", fail_step("k")), ["a/k failed (refused)"]);
}

#[test]
fn keys_have_a_limit() {
    let (fits, too_long) = ("x".repeat(STEP_KEY_BYTES_MAX), "x".repeat(STEP_KEY_BYTES_MAX + 1));
    let mut scene = Scene::of([task("a")]);
    for request in [start_step(&too_long), end_step(&too_long, "1"), fail_step(&too_long), sleep(&too_long, 1)] {
        scene.rejects(asks("a#1", request), "the key of a step is too long: at most 512 bytes are allowed");
    }
    scene.rejects(
        asks("a#1", await_signal(&too_long, "go")),
        "the key of a step is too long: at most 512 bytes are allowed",
    );
    scene.rejects(
        asks("a#1", grow(&too_long, Growth::new())),
        "the key of a step is too long: at most 512 bytes are allowed",
    );
    scene.feed(asks("a#1", end_step(&fits, "1"))).expect("the longest key");
}

#[test]
fn a_value_is_published_once_for_each_key_of_a_call() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(asks("a#1", publish("k", "phase", "1")), ["a/k published phase 1"]);
    scene.then(asks("a#1", publish("k", "phase", "1")), []);
    scene.then(asks("b#1", publish("k", "phase", "2")), ["b/k published phase 2"]);
    scene.then(asks("a#1", publish("l", "other", "3")), ["a/l published other 3"]);
    let scene = Scene::replay(&scene.journal, 9);
    let published: Vec<_> = scene.state().published().iter().map(|(key, value)| format!("{key} {value:?}")).collect();
    assert_eq!(published, ["other 3", "phase 2"]);
}

#[test]
fn reports_are_kept_in_order() {
    Scene::of([task("a")])
        .then(asks("a#1", emit("token", "\"x\"")), ["a emitted token \"x\""])
        .then(asks("a#1", emit("token", "\"x\"")), ["a emitted token \"x\""]);
}

#[test]
fn a_stopping_run_still_remembers_steps() {
    let mut scene = Scene::of([task("a")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    scene.then(done("a#1", "1"), ["a completed 1", "run cancelled: why"]);
}

/// Found by reading: a step under the key of a wait replaced the wait and left its timer behind; when the timer came
/// due, the run failed on every tick. And a wait under the key of a started step was never recorded: the task waited
/// for ever.
#[test]
fn a_key_is_used_for_one_thing() {
    let growth = || grow("k", Growth::new().with_node(task("b")));
    let taken = |what| format!("key `k` of node `a` is already in use for {what}; use another key");
    for (first, what, others) in [
        (start_step("k"), "a step", vec![sleep("k", 5), await_signal("k", "go"), growth()]),
        (sleep("k", 7), "a timer", vec![start_step("k"), end_step("k", "1"), await_signal("k", "go"), growth()]),
        (
            await_signal("k", "go"),
            "a wait for signal `go`",
            vec![start_step("k"), fail_step("k"), sleep("k", 5), await_signal("k", "other"), growth()],
        ),
    ] {
        let mut scene = Scene::of([task("a")]);
        scene.feed(asks("a#1", first)).expect("the key is free");
        for other in others {
            scene.rejects(asks("a#1", other), &taken(what));
        }
        scene.at(10).feed(TICK).expect("the timer fires, if there is one");
        scene.feed(signal("go", "1")).expect("the signal comes in");
    }
}
