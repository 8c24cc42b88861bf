//! A fork compensates only its own work, and does not continue with compensated work.

use orkestra_core::kernel::{Event, RunStatus};
use orkestra_core::model::NodeSpec;

use super::asks::{Options, child, child_done, retry, terminate};
use super::scene::{
    Node, Scene, TICK, asks, await_signal, cancel, done, end_step, fails, fails_for_good, gate, signal, start_step,
    task,
};
use super::show::show;

/// `pay` has completed and can be compensated, `ship` is running.
fn paid() -> Scene {
    let mut scene = Scene::of([task("pay").undone(), task("ship").after(&["pay"]), gate("g", "go")]);
    scene.then(done("pay#1", "1"), ["pay completed 1", "ship#1 started"]);
    scene
}

#[track_caller]
fn fork_shows<const N: usize>(scene: &Scene, node: &str, expected: [&str; N]) -> Scene {
    let (fork, events) = scene.fork(node, None);
    let events = events.expect("it can be forked");
    assert_eq!(events.iter().map(show).collect::<Vec<_>>(), expected);
    fork
}

#[track_caller]
fn refused(scene: &Scene, node: &str, words: &str) {
    let (fork, result) = scene.fork(node, None);
    assert!(fork.state.is_none());
    let said = result.expect_err("it is refused").to_string();
    assert!(said.starts_with(words), "{said}");
    assert!(scene.fork_as(node, None, true).1.is_ok(), "unless that is requested");
}

#[test]
fn a_failed_fork_compensates_no_copied_node() {
    let source = paid();
    let created = "created from r up to 4, before ship";
    let copied = ["pay#1 started", "g#1 started", "pay completed 1"];
    let mut fork = fork_shows(&source, "ship", [created, copied[0], copied[1], copied[2], "forked", "ship#1 started"]);
    fork.then(
        fails("ship#1"),
        [
            "ship#1 failed (error), given up",
            "stop because ship failed, grace until 10000",
            "g cancelled",
            "run failed at ship (error)",
        ],
    );
    assert_eq!(fork.state().undo(), None);
}

#[test]
fn a_fork_compensates_its_own_work() {
    let nodes = [task("pay").undone(), task("pack").undone().after(&["pay"]), task("ship").after(&["pack"])];
    let mut source = Scene::of(nodes);
    source.then(done("pay#1", "1"), ["pay completed 1", "pack#1 started"]);
    let mut fork = source.fork("pack", None).0;
    fork.then(done("pack#1", "2"), ["pack completed 2", "ship#1 started"]);
    // A fork of the fork compensates the work of neither.
    let mut second = fork.fork("ship", None).0;
    fork.then(
        fails("ship#1"),
        [
            "ship#1 failed (error), given up",
            "stop because ship failed, grace until 10000",
            "undoing [undo:pack] []",
            "undo:pack#1 started",
        ],
    );
    second.feed(fails("ship#1")).expect("it fails");
    assert_eq!((second.state().status(), second.state().undo()), (RunStatus::Failed, None));
}

/// `pay` is running when the other run is forked from `other`.
fn half_done(did: impl FnOnce(&mut Scene)) -> Scene {
    let mut scene = Scene::of([task("pay").undone(), task("first"), task("other").after(&["first"])]);
    did(&mut scene);
    scene.then(done("first#1", "1"), ["first completed 1", "other#1 started"]);
    let mut fork = scene.fork("other", None).0;
    fork.then(done("pay#1", "1"), ["pay completed 1"]);
    fork.feed(fails("other#1")).expect("it fails");
    fork
}

#[test]
fn a_node_with_copied_steps_is_compensated_by_the_original_run() {
    let of_the_other: [fn(&mut Scene); 2] = [
        |scene| {
            scene.then(asks("pay#1", end_step("charge", "1")), ["pay/charge = 1"]);
        },
        |scene| {
            scene.then(asks("pay#1", child("c", "c")), ["pay/c wants c of other with 1"]);
            scene.then(child_done("c", "1"), ["pay/c ended: completed 1"]);
        },
    ];
    for did in of_the_other {
        let fork = half_done(did);
        assert_eq!((fork.state().status(), fork.state().undo()), (RunStatus::Failed, None));
        assert!(fork.events().iter().any(|event| show(event) == "forked, shares pay"));
    }
}

