//! Slots: waiting for them, getting and losing them. And the total timeout of all attempts.

use orkestra_core::kernel::{NodeStatus, QUEUED_AT, Wait, Work, agenda, waits, wake_at};
use orkestra_core::model::{NodeId, SlotBy, Timestamp};

use super::asks::{Options, RESUME, granted, pause};
use super::scene::{Node, RECOVER, Scene, TICK, cancel, create, done, fails, gate, signal, task};

#[test]
fn a_node_under_a_limit_waits_for_its_slot() {
    let mut scene = Scene::nothing();
    scene.then(create([task("a").limited("few").within(50), task("b")]), ["created", "a queued", "b#1 started"]);
    assert_eq!(scene.node("a").status, NodeStatus::Queued);
    let owed = Work::AcquireSlots { node: NodeId(0), attempt: 1 };
    assert!(agenda(scene.state()).any(|work| work == owed));
    scene.then(done("b#1", "2"), ["b completed 2"]);
    assert_eq!(waits(scene.state()), [Wait::Slots(NodeId(0))]);
    assert_eq!(wake_at(scene.state()), Some(QUEUED_AT));
    // The timeout of an attempt counts from its start.
    scene.at(1000).then(TICK, []).then(granted("a#1"), ["a#1 started until 1050"]);
    scene.then(done("a#1", "1"), ["a completed 1", r#"run completed {"a":1,"b":2}"#]);
}

#[test]
fn a_grant_without_a_waiting_node_is_stale() {
    let mut scene = Scene::of([task("a").limited("few").tries(2), task("b")]);
    scene
        .rejects(granted("a#2"), "attempt 2 of node `a` has ended")
        .rejects(granted("b#1"), "attempt 1 of node `b` has ended");
    scene.rejects(granted("nobody#1"), "attempt 1 of node `nobody` has ended");
    scene.then(granted("a#1"), ["a#1 started"]).rejects(granted("a#1"), "attempt 1 of node `a` has ended");
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a queued"]);
    scene.rejects(granted("a#1"), "attempt 1 of node `a` has ended").then(granted("a#2"), ["a#2 started"]);
}

#[test]
fn each_attempt_waits_for_its_own_slot() {
    let mut scene = Scene::of([task("a").limited("few").backs_off(2, 50)]);
    scene.then(granted("a#1"), ["a#1 started"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 50"]);
    scene.at(50).then(TICK, ["a queued"]).then(granted("a#2"), ["a#2 started"]);
}

#[test]
fn a_stopping_run_waits_for_no_slots() {
    let mut scene = Scene::of([task("a").limited("few"), task("b")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.rejects(granted("a#1"), "the run is stopping");
    assert!(!agenda(scene.state()).any(|work| matches!(work, Work::AcquireSlots { .. })));
    scene.then(fails("b#1"), ["b cancelled", "run cancelled: why"]);
    assert_eq!(scene.node("a").status, NodeStatus::Cancelled);
    let mut scene = Scene::of([task("a").limited("few")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "run cancelled: why"]);
}

#[test]
fn a_gate_under_a_limit_opens_when_it_has_its_slot() {
    let mut scene = Scene::of([gate("g", "go").limited("few"), task("a").after(&["g"])]);
    scene.then(signal("go", "1"), ["signal go 1"]);
    scene.then(granted("g#1"), ["g#1 started", "g took go", "g completed 1", "a#1 started"]);
}

#[test]
fn no_slot_is_granted_during_a_pause() {
    let mut scene = Scene::of([task("a").limited("few")]);
    scene.then(pause(), ["paused: lunch"]).rejects(granted("a#1"), "the run is paused");
    assert_eq!(agenda(scene.state()).count(), 0);
    assert_eq!(wake_at(scene.state()), None);
    scene.then(RESUME, ["resumed"]).then(granted("a#1"), ["a#1 started"]);
}

#[test]
fn waiting_for_slots_survives_the_process() {
    let scene = Scene::of([task("a").limited("few")]);
    let mut scene = Scene::replay(&scene.journal, 7);
    scene.then(RECOVER, []).then(granted("a#1"), ["a#1 started"]);
}

#[test]
fn the_key_of_a_slot_comes_from_the_input_or_a_text() {
    let keys =
        [SlotBy::Input("/a/0".into()), SlotBy::Input("/b".into()), SlotBy::Key("k".into()), SlotBy::Input("/x".into())];
    let node = keys.into_iter().fold(task("a"), |node, by| node.limited_by("few", by)).limited("all");
    let scene = Scene::of([node.with_input(super::scene::json(r#"{"a": ["x"], "b": {"c": 1}}"#))]);
    let slots: Vec<_> = scene.state().slots(NodeId(0)).iter().map(ToString::to_string).collect();
    assert_eq!(slots, ["few[x]", r#"few[{"c":1}]"#, "few[k]", "few", "all"]);
}

fn all_tries_in_100() -> Scene {
    Scene::of([task("a").backs_off(5, 40).within_all(100), task("b")])
}

const TIMED_OUT: [&str; 2] = ["a#1 failed (timed_out), given up", "stop because a failed, grace until 10100"];

#[test]
fn the_total_timeout_applies_while_an_attempt_runs() {
    all_tries_in_100().at(99).then(TICK, []).at(100).then(TICK, TIMED_OUT);
}

#[test]
fn no_attempt_is_scheduled_after_the_total_timeout() {
    let mut scene = all_tries_in_100();
    scene.at(60).then(fails("a#1"), ["a#1 failed (error), given up", "stop because a failed, grace until 10060"]);
}

#[test]
fn the_total_timeout_applies_during_backoff() {
    let mut scene = all_tries_in_100();
    scene.at(30).then(fails("a#1"), ["a#1 failed (error), again at 70"]);
    assert_eq!(scene.state().next_timer(), Some(Timestamp::from_millis(70)));
    // No tick came in time: both are due.
    scene
        .at(120)
        .then(TICK, ["a#2 started", "a#2 failed (timed_out), given up", "stop because a failed, grace until 10120"]);
}

#[test]
fn the_total_timeout_applies_while_waiting_for_slots() {
    let mut scene = Scene::of([task("a").limited("few").tries(3).within_all(100), task("b")]);
    // It counts from the first start: waiting for that is not limited.
    scene.at(500).then(TICK, []).then(granted("a#1"), ["a#1 started"]);
    scene.at(550).then(fails("a#1"), ["a#1 failed (error), again at 550", "a queued"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
    scene.at(600).then(TICK, ["a failed (timed_out)", "stop because a failed, grace until 10600"]);
    scene.rejects(granted("a#2"), "attempt 2 of node `a` has ended");
}

#[test]
fn a_total_timeout_follows_the_failure_policy() {
    use orkestra_core::model::OnFailure;
    let mut scene = Scene::of([task("a").within_all(100).or(OnFailure::Continue), task("b").after(&["a"])]);
    scene.at(100).then(TICK, ["a#1 failed (timed_out), given up", "b#1 started"]);
}

#[test]
fn an_attempt_that_completes_in_time_leaves_no_total_timer() {
    let mut scene = Scene::of([task("a").within_all(100), task("b")]);
    scene.at(50).then(done("a#1", "1"), ["a completed 1"]);
    assert_eq!(scene.state().next_timer(), None);
}
