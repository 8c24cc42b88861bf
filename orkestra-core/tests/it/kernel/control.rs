//! Control from outside: pauses, budgets, termination; and deadlines of runs.

use orkestra_core::kernel::{NodeStatus, RunStatus, Wait, agenda, waits, wake_at};
use orkestra_core::model::limits::METERS_MAX;
use orkestra_core::model::{Amount, RunOptions, Timestamp};

use super::asks::{
    Options, RESUME, ask, budget, charge, child, child_ends, deadline, may_spend, outcome, paid_step, parked, pause,
    terminate, tokens,
};
use super::scene::{
    Node, RECOVER, Scene, TICK, asks, cancel, create_with, done, end_step, fails, fails_for_good, gate, name, signal,
    sleep, start_step, task,
};

#[test]
fn nothing_starts_during_a_pause_and_everything_starts_after_it() {
    let mut scene = Scene::of([task("a"), task("b").after(&["a"]), gate("g", "go"), task("c").after(&["g"])]);
    scene.then(pause(), ["paused: lunch"]).rejects(pause(), "the run is paused");
    assert_eq!((agenda(scene.state()).count(), wake_at(scene.state())), (0, None));
    assert_eq!(waits(scene.state()).last(), Some(&Wait::Resume));
    scene.then(done("a#1", "1"), ["a completed 1"]);
    scene.then(signal("go", "2"), ["signal go 2", "g took go", "g completed 2"]);
    scene.then(RECOVER, []);
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.then(RESUME, ["resumed", "b#1 started", "c#1 started"]).rejects(RESUME, "the run is not paused");
}

#[test]
fn a_task_called_again_after_a_pause_keeps_its_steps() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]).then(pause(), ["paused: lunch"]);
    let paused = scene.node("a").changed;
    scene.then(RESUME, ["resumed"]);
    // It may be called once the end of the pause is durable.
    assert!(scene.node("a").changed > paused);
    scene.then(asks("a#1", end_step("k", "2")), []).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
}

#[test]
fn nodes_may_complete_during_a_pause_and_the_run_ends_after_it() {
    let mut scene = Scene::of([task("a")]);
    scene.then(pause(), ["paused: lunch"]).then(done("a#1", "1"), ["a completed 1"]);
    assert_eq!(scene.state().status(), RunStatus::Paused);
    scene.then(RESUME, ["resumed", "run completed 1"]);
}

#[test]
fn attempt_timeouts_are_suspended_during_a_pause() {
    let mut scene = Scene::of([task("a").within(100), task("b").within_all(100), gate("g", "go").within(200)]);
    scene.at(60).then(pause(), ["paused: lunch"]);
    scene.at(5000).then(TICK, []).then(RESUME, ["resumed"]);
    assert_eq!(scene.node("a").deadline, Some(Timestamp::from_millis(5040)));
    assert_eq!(scene.node("b").total_deadline, Some(Timestamp::from_millis(5040)));
    assert_eq!(scene.node("g").deadline, Some(Timestamp::from_millis(5140)));
    scene.at(5039).then(TICK, []);
    let mut scene = Scene::replay(&scene.journal, 5040);
    scene.feed(TICK).expect("time passes");
    assert_eq!(scene.node("a").status, NodeStatus::Failed);
}

#[test]
fn sleeps_and_the_run_deadline_continue_during_a_pause() {
    let mut scene = Scene::with([task("a")], deadline(100));
    scene.then(asks("a#1", sleep("k", 50)), ["a/k sleeps until 50"]).then(pause(), ["paused: lunch"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::from_millis(50)));
    scene.at(50).then(TICK, ["a/k woke"]);
    scene.at(100).then(TICK, ["stop at the deadline 100, grace until 10100"]);
    scene.then(fails("a#1"), ["a cancelled", "run timed out at 100"]);
}

#[test]
fn an_attempt_that_fails_during_a_pause_is_retried_after_it() {
    for (retries, waited) in [(task("a").tries(2), 0), (task("a").backs_off(2, 50), 50)] {
        let mut scene = Scene::of([retries]);
        scene.then(pause(), ["paused: lunch"]);
        let event = format!("a#1 failed (error), again at {waited}");
        scene.then(fails("a#1"), [event.as_str()]);
        scene.at(1000).then(TICK, []);
        assert_eq!(wake_at(scene.state()), None);
        scene.then(RESUME, ["resumed", "a#2 started"]);
    }
}

