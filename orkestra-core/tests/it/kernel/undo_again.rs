//! Compensation has its own timeouts and retries; what failed is reported and can be retried.

use std::time::Duration;

use orkestra_core::kernel::{NodeStatus, RunStatus, wake_at};
use orkestra_core::model::{Failure, Growth, NodeSpec, OnFailure, Parent, Retry, RunOptions, Timestamp};

use super::asks::{Options, PARENT_TOLD, deadline, pause, retry, run_id, terminate};
use super::scene::{
    Node, RECOVER, Scene, TICK, asks, cancel, done, end_step, fail_step, fails, fails_for_good, gate, grow, name, task,
};

/// `a` and `b` have completed, `e` has failed, and the compensation of `b` is running.
fn undoing(options: RunOptions) -> Scene {
    let mut scene = Scene::with([task("a").undone(), task("b").undone(), task("e")], options);
    scene.then(done("a#1", "1"), ["a completed 1"]).then(done("b#1", "2"), ["b completed 2"]);
    scene.feed(fails_for_good("e#1")).expect("it fails");
    scene
}

/// The compensation of `b` failed, that of `a` completed.
fn in_part() -> Scene {
    let mut scene = undoing(RunOptions::default());
    scene.then(fails_for_good("undo:b#1"), ["undo:b#1 failed (error), given up", "undo:a#1 started"]);
    scene.then(done("undo:a#1", "0"), ["undo:a completed 0", "run failed at e (error)"]);
    scene
}

/// What was compensated, and what was not and why.
fn told(scene: &Scene) -> (Vec<String>, Vec<String>) {
    let undo = scene.state().undo().expect("something was to be undone");
    let failed = undo.failed.iter().map(|(node, failure)| format!("{node} {}", failure.kind)).collect();
    (undo.undone.iter().map(ToString::to_string).collect(), failed)
}

fn words<const N: usize, const M: usize>(undone: [&str; N], failed: [&str; M]) -> (Vec<String>, Vec<String>) {
    (undone.map(str::to_owned).into(), failed.map(str::to_owned).into())
}

#[test]
fn compensation_has_its_own_retries() {
    let once = NodeSpec { compensate_retry: Some(Retry::none()), ..task("a").undone() };
    let soon = NodeSpec { compensate_retry: Some(Retry::immediate(2)), ..task("b").undone() };
    let mut scene = Scene::of([once, soon, task("e")]);
    scene.then(done("a#1", "1"), ["a completed 1"]).then(done("b#1", "2"), ["b completed 2"]);
    scene.feed(fails("e#1")).expect("it fails");
    scene.then(fails("undo:b#1"), ["undo:b#1 failed (error), again at 0", "undo:b#2 started"]);
    scene.then(fails("undo:b#2"), ["undo:b#2 failed (error), given up", "undo:a#1 started"]);
    scene.then(fails("undo:a#1"), ["undo:a#1 failed (error), given up", "run failed at e (error)"]);
    assert_eq!(told(&scene), words([], ["b error", "a error"]));
}

#[test]
fn hanging_compensation_ends_at_its_timeout() {
    let limited = NodeSpec {
        compensate_timeout_ms: Some(50),
        compensate_retry: Some(Retry::immediate(2).with_initial(Duration::from_millis(10))),
        ..task("a").undone()
    };
    let mut scene = Scene::with([limited, gate("g", "go")], deadline(100));
    scene.then(done("a#1", "1"), ["a completed 1"]);
    let stop = "stop at the deadline 100, grace until 10100";
    scene.at(100).then(TICK, [stop, "g cancelled", "undoing [undo:a] []", "undo:a#1 started until 150"]);
    scene.at(150).then(TICK, ["undo:a#1 failed (timed_out), again at 160"]);
    scene.at(160).then(TICK, ["undo:a#2 started until 210"]);
    scene.at(210).then(TICK, ["undo:a#2 failed (timed_out), given up", "run timed out at 100"]);
    assert_eq!(told(&scene), words([], ["a timed_out"]));
}