#[test]
fn a_node_without_finished_steps_is_compensated_by_the_fork() {
    let own: [fn(&mut Scene); 3] = [
        |_| {},
        |scene| {
            scene.then(asks("pay#1", start_step("charge")), ["pay/charge started"]);
        },
        |scene| {
            scene.then(asks("pay#1", await_signal("s", "yes")), ["pay/s awaits yes"]);
            scene.then(signal("yes", "1"), ["signal yes 1", "pay/s took yes"]);
        },
    ];
    for did in own {
        let fork = half_done(did);
        assert_eq!(fork.state().status(), RunStatus::Compensating);
        assert!(!fork.events().iter().any(|event| matches!(event, Event::Forked { .. })));
    }
}

#[test]
fn a_shared_node_retried_in_the_fork_stays_shared() {
    use orkestra_core::model::OnFailure;
    let pay = NodeSpec { on_failure: OnFailure::Skip, ..task("pay").undone() };
    let mut scene = Scene::of([pay, task("first"), task("other").after(&["first"])]);
    scene.then(asks("pay#1", end_step("charge", "1")), ["pay/charge = 1"]);
    scene.then(fails("pay#1"), ["pay#1 failed (error), given up"]);
    scene.then(done("first#1", "1"), ["first completed 1", "other#1 started"]);
    let mut fork = scene.fork("other", None).0;
    fork.then(retry("pay"), ["pay reset", "pay#2 started"]).then(done("pay#2", "1"), ["pay completed 1"]);
    fork.feed(fails("other#1")).expect("it fails");
    assert_eq!(fork.state().undo(), None);
}

#[test]
fn a_compensated_run_cannot_be_forked() {
    let words = "cannot fork: the work of node `pay` was compensated in that run, or is about to be; fork from before that node";
    let mut scene = paid();
    scene.feed(fails("ship#1")).expect("it fails");
    assert_eq!(scene.state().status(), RunStatus::Compensating);
    refused(&scene, "ship", words);
    scene.then(done("undo:pay#1", "0"), ["undo:pay completed 0", "run failed at ship (error)"]);
    refused(&scene, "ship", words);
    assert!(scene.fork("pay", None).1.is_ok(), "from before it");

    // It will be compensated when `ship` has ended.
    let mut scene = paid();
    scene.then(cancel("why"), ["stop because why, grace until 10000", "g cancelled"]);
    refused(&scene, "ship", words);
    scene.at(10_000).feed(TICK).expect("the grace is over");
    refused(&scene, "ship", words);
    scene.feed(fails_for_good("undo:pay#1")).expect("it cannot be undone");
    refused(&scene, "ship", words);
}

#[test]
fn a_terminated_run_can_be_forked() {
    let mut scene = paid();
    scene.then(cancel("why"), ["stop because why, grace until 10000", "g cancelled"]);
    scene.then(terminate(), ["run terminated: enough"]);
    assert!(scene.fork("ship", None).1.is_ok());
}

#[test]
fn a_partly_done_node_that_was_compensated_cannot_be_shared() {
    let mut scene = Scene::of([task("pay").undone(), task("first"), task("other").after(&["first"])]);
    scene.then(asks("pay#1", end_step("charge", "1")), ["pay/charge = 1"]);
    scene.then(done("first#1", "1"), ["first completed 1", "other#1 started"]);
    scene.then(done("pay#1", "1"), ["pay completed 1"]);
    scene.feed(fails("other#1")).expect("it fails");
    refused(&scene, "other", "cannot fork: the work of node `pay` was compensated");
}

#[test]
fn later_compensation_in_the_original_run_does_not_matter() {
    let mut scene = Scene::of([task("a"), task("b").after(&["a"]).undone(), task("c").after(&["b"])]);
    scene.then(done("a#1", "1"), ["a completed 1", "b#1 started"]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    scene.feed(fails("c#1")).expect("it fails");
    scene.then(done("undo:b#1", "0"), ["undo:b completed 0", "run failed at c (error)"]);
    assert!(scene.fork("b", None).1.is_ok());
    refused(&scene, "c", "cannot fork: the work of node `b` was compensated");
}

#[test]
fn a_fork_of_a_fork_ignores_compensation_in_the_first_run() {
    let mut scene = paid();
    let fork = scene.fork("ship", None).0;
    scene.feed(fails("ship#1")).expect("it fails");
    assert!(fork.fork("ship", None).1.is_ok(), "it knows nothing of it");
}

/// Older versions wrote no event at the end of the copied ones: such a fork compensates all of them, as before.
#[test]
fn forks_of_older_versions_keep_their_meaning() {
    let fork = paid().fork("ship", None).0;
    let mut old = Scene::nothing();
    let copied = fork.events().into_iter().filter(|event| !matches!(event, Event::Forked { .. }));
    old.adopt_old(copied.collect());
    old.feed(fails("ship#1")).expect("it fails");
    assert_eq!(old.state().status(), RunStatus::Compensating);
}