#[test]
fn a_retry_delay_continues_after_the_pause() {
    let mut scene = Scene::of([task("a").backs_off(2, 500)]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 500"]).then(pause(), ["paused: lunch"]);
    scene.at(100).then(RESUME, ["resumed"]).at(500).then(TICK, ["a#2 started"]);
}

#[test]
fn a_failure_fails_the_run_during_a_pause_too() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(pause(), ["paused: lunch"]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "stop because a failed, grace until 10000"]);
    scene.rejects(RESUME, "the run is stopping").rejects(pause(), "the run is stopping");
    scene.then(RECOVER, ["recovered", "b cancelled", "run failed at a (error)"]);
}

#[test]
fn a_paused_run_can_be_cancelled_and_terminated() {
    let paused = || {
        let mut scene = Scene::of([task("a").within(100), task("b").after(&["a"])]);
        scene.at(10).then(pause(), ["paused: lunch"]);
        scene
    };
    let mut scene = paused();
    scene.then(cancel("why"), ["stop because why, grace until 10010"]);
    scene.at(100).then(TICK, ["a cancelled", "run cancelled: why"]);
    paused().then(terminate(), ["run terminated: enough"]);
}

fn tokens_spent(scene: &Scene) -> u64 {
    scene.state().spent().get("tokens").map_or(0, |spent| spent.as_micros() / 1_000_000)
}

#[test]
fn spending_is_summed_over_nodes_and_pauses_the_run_at_its_limit() {
    let mut scene = Scene::with([task("a"), task("b"), task("c").after(&["b"])], budget(10));
    scene.then(asks("a#1", paid_step("k", "1", 4)), ["a/k = 1 for 4 tokens"]);
    scene.then(asks("a#1", paid_step("k", "1", 4)), []);
    scene.then(asks("b#1", charge("k", 5)), ["b/k charged for 5 tokens"]).then(asks("b#1", charge("k", 5)), []);
    let mut scene = Scene::replay(&scene.journal, 9);
    assert_eq!(tokens_spent(&scene), 9);
    scene.then(
        asks("a#1", paid_step("l", "2", 1)),
        ["a/l = 2 for 1 tokens", "10 of 10 tokens spent", "paused over tokens"],
    );
    scene.then(asks("b#1", charge("l", 5)), ["b/l charged for 5 tokens"]);
    scene.rejects(RESUME, "the budget of 10 `tokens` is used up; raise it first");
    scene.then(may_spend(Some(15)), ["may spend 15 tokens"]);
    scene.rejects(RESUME, "the budget of 15 `tokens` is used up; raise it first");
    scene.then(may_spend(Some(16)), ["may spend 16 tokens"]).then(RESUME, ["resumed"]);
    scene.then(done("b#1", "1"), ["b completed 1", "c#1 started"]);
    scene.then(may_spend(Some(3)), ["may spend 3 tokens", "15 of 3 tokens spent", "paused over tokens"]);
    scene.then(may_spend(None), ["may spend any tokens"]).then(RESUME, ["resumed"]);
}

#[test]
fn a_zero_budget_pauses_the_run_at_once() {
    let mut scene = Scene::nothing();
    scene.then(
        create_with([task("a")], budget(0)),
        ["created", "a#1 started", "0 of 0 tokens spent", "paused over tokens"],
    );
    assert_eq!(agenda(scene.state()).count(), 0);
}

#[test]
fn a_failed_step_is_charged_too() {
    use orkestra_core::kernel::TaskRequest;
    use orkestra_core::model::Failure;
    let mut scene = Scene::with([task("a")], budget(10));
    let result = Err(Failure::permanent("refused", "never"));
    let request = TaskRequest::EndStep { step: "k".into(), result, charges: tokens(10) };
    scene.then(
        asks("a#1", request),
        ["a/k failed (refused) for 10 tokens", "10 of 10 tokens spent", "paused over tokens"],
    );
    assert_eq!(tokens_spent(&scene), 10);
}

#[test]
fn the_parent_is_charged_for_its_child() {
    let mut scene = Scene::with([task("a")], budget(10));
    scene.then(asks("a#1", child("k", "c")), ["a/k wants c of other with 1"]);
    scene.then(
        child_ends("c", outcome(0), 12),
        ["a/k ended: completed 0 for 12 tokens", "12 of 10 tokens spent", "paused over tokens"],
    );
}