#[test]
fn a_failed_compensation_is_retried_and_the_run_ends_as_before() {
    let mut scene = in_part();
    assert_eq!(told(&scene), words(["a"], ["b error"]));
    for node in ["a", "b", "e"] {
        scene.rejects(retry(node), "the run has been compensated; it cannot continue");
    }
    scene.rejects(retry("undo:a"), "node `undo:a` has not failed: there is nothing to retry");
    scene.then(retry("undo:b"), ["undo:b is tried again", "undo:b#2 started"]);
    assert_eq!((scene.state().status(), scene.state().outcome()), (RunStatus::Compensating, None));
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
    scene.rejects(cancel("why"), "the run is stopping").rejects(pause(), "the run is stopping");
    scene.rejects(retry("undo:b"), "the run is stopping");
    // Its retry policy counts from zero.
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.then(RECOVER, ["recovered"]).then(fails("undo:b#2"), ["undo:b#2 failed (error), again at 1009"]);
    scene.at(1009).then(TICK, ["undo:b#3 started"]);
    scene.then(done("undo:b#3", "0"), ["undo:b completed 0", "run failed at e (error)"]);
    assert_eq!(told(&scene), words(["b", "a"], []));
    scene.rejects(retry("undo:b"), "node `undo:b` has not failed: there is nothing to retry");
}

#[test]
fn a_compensation_that_fails_again_can_be_retried_again() {
    let mut scene = in_part();
    for attempt in 2..5 {
        let (started, failed) = (format!("undo:b#{attempt} started"), format!("undo:b#{attempt}"));
        scene.then(retry("undo:b"), ["undo:b is tried again", &started]);
        let given_up = format!("{failed} failed (error), given up");
        scene.then(fails_for_good(&failed), [&given_up, "run failed at e (error)"]);
        assert_eq!(told(&scene), words(["a"], ["b error"]));
    }
}

#[test]
fn a_retried_compensation_keeps_its_completed_steps() {
    let mut scene = undoing(RunOptions::default());
    scene.then(asks("undo:b#1", end_step("k", "1")), ["undo:b/k = 1"]);
    scene.then(asks("undo:b#1", fail_step("l")), ["undo:b/l failed (refused)"]);
    scene.then(fails_for_good("undo:b#1"), ["undo:b#1 failed (error), given up", "undo:a#1 started"]);
    scene.then(done("undo:a#1", "0"), ["undo:a completed 0", "run failed at e (error)"]);
    scene.then(retry("undo:b"), ["undo:b is tried again", "undo:b#2 started"]);
    scene.then(asks("undo:b#2", end_step("k", "2")), []);
    scene.then(asks("undo:b#2", end_step("l", "2")), ["undo:b/l = 2"]);
}

#[test]
fn a_retried_compensation_keeps_the_way_the_run_ended() {
    type End = fn(&mut Scene);
    let ends: [(&str, End); 3] = [
        ("run cancelled: why", |scene| drop(scene.feed(cancel("why")).expect("it stops"))),
        ("run timed out at 100", |scene| drop(scene.at(100).feed(TICK).expect("its time is over"))),
        ("run terminated: enough", |scene| {
            scene.feed(cancel("why")).expect("it stops");
            scene.feed(terminate()).expect("it ends");
        }),
    ];
    for (end, stop) in ends {
        let mut scene = Scene::with([task("a").undone(), gate("g", "go")], deadline(100));
        scene.then(done("a#1", "1"), ["a completed 1"]);
        stop(&mut scene);
        if scene.state().status() == RunStatus::Compensating {
            scene.then(fails_for_good("undo:a#1"), ["undo:a#1 failed (error), given up", end]);
        }
        let outcome = scene.state().outcome().cloned();
        scene.then(retry("undo:a"), ["undo:a is tried again", "undo:a#2 started"]);
        scene.then(done("undo:a#2", "0"), ["undo:a completed 0", end]);
        assert_eq!((scene.state().outcome().cloned(), told(&scene)), (outcome, words(["a"], [])));
    }
}

