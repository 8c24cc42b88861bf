//! Runs that end before their nodes are done.

use orkestra_core::kernel::{InputKind, NodeStatus, Outcome, RunStatus, Work, agenda, wake_at};
use orkestra_core::model::{Failure, NodeId};

use super::scene::{
    Node, RECOVER, Scene, TICK, asks, await_signal, cancel, done, emit, fails, gate, name, signal, sleep, task,
};

#[test]
fn waiting_nodes_end_at_once() {
    let mut scene = Scene::of([gate("g", "go"), gate("h", "go").within(50), task("a").after(&["g"])]);
    scene.at(5).then(
        cancel("why"),
        ["stop because why, grace until 10005", "g cancelled", "h cancelled", "run cancelled: why"],
    );
    assert_eq!(scene.state().outcome(), Some(&Outcome::Cancelled("why".into())));
    assert_eq!((scene.node("a").status, wake_at(scene.state())), (NodeStatus::Cancelled, None));
}

#[test]
fn a_backoff_ends_at_once() {
    Scene::of([task("a").backs_off(2, 50)])
        .then(fails("a#1"), ["a#1 failed (error), again at 50"])
        .then(cancel("why"), ["stop because why, grace until 10000", "run cancelled: why"]);
}

#[test]
fn running_attempts_are_asked_to_stop_and_get_time() {
    let mut scene = Scene::of([task("a"), task("b"), gate("g", "go"), task("c").after(&["a"])]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "g cancelled"]);
    let asked = [0, 1].map(|node| Work::AskToStop { node: NodeId(node), attempt: 1 });
    assert_eq!(agenda(scene.state()).collect::<Vec<_>>(), asked);
    scene.rejects(cancel("again"), "the run is stopping");
    scene.then(done("a#1", "1"), ["a completed 1"]).at(9999).then(TICK, []);
    let cancelled = Failure::permanent("cancelled", "asked to");
    let ended = InputKind::AttemptEnded { node: name("b"), attempt: 1, result: Err(cancelled) };
    scene.then(ended, ["b cancelled", "run cancelled: why"]);
    assert_eq!(scene.state().status(), RunStatus::Cancelled);
}

#[test]
fn running_attempts_are_given_up_after_the_grace() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.at(10_000).then(TICK, ["a cancelled", "b cancelled", "run cancelled: why"]);
}

#[test]
fn a_time_out_in_the_grace_ends_the_attempt() {
    let mut scene = Scene::of([task("a").within(50).tries(9)]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.at(50).then(TICK, ["a cancelled", "run cancelled: why"]);
}

#[test]
fn no_retry_while_stopping() {
    Scene::of([task("a").tries(9)])
        .then(cancel("why"), ["stop because why, grace until 10000"])
        .then(fails("a#1"), ["a cancelled", "run cancelled: why"]);
}

#[test]
fn tasks_may_keep_waiting_while_they_stop() {
    let mut scene = Scene::of([task("a")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(asks("a#1", sleep("s", 10)), ["a/s sleeps until 10"]).at(10).then(TICK, ["a/s woke"]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]);
    scene.then(signal("go", "1"), ["signal go 1", "a/k took go"]);
    scene.then(asks("a#1", emit("bye", "1")), ["a emitted bye 1"]);
}

#[test]
fn cancelling_a_failing_run_is_refused() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "stop because a failed, grace until 10000"]);
    scene.rejects(cancel("why"), "the run is stopping");
    scene.then(RECOVER, ["recovered", "b cancelled", "run failed at a (error)"]);
}