#[test]
fn a_charge_cannot_use_the_key_of_a_running_step() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", start_step("k")), ["a/k started"]);
    scene.rejects(asks("a#1", charge("k", 1)), "key `k` of node `a` is already in use for a step; use another key");
    assert_eq!(tokens_spent(&scene), 0);
}

#[test]
fn a_stopping_run_is_not_paused_by_its_budget() {
    let mut scene = Scene::with([task("a")], budget(1));
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(asks("a#1", paid_step("k", "1", 4)), ["a/k = 1 for 4 tokens"]);
    scene.then(done("a#1", "1"), ["a completed 1", "run cancelled: why"]);
}

#[test]
fn meters_have_a_limit() {
    use orkestra_core::kernel::{InputKind, TaskRequest};
    let many = |count| (0..count).map(|number| (name(&format!("m{number}")), Amount::whole(1))).collect();
    let words = "a charge or a budget may name at most 64 meters";
    let too_many = RunOptions { budget: many(METERS_MAX + 1), ..RunOptions::default() };
    Scene::nothing().rejects(create_with([task("a")], too_many), words);
    let full = RunOptions { budget: many(METERS_MAX), ..RunOptions::default() };
    let mut scene = Scene::with([task("a")], full);
    scene.rejects(may_spend(Some(1)), words).then(may_spend(None), ["may spend any tokens"]);
    let limit = Some(Amount::whole(2));
    scene.then(InputKind::SetBudget { meter: name("m1"), limit }, ["may spend 2 m1"]);
    let charges = many(METERS_MAX + 1);
    scene.rejects(asks("a#1", TaskRequest::Charge { step: "k".into(), charges: charges.clone() }), words);
    let request = TaskRequest::EndStep { step: "k".into(), result: Ok(super::scene::json("1")), charges };
    scene.rejects(asks("a#1", request), words);
}

/// A run in each status that is not final; `u` has completed and can be compensated.
fn in_each_status() -> Vec<Scene> {
    let of = || {
        let mut scene = Scene::with([task("u").undone(), task("a"), gate("g", "go")], deadline(50_000));
        scene.feed(done("u#1", "1")).expect("u is done");
        scene
    };
    let [running, mut paused, mut stopping, mut undoing, mut parked_one] = [of(), of(), of(), of(), of()];
    paused.then(pause(), ["paused: lunch"]);
    stopping.then(cancel("why"), ["stop because why, grace until 10000", "g cancelled"]);
    undoing.feed(fails_for_good("a#1")).expect("a fails");
    parked_one.then(asks("a#1", ask("k", "1")), ["a/k asks 1"]).then(parked("a#1"), ["a parked"]);
    vec![running, paused, stopping, undoing, parked_one]
}

#[test]
fn a_run_can_be_terminated_in_each_status_without_compensation() {
    for mut scene in in_each_status() {
        scene.then(terminate(), ["run terminated: enough"]);
        assert_eq!((scene.state().status(), wake_at(scene.state())), (RunStatus::Terminated, None));
        scene.rejects(terminate(), "the run has ended").rejects(pause(), "the run has ended");
    }
}

#[test]
fn the_deadline_ends_a_run_in_each_status_that_is_not_ending() {
    for mut scene in in_each_status() {
        let status = scene.state().status();
        let events = scene.at(60_000).feed(TICK).expect("time passes");
        let shown: Vec<_> = events.iter().map(super::show::show).collect();
        match status {
            // The grace is over, and completed nodes are compensated.
            RunStatus::Stopping => assert_eq!(shown[..2], ["a cancelled", "undoing [undo:u] []"]),
            RunStatus::Compensating => assert_eq!(shown, [""; 0]),
            _ => assert_eq!(shown[0], "stop at the deadline 50000, grace until 70000"),
        }
    }
}

#[test]
fn a_deadline_that_passes_stops_tasks_and_then_the_run() {
    let mut scene = Scene::with([task("a"), gate("g", "go")], deadline(100));
    assert_eq!(scene.state().next_timer(), Some(Timestamp::from_millis(100)));
    scene.at(99).then(TICK, []);
    scene.at(100).then(TICK, ["stop at the deadline 100, grace until 10100", "g cancelled"]);
    scene.rejects(cancel("why"), "the run is stopping");
    scene.at(10_100).then(TICK, ["a cancelled", "run timed out at 100"]);
}
