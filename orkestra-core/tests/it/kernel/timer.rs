//! What follows from the passage of time.

use orkestra_core::kernel::{StepState, Wait, waits, wake_at};
use orkestra_core::model::Timestamp;
use orkestra_core::model::limits::TIMERS_PER_DECISION_MAX;

use super::scene::{Node, Scene, TICK, asks, cancel, done, fails, gate, json, signal, sleep, task};

#[test]
fn a_sleep_ends_when_its_time_has_come() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", sleep("k", 100)), ["a/k sleeps until 100"]);
    scene.then(asks("a#1", sleep("k", 500)), []);
    assert_eq!(waits(scene.state()), [Wait::Timer(Timestamp::from_millis(100))]);
    scene.at(99).then(TICK, []).at(100).then(TICK, ["a/k woke"]).then(TICK, []);
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("null")));
    scene.then(asks("a#1", sleep("k", 900)), []);
}

#[test]
fn a_sleep_outlives_attempts_and_ends_with_its_node() {
    let mut scene = Scene::of([task("a").backs_off(2, 50), task("b")]);
    scene.then(asks("a#1", sleep("k", 20)), ["a/k sleeps until 20"]);
    scene.then(asks("a#1", sleep("l", 70)), ["a/l sleeps until 70"]);
    scene.then(asks("b#1", sleep("k", 20)), ["b/k sleeps until 20"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 50"]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    scene.at(60).then(TICK, ["a/k woke", "a#2 started"]);
    scene.then(asks("a#2", sleep("l", 99)), []);
    scene.then(done("a#2", "1"), ["a completed 1", "run completed {\"a\":1,\"b\":2}"]);
    assert_eq!(wake_at(scene.state()), None);
}

#[test]
fn an_attempt_that_takes_too_long_fails() {
    let mut scene = Scene::of([task("a").within(100).tries(2)]);
    scene.at(100).then(TICK, ["a#1 failed (timed_out), again at 100", "a#2 started until 200"]);
    scene.rejects(done("a#1", "1"), "attempt 1 of node `a` has ended");
    scene.at(200).then(
        TICK,
        ["a#2 failed (timed_out), given up", "stop because a failed, grace until 10200", "run failed at a (timed_out)"],
    );
}

#[test]
fn an_attempt_that_ends_in_time_leaves_no_timer() {
    let mut scene = Scene::of([task("a").within(100), task("b").after(&["a"])]);
    scene.then(done("a#1", "1"), ["a completed 1", "b#1 started"]).at(100).then(TICK, []);
    assert_eq!(scene.state().next_timer(), None);
}

#[test]
fn a_gate_that_waits_too_long_fails_the_run() {
    let mut scene = Scene::of([gate("g", "go").within(100), task("a")]);
    scene
        .at(100)
        .then(TICK, ["g#1 failed (timed_out), given up", "stop because g failed, grace until 10100"])
        .then(signal("go", "1"), ["signal go 1"])
        .then(done("a#1", "1"), ["a completed 1", "run failed at g (timed_out)"]);
}

#[test]
fn a_retried_gate_waits_at_the_end_of_the_queue() {
    let mut scene = Scene::of([gate("g", "go").within(100).tries(2), gate("h", "go")]);
    scene.at(100).then(TICK, ["g#1 failed (timed_out), again at 100", "g#2 started until 200"]);
    scene.then(signal("go", "1"), ["signal go 1", "h took go", "h completed 1"]);
    scene.then(signal("go", "2"), ["signal go 2", "g took go", "g completed 2", "run completed {\"g\":2,\"h\":1}"]);
}

#[test]
fn many_timers_due_at_once_are_fired_in_bounded_decisions() {
    let mut scene = Scene::of([task("a")]);
    let count = TIMERS_PER_DECISION_MAX + 1;
    for number in 0..count {
        scene.feed(asks("a#1", sleep(&format!("k{number:04}"), 10))).expect("it sleeps");
    }
    scene.at(10);
    assert_eq!(scene.feed(TICK).expect("timers fire").len(), TIMERS_PER_DECISION_MAX);
    scene.then(TICK, ["a/k0256 woke"]).then(TICK, []);
}

#[test]
fn timers_fire_in_due_order() {
    let mut scene = Scene::of([task("a"), task("b").backs_off(2, 20), task("c").within(30).tries(2)]);
    scene.then(asks("a#1", sleep("late", 25)), ["a/late sleeps until 25"]);
    scene.then(asks("a#1", sleep("early", 10)), ["a/early sleeps until 10"]);
    scene.then(fails("b#1"), ["b#1 failed (error), again at 20"]);
    scene.at(1000).then(
        TICK,
        [
            "a/early woke",
            "b#2 started",
            "a/late woke",
            "c#1 failed (timed_out), again at 1000",
            "c#2 started until 1030",
        ],
    );
}

#[test]
fn time_does_not_go_back_within_a_run() {
    let mut scene = Scene::of([task("a").within(50).tries(3), task("b").backs_off(3, 10)]);
    scene.at(40).then(fails("b#1"), ["b#1 failed (error), again at 50"]);
    scene.at(7).then(fails("a#1"), ["a#1 failed (error), again at 40", "a#2 started until 90"]);
    assert_eq!(scene.state().updated_at(), Timestamp::from_millis(40));
    scene.at(49).then(TICK, []).at(50).then(TICK, ["b#2 started"]);
    scene.at(0).then(cancel("why"), ["stop because why, grace until 10050"]);
}

#[test]
fn a_deadline_at_the_end_of_time_never_passes() {
    let mut scene = Scene::of([task("a").within(u64::MAX)]);
    scene.at(u64::MAX - 1).then(TICK, []).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
}
