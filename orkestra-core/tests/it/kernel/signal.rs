//! Signals, and which waiter gets them.

use orkestra_core::kernel::StepState;
use orkestra_core::model::limits::SIGNALS_BUFFERED_MAX;

use super::scene::{
    Node, Scene, TICK, asks, await_signal, done, fails, gate, json, let_go, signal, sleep, start_step, task, until,
};

#[test]
fn a_waiting_gate_opens_and_the_next_node_starts() {
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
fn waiters_are_served_in_order() {
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
fn requesting_a_wait_again_keeps_its_place() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(asks("b#1", await_signal("k", "go")), ["b/k awaits go"]);
    scene.then(asks("a#1", await_signal("k", "go")), []);
    scene.then(signal("go", "1"), ["signal go 1", "a/k took go"]);
    scene.then(asks("a#1", await_signal("k", "go")), []);
    scene.then(signal("go", "2"), ["signal go 2", "b/k took go"]);
}

#[test]
fn an_ended_attempt_consumes_no_signal() {
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
fn unread_signals_have_a_limit() {
    let mut scene = flooded();
    scene.rejects(signal("noise", "1"), "the run has 10000 unread signals, the maximum");
}

/// Found by reading: a flood of one signal blocked all others, so that a waiting gate could never open.
#[test]
fn a_flood_of_one_signal_does_not_block_awaited_signals() {
    let mut scene = flooded();
    scene.rejects(signal("later", "1"), "the run has 10000 unread signals, the maximum");
    scene.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    scene.then(asks("a#1", await_signal("k", "noise")), ["a/k awaits noise", "a/k took noise"]);
    scene.then(signal("later", "1"), ["signal later 1"]);
}

/// A run whose buffer is full; a gate waits for `go`. Built without the checks of every input, which would take too
/// long here.
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

/// Found by reading: a gate that timed out and waited for its retry did not see the signal that arrived meanwhile; the
/// signal stayed unread while the gate waited for ever.
#[test]
fn a_signal_during_the_backoff_of_a_gate_is_not_lost() {
    let mut scene = Scene::of([gate("g", "go").within(100).backs_off(2, 50)]);
    scene.at(100).then(TICK, ["g#1 failed (timed_out), again at 150"]);
    scene.at(120).then(signal("go", "1"), ["signal go 1"]);
    scene.at(150).then(TICK, ["g#2 started until 250", "g took go", "g completed 1", "run completed 1"]);
}

#[test]
fn a_dropped_wait_receives_nothing_and_the_next_one_does() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(asks("a#1", let_go("k", false)), ["a/k was let go"]);
    scene.then(asks("a#1", let_go("k", false)), []);
    scene.then(signal("go", "1"), ["signal go 1"]);
    scene.then(asks("a#1", await_signal("k2", "go")), ["a/k2 awaits go", "a/k2 took go"]);
    assert_eq!(scene.node("a").steps["k"], StepState::LetGo);
}

#[test]
fn an_untaken_signal_returns_to_its_place_in_the_queue() {
    let mut scene = Scene::of([task("a"), task("b"), gate("g", "go").after(&["b"])]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(asks("a#1", await_signal("l", "go")), ["a/l awaits go"]);
    scene.then(signal("go", "1"), ["signal go 1", "a/k took go"]);
    scene.then(signal("go", "2"), ["signal go 2", "a/l took go"]);
    scene.then(signal("go", "3"), ["signal go 3"]);
    scene.then(asks("a#1", let_go("l", false)), ["a/l was let go"]);
    scene.then(asks("a#1", let_go("k", false)), ["a/k was let go"]);
    scene.then(asks("b#1", await_signal("k", "go")), ["b/k awaits go", "b/k took go"]);
    assert_eq!(scene.node("b").steps["k"], StepState::Done(json("1")));
    scene.then(done("b#1", "0"), ["b completed 0", "g#1 started", "g took go", "g completed 2"]);
}

#[test]
fn a_returned_signal_goes_to_the_next_waiter() {
    let mut scene = Scene::of([task("a"), gate("g", "go")]);
    scene.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(asks("a#1", await_signal("l", "go")), ["a/l awaits go"]);
    scene.then(signal("go", "2"), ["signal go 2", "a/k took go"]);
    scene.then(asks("a#1", let_go("k", false)), ["a/k was let go", "a/l took go"]);
    assert_eq!(scene.node("a").steps["l"], StepState::Done(json("2")));
}

#[test]
fn a_wait_ends_at_its_limit_and_a_later_attempt_waits_anew() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", until(await_signal("k", "go"), 5)), ["a/k awaits go until 5"]);
    scene.then(asks("a#1", sleep("s", 9)), ["a/s sleeps until 9"]);
    scene.then(asks("a#1", let_go("s", false)), ["a/s was let go"]);
    scene.at(5).then(TICK, ["a/k was not in time"]);
    scene.then(signal("go", "1"), ["signal go 1"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 5", "a#2 started"]);
    assert!(matches!(&scene.node("a").steps["k"], StepState::Failed(failure) if failure.kind == "timed_out"));
    scene.then(asks("a#2", sleep("s", 9)), ["a/s sleeps until 9"]);
}

#[test]
fn a_dropped_at_most_once_step_is_withdrawn_or_interrupted() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", start_step("k")), ["a/k started"]);
    scene.then(asks("a#1", let_go("k", false)), ["a/k did not begin"]);
    scene.then(asks("a#1", start_step("k")), ["a/k started"]);
    scene.then(asks("a#1", let_go("k", true)), ["a/k failed (interrupted)"]);
    scene.then(asks("a#1", start_step("k")), []);
}
