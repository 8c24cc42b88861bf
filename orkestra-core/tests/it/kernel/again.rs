//! Retries of failed nodes, in live runs and in ended ones.

use orkestra_core::kernel::{NodeStatus, RunStatus, agenda, wake_at};
use orkestra_core::model::{Join, OnFailure, Parent, RunOptions, Timestamp};

use super::asks::{
    Options, PARENT_TOLD, RESUME, budget, child, child_cancelled, deadline, may_spend, paid_step, pause, retry, run_id,
    terminate,
};
use super::scene::{Node, Scene, TICK, asks, cancel, done, end_step, fail_step, fails, gate, signal, start_step, task};

fn failed_run() -> Scene {
    let mut scene = Scene::of([task("a").tries(2), task("b").after(&["a"]), task("c"), gate("g", "go")]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(asks("a#2", end_step("k", "1")), ["a/k = 1"]);
    scene.then(
        fails("a#2"),
        ["a#2 failed (error), given up", "stop because a failed, grace until 10000", "g cancelled"],
    );
    scene.then(fails("c#1"), ["c cancelled", "run failed at a (error)"]);
    scene
}

#[test]
fn a_failed_run_continues_when_its_node_is_retried() {
    let mut scene = failed_run();
    scene.rejects(retry("b"), "node `b` has not failed: there is nothing to retry");
    scene.rejects(retry("nobody"), "there is no node `nobody`");
    // Attempt numbers continue, and cancelled nodes start over.
    scene.then(retry("a"), ["reopened", "a reset", "a#3 started", "c#2 started", "g#2 started"]);
    assert_eq!((scene.state().status(), scene.state().outcome()), (RunStatus::Running, None));
    // Completed nodes stay completed.
    scene.then(asks("a#3", end_step("k", "2")), []);
    // The retry policy counts from zero.
    scene.then(fails("a#3"), ["a#3 failed (error), again at 0", "a#4 started"]);
    scene.then(done("a#4", "1"), ["a completed 1", "b#1 started"]);
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.then(done("c#2", "3"), ["c completed 3"]).then(done("b#1", "2"), ["b completed 2"]);
    scene
        .then(signal("go", "4"), ["signal go 4", "g took go", "g completed 4", r#"run completed {"b":2,"c":3,"g":4}"#]);
    scene.rejects(retry("a"), "node `a` has not failed: there is nothing to retry");
}

#[test]
fn a_completed_run_continues_with_skipped_nodes_after_a_retry() {
    let nodes = [
        task("a").or(OnFailure::Skip),
        task("b").after(&["a"]),
        task("c").after(&["b"]),
        task("d").after(&["a", "c"]).joins(Join::Settled),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "b skipped", "c skipped", "d#1 started"]);
    scene.then(done("d#1", "4"), ["d completed 4", "run completed 4"]);
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
    assert_eq!(scene.node("b").status, NodeStatus::Pending);
    scene.then(done("a#2", "1"), ["a completed 1", "b#1 started"]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    scene.then(done("c#1", "3"), ["c completed 3", "run completed 4"]);
}

#[test]
fn a_node_skipped_for_a_second_reason_is_skipped_again() {
    let skips = |node: &str| task(node).or(OnFailure::Skip);
    let nodes = [
        skips("a"),
        skips("b"),
        task("c").after(&["a", "b"]),
        task("n").after(&["a"]).when(r#"{"is": "absent"}"#),
        task("z"),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "c skipped", "n skipped"]);
    scene.then(fails("b#1"), ["b#1 failed (error), given up"]);
    scene.then(retry("a"), ["a reset", "a#2 started", "c skipped"]);
    scene.then(done("a#2", "1"), ["a completed 1", "n skipped by its condition"]);
    assert_eq!(scene.state().status(), RunStatus::Running);
}

#[test]
fn nodes_that_continued_without_it_stay_unchanged() {
    let mut scene =
        Scene::of([task("a").or(OnFailure::Continue), task("b").after(&["a"]), task("c").after(&["a", "b"])]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "b#1 started"]);
    scene.then(retry("a"), ["a reset", "a#2 started"]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    scene.then(done("a#2", "1"), ["a completed 1", "c#1 started"]);
}

#[test]
fn a_retry_ends_the_pause_caused_by_the_failure() {
    let mut scene = Scene::of([task("a").or(OnFailure::Pause), task("b").after(&["a"])]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
    scene.then(retry("a"), ["a reset", "resumed", "a#2 started"]);
    scene.then(done("a#2", "1"), ["a completed 1", "b#1 started"]);
}

#[test]
fn a_retry_does_not_end_another_pause() {
    let mut scene = Scene::of([task("a").or(OnFailure::Skip), task("b").after(&["a"]), task("c")]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "b skipped"]).then(pause(), ["paused: lunch"]);
    scene.then(retry("a"), ["a reset"]);
    scene.then(RESUME, ["resumed", "a#2 started"]);
}

#[test]
fn a_timed_out_run_continues_without_its_passed_deadline() {
    let mut scene = Scene::with([task("a").or(OnFailure::Skip), task("b"), task("c").after(&["b"])], deadline(100));
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.at(100).then(TICK, ["stop at the deadline 100, grace until 10100"]);
    scene.then(fails("b#1"), ["b cancelled", "run timed out at 100"]);
    scene.at(200).then(retry("a"), ["reopened", "a reset", "a#2 started", "b#2 started"]);
    assert_eq!(scene.state().next_timer(), None);
    scene.then(done("a#2", "1"), ["a completed 1"]).then(done("b#2", "1"), ["b completed 1", "c#1 started"]);
}

#[test]
fn a_future_deadline_is_kept() {
    let mut scene = Scene::with([task("a")], deadline(500));
    scene.then(
        fails("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
    assert_eq!(scene.state().next_timer(), None);
    scene.at(100).then(retry("a"), ["reopened", "a reset", "a#2 started"]);
    assert_eq!(scene.state().next_timer(), Some(Timestamp::from_millis(500)));
}

#[test]
fn a_compensated_run_cannot_continue() {
    let mut scene = Scene::of([task("u").undone(), task("a").after(&["u"])]);
    scene.then(done("u#1", "1"), ["u completed 1", "a#1 started"]);
    scene.feed(fails("a#1")).expect("it fails");
    scene.rejects(retry("a"), "the run is stopping");
    scene.then(done("undo:u#1", "1"), ["undo:u completed 1", "run failed at a (error)"]);
    scene.rejects(retry("a"), "the run has been compensated; it cannot continue");
}

#[test]
fn a_run_that_is_stopping_cannot_be_retried() {
    let mut scene = Scene::of([task("a").or(OnFailure::Skip), task("b")]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]).rejects(retry("a"), "the run is stopping");
    // After termination it can be retried.
    scene.then(terminate(), ["run terminated: enough"]);
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started", "b#2 started"]);
}

/// Found by a property test: when another failed node was retried, the failure that had ended the run was forgotten,
/// and the run completed.
#[test]
fn retrying_one_node_does_not_forgive_the_failure_of_another() {
    let mut scene = Scene::of([task("a"), task("b").or(OnFailure::Skip), task("c").after(&["a"])]);
    scene.then(fails("b#1"), ["b#1 failed (error), given up"]);
    scene.then(
        fails("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
    scene.then(retry("b"), ["reopened", "b reset", "b#2 started", "c skipped"]);
    scene.then(
        done("b#2", "2"),
        ["b completed 2", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
    scene.then(done("a#2", "1"), ["a completed 1", "c#1 started"]);
}

/// Found by reading: the budget of an ended run could not be raised, and without that nothing could be retried.
#[test]
fn a_run_that_ended_over_budget_continues_after_a_raise() {
    let mut scene = Scene::with([task("a")], budget(5));
    scene.then(
        asks("a#1", paid_step("k", "1", 5)),
        ["a/k = 1 for 5 tokens", "5 of 5 tokens spent", "paused over tokens"],
    );
    scene.then(
        fails("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
    scene.rejects(retry("a"), "the budget of 5 `tokens` is used up; raise it first");
    scene.then(may_spend(Some(6)), ["may spend 6 tokens"]);
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
}

#[test]
fn a_retry_repeats_failed_steps_except_at_most_once_ones() {
    let mut scene = Scene::of([task("a")]);
    scene
        .then(asks("a#1", fail_step("k")), ["a/k failed (refused)"])
        .then(asks("a#1", start_step("l")), ["a/l started"]);
    scene.then(asks("a#1", fail_step("l")), ["a/l failed (refused)"]);
    scene.feed(fails("a#1")).expect("it fails");
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
    scene.then(asks("a#2", end_step("k", "1")), ["a/k = 1"]).then(asks("a#2", end_step("l", "1")), []);
}

#[test]
fn the_parent_is_informed_of_each_end() {
    let parent = Some(Parent::new(run_id("p"), super::scene::name("n")));
    let mut scene = Scene::with([task("a")], RunOptions { parent, ..RunOptions::default() });
    scene.feed(fails("a#1")).expect("it fails");
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]).then(PARENT_TOLD, []);
    scene.then(done("a#2", "1"), ["a completed 1", "run completed 1"]).then(PARENT_TOLD, ["parent told"]);
}

#[test]
fn a_reopened_run_keeps_its_debts_to_other_runs() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", child("k", "c")), ["a/k wants c of other with 1"]);
    scene.feed(fails("a#1")).expect("it fails");
    scene.then(retry("a"), ["reopened", "a reset", "a#2 started"]);
    scene.rejects(asks("a#2", child("k", "c")), "another step already waits for run `c`");
    scene.then(child_cancelled("c"), ["c let go"]);
    scene.then(asks("a#2", child("k", "c")), ["a/k wants c of other with 1"]);
    assert_eq!((agenda(scene.state()).count(), wake_at(scene.state())), (2, Some(Timestamp::ZERO)));
}