#[test]
fn nodes_left_by_a_termination_are_reported_and_can_be_compensated() {
    let mut scene = undoing(RunOptions::default());
    scene.then(terminate(), ["run terminated: enough"]);
    assert_eq!(told(&scene), words([], ["b terminated", "a terminated"]));
    scene.then(retry("undo:b"), ["undo:b is tried again", "undo:b#2 started"]);
    // Nothing else is running.
    scene.then(done("undo:b#2", "0"), ["undo:b completed 0", "run terminated: enough"]);
    assert_eq!(told(&scene), words(["b"], ["a terminated"]));
    scene.then(retry("undo:a"), ["undo:a is tried again", "undo:a#1 started"]);
    scene.then(terminate(), ["run terminated: enough"]);
    assert_eq!(told(&scene), words(["b"], ["a terminated"]));
}

#[test]
fn terminating_before_compensation_reports_the_nodes() {
    let mut scene = Scene::of([task("a").undone(), task("b")]);
    scene.then(done("a#1", "1"), ["a completed 1"]).then(terminate(), ["run terminated: enough"]);
    assert_eq!(told(&scene), words([], ["a terminated"]));
    let failure = Failure::permanent("terminated", "the run was terminated before this node was compensated");
    assert_eq!(scene.state().undo().expect("it tells").failed, [(name("a"), failure)]);
}

#[test]
fn a_run_without_compensation_reports_none() {
    let mut scene = Scene::of([task("a").undone()]);
    scene.then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    assert_eq!(scene.state().undo(), None);
    let mut scene = Scene::of([task("a").undone()]);
    scene.feed(fails("a#1")).expect("it fails");
    assert_eq!(scene.state().undo(), None);
}

#[test]
fn the_parent_is_informed_of_the_end_again() {
    let parent = Some(Parent::new(run_id("p"), name("n")));
    let mut scene = undoing(RunOptions { parent, ..RunOptions::default() });
    scene.feed(fails_for_good("undo:b#1")).expect("it fails");
    scene.feed(done("undo:a#1", "0")).expect("it is undone");
    scene.then(PARENT_TOLD, ["parent told"]);
    scene.then(retry("undo:b"), ["undo:b is tried again", "undo:b#2 started"]).then(PARENT_TOLD, []);
    scene.then(done("undo:b#2", "0"), ["undo:b completed 0", "run failed at e (error)"]);
    scene.then(PARENT_TOLD, ["parent told"]);
}

#[test]
fn only_completed_nodes_are_compensated() {
    let nodes = [
        task("failed").undone().or(OnFailure::Continue),
        task("again").undone().or(OnFailure::Skip),
        task("skipped").undone().after(&["again"]),
        gate("g", "go"),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(fails("failed#1"), ["failed#1 failed (error), given up"]);
    scene.then(fails("again#1"), ["again#1 failed (error), given up", "skipped skipped"]);
    scene.then(retry("again"), ["again reset", "again#2 started"]);
    scene.then(done("again#2", "1"), ["again completed 1", "skipped#1 started"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "g cancelled"]);
    scene.then(fails("skipped#1"), ["skipped cancelled", "undoing [undo:again] []", "undo:again#1 started"]);
    scene.then(done("undo:again#1", "0"), ["undo:again completed 0", "run cancelled: why"]);
    assert_eq!(told(&scene), words(["again"], []));
}

#[test]
fn added_nodes_are_compensated_with_their_own_timeouts() {
    let added = NodeSpec { compensate_timeout_ms: Some(50), ..task("n").undone() };
    let mut scene = Scene::of([task("a"), gate("g", "go")]);
    scene.then(asks("a#1", grow("k", Growth::new().with_node(added))), ["a/k grew [n] []", "n#1 started"]);
    scene.then(done("n#1", "1"), ["n completed 1"]);
    scene.feed(fails("a#1")).expect("it fails");
    let started = scene.events().iter().map(super::show::show).next_back();
    assert_eq!(started.as_deref(), Some("undo:n#1 started until 50"));
}

#[test]
fn an_invalid_retry_of_a_compensation_changes_nothing() {
    let mut scene = in_part();
    scene.rejects(retry("nobody"), "there is no node `nobody`");
    assert_eq!(scene.node("undo:b").status, NodeStatus::Failed);
}
