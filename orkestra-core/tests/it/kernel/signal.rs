//! Signals and who gets them.

use orkestra_core::kernel::StepState;
use orkestra_core::model::limits::SIGNALS_BUFFERED_MAX;

use super::scene::{Node, Scene, TICK, asks, await_signal, done, fails, gate, json, signal, task};

#[test]
fn a_waiting_gate_opens_and_what_follows_starts() {
    Scene::of([gate("g", "go"), task("a").after(&["g"])])
        .then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1", "a#1 started"]);
}

#[test]
fn a_signal_before_its_gate_is_kept() {
    let mut scene = Scene::of([task("a"), gate("g", "go").after(&["a"]), gate("h", "go").after(&["g"])]);
    scene.then(signal("go", "1"), ["signal go 1"]).then(signal("go", "2"), ["signal go 2"]);
    scene.then(
        done("a#1", "0"),
        [
            "a completed 0",
            "g#1 started",
            "g took go",
            "g completed 1",
            "h#1 started",
            "h took go",
            "h completed 2",
            "run completed 2",
        ],
    );
}

#[test]
fn two_waiters_are_served_in_the_order_in_which_they_began() {
    let mut scene = Scene::of([task("a"), gate("g", "go"), gate("h", "go")]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    scene.then(signal("go", "2"), ["signal go 2", "h took go", "h completed 2"]);
    scene.then(signal("go", "3"), ["signal go 3", "a/k took go"]);
    scene.then(signal("go", "4"), ["signal go 4"]);
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("3")));
    scene.then(asks("a#1", await_signal("k2", "go")), ["a/k2 awaits go", "a/k2 took go"]);
    assert_eq!(scene.node("a").steps["k2"], StepState::Done(json("4")));
}

#[test]
fn asking_again_for_a_wait_keeps_its_place() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(asks("b#1", await_signal("k", "go")), ["b/k awaits go"]);
    scene.then(asks("a#1", await_signal("k", "go")), []);
    scene.then(signal("go", "1"), ["signal go 1", "a/k took go"]);
    scene.then(asks("a#1", await_signal("k", "go")), []);
    scene.then(signal("go", "2"), ["signal go 2", "b/k took go"]);
}

#[test]
fn an_attempt_that_is_over_eats_no_signal() {
    let mut scene = Scene::of([task("a").tries(2), task("b")]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    assert!(scene.node("a").steps.is_empty());
    scene.then(signal("go", "1"), ["signal go 1"]);
    scene.then(asks("b#1", await_signal("k", "go")), ["b/k awaits go", "b/k took go"]);
    scene.then(asks("a#2", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(done("a#2", "1"), ["a completed 1"]);
    scene.then(signal("go", "2"), ["signal go 2"]);
}

#[test]
fn signals_that_nobody_reads_have_a_limit() {
    let mut scene = flooded();
    scene.rejects(signal("noise", "1"), "10000 signals wait to be read already");
}

/// Found by reading: a flood of one signal kept every other one out, so that a waiting gate could never open again.
#[test]
fn a_flood_of_one_signal_does_not_lock_out_those_that_are_waited_for() {
    let mut scene = flooded();
    scene.rejects(signal("later", "1"), "10000 signals wait to be read already");
    scene.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    scene.then(asks("a#1", await_signal("k", "noise")), ["a/k awaits noise", "a/k took noise"]);
    scene.then(signal("later", "1"), ["signal later 1"]);
}

/// A run whose buffer is full; a gate waits for `go`. Fed without the checks of every input, which cost too much here.
fn flooded() -> Scene {
    use orkestra_core::kernel::Event;
    use orkestra_core::kernel::apply;
    use orkestra_core::model::Timestamp;

    let mut scene = Scene::of([task("a"), gate("g", "go")]);
    let noise = Event::SignalReceived { signal: "noise".try_into().expect("a name"), payload: json("1") };
    for _ in 0..SIGNALS_BUFFERED_MAX {
        apply(&scene.run, &mut scene.state, Timestamp::ZERO, &noise).expect("a signal may come any time");
    }
    scene.adopt(vec![noise; SIGNALS_BUFFERED_MAX]);
    scene
}

/// Found by reading: a gate that timed out and waited for its retry did not see the signal that came meanwhile; it
/// lay there unread while the gate waited for ever.
#[test]
fn a_signal_that_comes_while_a_gate_waits_for_its_retry_is_not_lost() {
    let mut scene = Scene::of([gate("g", "go").within(100).backs_off(2, 50)]);
    scene.at(100).then(TICK, ["g#1 failed (timed_out), again at 150"]);
    scene.at(120).then(signal("go", "1"), ["signal go 1"]);
    scene.at(150).then(TICK, ["g#2 started until 250", "g took go", "g completed 1", "run completed 1"]);
}
