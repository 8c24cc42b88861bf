//! A run stays paused until each failure that paused it, or would have, is decided on: retried or given up.

use orkestra_core::kernel::{InputKind, NodeStatus, RunStatus, agenda};
use orkestra_core::model::{Join, NodeSpec, OnFailure};

use super::asks::{Options, RESUME, budget, deadline, may_spend, paid_step, pause, retry, terminate};
use super::scene::{Node, RECOVER, Scene, TICK, asks, cancel, done, fails, gate, signal, task};

fn looked_at(node: &str) -> NodeSpec {
    task(node).or(OnFailure::Pause)
}

/// `a` and `b` have failed, each with a node after it; `z` is running.
fn both_failed() -> Scene {
    let nodes = [looked_at("a"), looked_at("b"), task("x").after(&["a"]), task("y").after(&["b"]), task("z")];
    let mut scene = Scene::of(nodes);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
    scene.then(fails("b#1"), ["b#1 failed (error), given up"]);
    scene
}

fn undecided(scene: &Scene) -> Vec<&str> {
    let state = scene.state();
    state.undecided().iter().map(|id| state.name(*id).as_str()).collect()
}

#[test]
fn two_failures_need_two_decisions() {
    let mut scene = both_failed();
    assert_eq!(undecided(&scene), ["a", "b"]);
    scene.then(RESUME, ["resumed", "paused because b failed"]);
    assert_eq!(undecided(&scene), ["b"]);
    assert_eq!(agenda(scene.state()).count(), 0, "nothing starts in between");
    // In another process too.
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.then(RESUME, ["resumed", "x skipped", "y skipped"]);
    scene.then(done("z#1", "1"), ["z completed 1", r#"run completed {"x":null,"y":null,"z":1}"#]);
}

#[test]
fn retrying_the_first_failure_leaves_the_second_undecided() {
    let mut scene = both_failed();
    scene.then(retry("a"), ["a reset", "resumed", "paused because b failed"]);
    assert_eq!((scene.node("a").status, scene.node("y").status), (NodeStatus::Pending, NodeStatus::Pending));
    scene.then(retry("b"), ["b reset", "resumed", "a#2 started", "b#2 started"]);
    scene.then(done("a#2", "1"), ["a completed 1", "x#1 started"]);
}

#[test]
fn retrying_the_second_failure_keeps_the_pause() {
    let mut scene = both_failed();
    scene.then(retry("b"), ["b reset"]);
    assert_eq!((undecided(&scene), scene.state().status()), (vec!["a"], RunStatus::Paused));
    scene.then(RESUME, ["resumed", "b#2 started", "x skipped"]);
    // Its next failure needs a decision again.
    scene.then(fails("b#2"), ["b#2 failed (error), given up", "paused because b failed"]);
    scene.then(RESUME, ["resumed", "y skipped"]);
}

#[test]
fn a_failure_during_a_requested_pause_pauses_again_after_it() {
    let mut scene = Scene::of([looked_at("a"), task("x").after(&["a"])]);
    scene.then(pause(), ["paused: lunch"]).then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.then(RESUME, ["resumed", "paused because a failed"]);
    scene.then(retry("a"), ["a reset", "resumed", "a#2 started"]);

    let mut scene = Scene::of([looked_at("a"), task("x").after(&["a"])]);
    scene.then(pause(), ["paused: lunch"]).then(fails("a#1"), ["a#1 failed (error), given up"]);
    // A retry before the end of the pause decides it.
    scene.then(retry("a"), ["a reset"]).then(RESUME, ["resumed", "a#2 started"]);
}

#[test]
fn a_failure_during_a_budget_pause_pauses_again_after_the_raise() {
    let mut scene = Scene::with([looked_at("a"), task("b"), task("x").after(&["a"])], budget(5));
    scene.then(
        asks("b#1", paid_step("k", "1", 5)),
        ["b/k = 1 for 5 tokens", "5 of 5 tokens spent", "paused over tokens"],
    );
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.rejects(RESUME, "the budget of 5 `tokens` is used up; raise it first");
    scene.then(may_spend(Some(9)), ["may spend 9 tokens"]).then(RESUME, ["resumed", "paused because a failed"]);
    scene.then(RESUME, ["resumed", "x skipped"]);
}

#[test]
fn a_budget_reached_during_a_failure_pause_pauses_after_the_decision() {
    let mut scene = Scene::with([looked_at("a"), task("b"), task("x").after(&["a"])], budget(5));
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
    // Running work is still charged.
    scene.then(asks("b#1", paid_step("k", "1", 5)), ["b/k = 1 for 5 tokens"]);
    scene.then(retry("a"), ["a reset", "resumed", "5 of 5 tokens spent", "paused over tokens"]);
    scene.rejects(RESUME, "the budget of 5 `tokens` is used up; raise it first");
    scene.then(may_spend(None), ["may spend any tokens"]).then(RESUME, ["resumed", "a#2 started"]);
}

#[test]
fn timeouts_and_failures_without_an_attempt_need_decisions_too() {
    let late = NodeSpec { total_timeout_ms: Some(50), ..looked_at("a").limited("few") };
    let mut scene = Scene::of([late, looked_at("b").within(100), gate("g", "go"), task("x").after(&["a", "b", "g"])]);
    scene.then(super::asks::granted("a#1"), ["a#1 started"]);
    scene.at(50).then(TICK, ["a#1 failed (timed_out), given up", "paused because a failed"]);
    // The timeout of `b` is suspended.
    scene.at(5000).then(TICK, []).then(fails("b#1"), ["b#1 failed (error), given up"]);
    scene.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    scene.then(RESUME, ["resumed", "paused because b failed"]);
    scene.then(RESUME, ["resumed", "x skipped", "run completed null"]);
}

#[test]
fn no_node_after_an_undecided_one_starts() {
    let nodes = [
        looked_at("a"),
        looked_at("b"),
        task("any").after(&["a", "b"]).joins(Join::Any),
        task("settled").after(&["a", "b"]).joins(Join::Settled),
        task("half").after(&["b"]).joins(Join::Settled),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(fails("b#1"), ["b#1 failed (error), given up", "paused because b failed"]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.then(RESUME, ["resumed", "paused because a failed"]);
    for node in ["any", "settled", "half"] {
        assert_eq!(scene.node(node).status, NodeStatus::Pending, "{node}");
    }
    scene.then(RESUME, ["resumed", "any skipped", "settled#1 started", "half#1 started"]);
}

#[test]
fn too_many_lost_processes_fail_several_nodes_at_once() {
    use orkestra_core::model::limits::INTERRUPTIONS_MAX;
    let mut scene = Scene::of([looked_at("a"), looked_at("b")]);
    for _ in 0..INTERRUPTIONS_MAX {
        scene.then(RECOVER, ["recovered"]);
    }
    scene.then(
        RECOVER,
        ["recovered", "a#1 failed (crashed), given up", "paused because a failed", "b#1 failed (crashed), given up"],
    );
    scene
        .then(RESUME, ["resumed", "paused because b failed"])
        .then(RESUME, ["resumed", "run completed {\"a\":null,\"b\":null}"]);
}

#[test]
fn a_stopping_run_needs_no_decisions() {
    let stops: [(InputKind, u64); 2] = [(cancel("why"), 0), (TICK, 100)];
    for (stop, at) in stops {
        let mut scene = Scene::with([looked_at("a"), looked_at("b"), task("x").after(&["a"])], deadline(100));
        scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
        scene.then(fails("b#1"), ["b#1 failed (error), given up"]);
        scene.at(at).feed(stop).expect("it stops");
        assert!(scene.state().status().is_final() && undecided(&scene).is_empty());
    }
    let mut scene = both_failed();
    scene.then(terminate(), ["run terminated: enough"]);
    assert!(undecided(&scene).is_empty());
}

#[test]
fn a_run_that_ended_while_paused_is_reopened_paused() {
    let mut scene = both_failed();
    scene.then(terminate(), ["run terminated: enough"]);
    scene.then(retry("a"), ["reopened", "a reset", "paused because b failed"]);
    scene.then(retry("b"), ["b reset", "resumed", "a#2 started", "b#2 started", "z#2 started"]);
}

#[test]
fn a_given_up_failure_needs_no_second_decision_after_reopening() {
    let mut scene = both_failed();
    scene.then(RESUME, ["resumed", "paused because b failed"]).then(RESUME, ["resumed", "x skipped", "y skipped"]);
    scene.then(done("z#1", "1"), ["z completed 1", r#"run completed {"x":null,"y":null,"z":1}"#]);
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
}

#[test]
fn cancelling_ends_a_suspended_retry_delay() {
    let mut scene = Scene::of([task("a").backs_off(3, 5000), task("b").after(&["a"])]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 5000"]).then(pause(), ["paused: lunch"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "run cancelled: why"]);
    let mut scene = Scene::of([task("a").backs_off(3, 5000)]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 5000"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "run cancelled: why"]);
}

/// Older versions gave up all failures at once when the run went on; their journals keep this meaning.
#[test]
fn old_journals_that_gave_up_all_failures_keep_their_meaning() {
    use super::scene::name;
    use orkestra_core::kernel::{Event, SkipReason};

    let mut scene = both_failed();
    let skipped = |node: &str| Event::NodeSkipped { node: name(node), reason: SkipReason::Upstream };
    scene.adopt_old(vec![Event::RunResumed, skipped("x"), skipped("y")]);
    assert_eq!(scene.state().status(), RunStatus::Running);
    scene.then(pause(), ["paused: lunch"]);
    assert_eq!(undecided(&scene), [""; 0]);
    scene.then(RESUME, ["resumed"]);

    // No nodes came after them.
    let mut scene = Scene::of([looked_at("a"), looked_at("b"), task("z")]);
    scene.feed(fails("a#1")).expect("it fails");
    scene.feed(fails("b#1")).expect("it fails");
    scene.adopt_old(vec![Event::RunResumed]);
    assert_eq!(scene.state().status(), RunStatus::Running);
    scene.then(pause(), ["paused: lunch"]).then(RESUME, ["resumed"]);
    scene.then(retry("b"), ["b reset", "b#2 started"]);
}
