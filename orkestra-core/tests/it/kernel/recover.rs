//! Recovery of a run in another process.

use std::num::NonZeroU32;

use orkestra_core::kernel::{InputKind, RunStatus};
use orkestra_core::model::RunOptions;
use orkestra_core::model::limits::INTERRUPTIONS_MAX;

use super::scene::{
    Node, RECOVER, RELEASE, Scene, TICK, asks, await_signal, cancel, done, end_step, fails, gate, signal, sleep, task,
};

/// Loses the process as often as an attempt may.
fn interrupted_often(scene: &mut Scene) {
    for _ in 0..INTERRUPTIONS_MAX {
        scene.then(RECOVER, ["recovered"]);
    }
}

#[test]
fn interruptions_are_counted_until_a_step_finishes() {
    let mut scene = Scene::of([task("a")]);
    scene.then(RECOVER, ["recovered"]).then(RECOVER, ["recovered"]);
    assert_eq!(scene.node("a").interruptions, 2);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    assert_eq!(scene.node("a").interruptions, 0);
}

#[test]
fn a_run_without_running_tasks_is_not_interrupted() {
    Scene::of([gate("g", "go")]).then(RECOVER, []);
    Scene::of([task("a").backs_off(2, 50)]).then(fails("a#1"), ["a#1 failed (error), again at 50"]).then(RECOVER, []);
}

#[test]
fn a_task_that_keeps_crashing_the_process_fails() {
    let mut scene = Scene::of([task("a").tries(2)]);
    interrupted_often(&mut scene);
    scene.then(RECOVER, ["recovered", "a#1 failed (crashed), again at 0", "a#2 started"]);
    assert_eq!(scene.node("a").interruptions, 0);
    interrupted_often(&mut scene);
    scene.then(
        RECOVER,
        [
            "recovered",
            "a#2 failed (crashed), given up",
            "stop because a failed, grace until 10000",
            "run failed at a (crashed)",
        ],
    );
}

#[test]
fn a_run_with_a_limit_on_lost_processes_is_paused_and_the_count_begins_anew_when_it_is_resumed() {
    let options = RunOptions { lost_processes_max: NonZeroU32::new(3), ..RunOptions::default() };
    let mut scene = Scene::with([task("a").tries(2), gate("g", "go")], options);
    for _ in 0..2 {
        scene.then(RECOVER, ["recovered"]).then(RECOVER, ["recovered"]);
        scene.then(RECOVER, ["recovered", "paused after 3 losses at a"]);
        scene.then(RECOVER, []).then(RECOVER, []);
        scene.then(InputKind::Resume, ["resumed"]);
        assert_eq!(scene.node("a").interruptions, 0);
    }
    // Progress, an orderly shutdown and another attempt begin a new count too.
    scene.then(RECOVER, ["recovered"]).then(RECOVER, ["recovered"]);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    scene.then(RECOVER, ["recovered"]).then(RECOVER, ["recovered"]);
    scene.then(RELEASE, ["released"]).then(RECOVER, ["recovered"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(RECOVER, ["recovered"]).then(RECOVER, ["recovered"]);
    scene.then(done("a#2", "1"), ["a completed 1"]);
    scene.then(RECOVER, []);
}

#[test]
fn a_stopping_run_is_not_paused_after_lost_processes() {
    let options = RunOptions { lost_processes_max: NonZeroU32::new(1), ..RunOptions::default() };
    let mut scene = Scene::with([task("a")], options);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(RECOVER, ["recovered", "a cancelled", "run cancelled: why"]);
}

#[test]
fn a_shutdown_does_not_count_as_a_lost_process() {
    let mut scene = Scene::of([task("a")]);
    for _ in 0..3 * INTERRUPTIONS_MAX {
        scene.then(RELEASE, ["released"]).then(RECOVER, ["recovered"]);
    }
    assert_eq!(scene.node("a").interruptions, 0);
    scene.then(RECOVER, ["recovered"]);
    assert_eq!(scene.node("a").interruptions, 1, "that one counts");
}

#[test]
fn no_release_is_written_when_nothing_would_be_counted() {
    Scene::of([gate("g", "go")]).then(RELEASE, []);
    let mut scene = Scene::of([task("a")]);
    scene.feed(asks("a#1", sleep("k", 1_000_000))).expect("it waits");
    scene.then(RELEASE, []);
}

/// Found by reading: two tasks at their limit at once made the decision stop the run twice, which is illegal. Every
/// later recovery did the same, so that the run could never continue.
#[test]
fn two_tasks_at_their_limit_at_once_fail_the_run_once() {
    for retries in [1, 2] {
        let mut scene = Scene::of([task("a"), task("b").tries(retries), gate("g", "go")]);
        interrupted_often(&mut scene);
        scene.then(
            RECOVER,
            [
                "recovered",
                "a#1 failed (crashed), given up",
                "stop because a failed, grace until 10000",
                "g cancelled",
                "b cancelled",
                "run failed at a (crashed)",
            ],
        );
    }
}

/// Found by reading: a task in a long sleep, or waiting for an answer, was counted as crashing when its process
/// restarted often enough.
#[test]
fn a_waiting_task_is_not_counted_as_crashing() {
    for wait in [sleep("k", 1_000_000), await_signal("k", "go")] {
        let mut scene = Scene::of([task("a")]);
        scene.feed(asks("a#1", wait)).expect("it waits");
        for _ in 0..3 * INTERRUPTIONS_MAX {
            scene.then(RECOVER, ["recovered"]);
        }
        scene.feed(signal("go", "1")).expect("the signal comes");
        scene.at(1_000_000).feed(TICK).expect("the time comes");
        interrupted_often(&mut scene);
        scene.then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    }
}

#[test]
fn a_wait_of_an_earlier_attempt_does_not_hide_a_crash() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", sleep("k", 1_000_000)), ["a/k sleeps until 1000000"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    interrupted_often(&mut scene);
    scene.feed(RECOVER).expect("it recovers");
    assert_eq!(scene.state().status(), RunStatus::Failed);
}

#[test]
fn a_stopping_run_gives_up_attempts_of_a_lost_process() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(RECOVER, ["recovered", "a cancelled", "b cancelled", "run cancelled: why"]);
}

#[test]
fn waits_survive_the_process() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(asks("a#1", sleep("s", 10)), ["a/s sleeps until 10"]);
    scene.then(asks("b#1", await_signal("k", "go")), ["b/k awaits go"]);
    let mut scene = Scene::replay(&scene.journal, 20);
    scene.then(RECOVER, ["recovered"]).then(asks("a#1", sleep("s", 99)), []).then(InputKind::Tick, ["a/s woke"]);
    scene.then(asks("b#1", await_signal("k", "go")), []).then(signal("go", "1"), ["signal go 1", "b/k took go"]);
}
