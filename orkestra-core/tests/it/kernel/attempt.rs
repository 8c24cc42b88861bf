//! How attempts end, and what follows.

use orkestra_core::kernel::{InputKind, NodeStatus, Outcome, RunStatus};
use orkestra_core::model::{Failure, Retry};

use super::scene::{Node, RECOVER, Scene, TICK, asks, done, emit, fails, fails_for_good, gate, json, name, task};

#[test]
fn completing_a_node_starts_the_next_in_the_same_decision() {
    let mut scene =
        Scene::of([task("a"), task("b").after(&["a"]), task("c").after(&["a"]), task("d").after(&["b", "c"])]);
    scene
        .then(done("a#1", "1"), ["a completed 1", "b#1 started", "c#1 started"])
        .then(done("c#1", "3"), ["c completed 3"])
        .then(done("b#1", "2"), ["b completed 2", "d#1 started"])
        .then(done("d#1", "4"), ["d completed 4", "run completed 4"]);
    assert_eq!(scene.state().outcome(), Some(&Outcome::Completed(json("4"))));
}

#[test]
fn the_output_of_several_last_nodes_is_an_object() {
    Scene::of([task("b"), task("a")])
        .then(done("a#1", "1"), ["a completed 1"])
        .then(done("b#1", "null"), ["b completed null", "run completed {\"a\":1,\"b\":null}"]);
}

#[test]
fn an_immediate_retry_starts_in_the_decision_that_failed() {
    let mut scene = Scene::of([task("a").tries(2).within(50)]);
    scene.at(10).then(fails("a#1"), ["a#1 failed (error), again at 10", "a#2 started until 60"]);
    assert_eq!(scene.node("a").last_failure, Some(Failure::retryable("error", "no luck")));
    scene.at(59).then(TICK, []).then(done("a#2", "1"), ["a completed 1", "run completed 1"]);
}

#[test]
fn a_delayed_retry_waits_for_its_time() {
    let mut scene = Scene::of([task("a").backs_off(3, 1000)]);
    scene.at(5).then(fails("a#1"), ["a#1 failed (error), again at 1005"]);
    assert_eq!(scene.node("a").status, NodeStatus::Backoff);
    scene.at(1004).then(TICK, []).at(1005).then(TICK, ["a#2 started"]);
    scene.then(fails("a#2"), ["a#2 failed (error), again at 3005"]).at(9999).then(TICK, ["a#3 started"]);
    scene.then(
        fails("a#3"),
        ["a#3 failed (error), given up", "stop because a failed, grace until 19999", "run failed at a (error)"],
    );
    assert_eq!(scene.state().status(), RunStatus::Failed);
}

#[test]
fn chance_shortens_a_delay() {
    let retry = Retry { initial_ms: 1000, jitter: 0.5, ..Retry::immediate(9) };
    Scene::of([task("a").with_retry(retry)])
        .chance(1.0)
        .then(fails("a#1"), ["a#1 failed (error), again at 500"])
        .at(500)
        .then(TICK, ["a#2 started"])
        .chance(0.5)
        .then(fails("a#2"), ["a#2 failed (error), again at 1250"]);
}

#[test]
fn a_permanent_failure_is_not_tried_again() {
    Scene::of([task("a").tries(5)]).then(
        fails_for_good("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
}

#[test]
fn inputs_of_an_ended_attempt_are_rejected() {
    let mut scene = Scene::of([task("a").tries(3), task("b").after(&["a"])]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    for stale in [done("a#1", "1"), fails("a#1"), asks("a#1", emit("x", "1"))] {
        scene.rejects(stale, "attempt 1 of node `a` has ended");
    }
    scene.rejects(done("a#3", "1"), "attempt 3 of node `a` has ended");
    scene.rejects(done("b#1", "1"), "attempt 1 of node `b` has ended");
    scene.rejects(done("b#0", "1"), "attempt 0 of node `b` has ended");
    scene.rejects(done("nobody#1", "1"), "attempt 1 of node `nobody` has ended");
    scene.then(done("a#2", "1"), ["a completed 1", "b#1 started"]);
    scene.rejects(done("a#2", "1"), "attempt 2 of node `a` has ended");
}

/// Found by reading: a gate could be completed without its signal.
#[test]
fn a_gate_accepts_no_task_inputs() {
    let mut scene = Scene::of([gate("g", "go")]);
    for strange in [done("g#1", "1"), fails("g#1"), asks("g#1", emit("x", "1"))] {
        scene.rejects(strange, "attempt 1 of node `g` has ended");
    }
}

#[test]
fn a_failure_stops_the_run_and_waits_for_running_siblings() {
    let mut scene = Scene::of([task("a"), task("b"), task("c"), task("d").after(&["b"]), gate("g", "go")]);
    scene.at(5).then(
        fails("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10005", "g cancelled"],
    );
    assert_eq!(scene.state().status(), RunStatus::Stopping);
    scene.then(asks("b#1", emit("x", "1")), ["b emitted x 1"]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    scene.then(fails("c#1"), ["c cancelled", "run failed at a (error)"]);
    let failure = Failure::retryable("error", "no luck");
    assert_eq!(scene.state().outcome(), Some(&Outcome::Failed { node: name("a"), failure }));
    let statuses = ["a", "b", "c", "d", "g"].map(|node| scene.node(node).status);
    let cancelled = NodeStatus::Cancelled;
    assert_eq!(statuses, [NodeStatus::Failed, NodeStatus::Completed, cancelled, cancelled, cancelled]);
}

#[test]
fn a_node_that_waits_for_its_retry_ends_with_the_run() {
    let mut scene = Scene::of([task("a"), task("b").backs_off(2, 50), task("c")]);
    scene.then(fails("b#1"), ["b#1 failed (error), again at 50"]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "stop because a failed, grace until 10000"]);
    scene.at(50).then(TICK, ["b cancelled"]);
    scene.then(done("c#1", "1"), ["c completed 1", "run failed at a (error)"]);
}

#[test]
fn outputs_too_large_together_become_a_reference() {
    let half = format!("\"{}\"", "x".repeat(200_000));
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.feed(done("a#1", &half)).expect("it ends");
    scene.feed(done("b#1", &half)).expect("it ends");
    let Some(Outcome::Completed(output)) = scene.state().outcome() else {
        panic!("{:?}", scene.state().outcome());
    };
    assert_eq!((output.is_kept_beside(), output.as_json()), (true, r#"{"$orkestra.outputs":{}}"#));
    let outputs = [(name("a"), json(&half)), (name("b"), json(&half))];
    assert_eq!(scene.state().last_outputs(), outputs);
}

/// Found by reading: `"detail":null` was read back as no detail, and the state after a crash was different.
#[test]
fn a_detail_of_null_survives_a_crash() {
    let failure = Failure { detail: Some(json("null")), ..Failure::retryable("error", "no luck") };
    let mut scene = Scene::of([task("a").tries(2)]);
    let ended = InputKind::AttemptEnded { node: name("a"), attempt: 1, result: Err(failure.clone()) };
    scene.then(ended, ["a#1 failed (error), again at 0", "a#2 started"]);
    assert_eq!(Scene::replay(&scene.journal, 0).node("a").last_failure, Some(failure));
}

#[test]
fn a_new_process_continues_the_attempt() {
    Scene::of([task("a")]).then(RECOVER, ["recovered"]).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
}
