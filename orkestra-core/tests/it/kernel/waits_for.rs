//! Why a node waits, kind by kind: as JSON, and in the words that follow "waits for".

use orkestra_core::kernel::InputKind;
use orkestra_core::model::{Join, OnFailure, SlotBy};
use orkestra_core::projection::{RunView, WaitsFor};
use serde_json::{Value, json};

use super::asks::{Options, RESUME, ask, budget, charge, child, granted, may_spend, parked, pause, retry};
use super::scene::{
    Node, Scene, TICK, asks, await_signal, cancel, done, fails, fails_for_good, gate, signal, sleep, start_step, task,
    until,
};

/// What the node of this name waits for.
fn of(scene: &Scene, node: &str) -> Vec<WaitsFor> {
    let view = RunView::of(scene.state());
    let found = view.nodes.into_iter().find(|found| found.name.as_str() == node);
    found.expect("a node of the plan").waits_for
}

/// The node waits for exactly this: JSON and words for each.
#[track_caller]
fn waits<const N: usize>(scene: &Scene, node: &str, expected: [(Value, &str); N]) {
    let waits = of(scene, node);
    let shown: Vec<_> = waits.iter().map(|wait| (json!(wait), wait.to_string())).collect();
    let expected: Vec<_> = expected.into_iter().map(|(json, words)| (json, words.to_owned())).collect();
    assert_eq!(shown, expected);
    for wait in &waits {
        assert_eq!(json!(wait)["kind"], wait.kind());
    }
}

fn feed<const N: usize>(scene: &mut Scene, inputs: [InputKind; N]) {
    for input in inputs {
        scene.feed(input).expect("it is taken");
    }
}

#[test]
fn a_task_waits_for_a_timer_until_its_time() {
    let mut scene = Scene::of([task("a")]);
    waits(&scene, "a", []);
    feed(&mut scene, [asks("a#1", sleep("nap", 60_000))]);
    let nap = || (json!({"kind": "timer", "key": "nap", "until": 60_000}), "a timer, until 1970-01-01T00:01:00.000Z");
    waits(&scene, "a", [nap()]);
    // The same when it is dropped from memory.
    feed(&mut scene, [parked("a#1")]);
    waits(&scene, "a", [nap()]);
    scene.at(60_000);
    feed(&mut scene, [TICK]);
    waits(&scene, "a", []);
}

#[test]
fn a_gate_and_a_task_wait_for_a_signal_with_their_time_limits() {
    let mut scene = Scene::of([gate("approve", "go").within(5_000), task("a"), gate("open", "now")]);
    feed(&mut scene, [asks("a#1", await_signal("k", "stop")), asks("a#1", until(await_signal("l", "stop"), 7_000))]);
    waits(
        &scene,
        "open",
        [(json!({"kind": "signal", "key": null, "signal": "now", "until": null}), "the signal `now`")],
    );
    waits(
        &scene,
        "approve",
        [(
            json!({"kind": "signal", "key": null, "signal": "go", "until": 5_000}),
            "the signal `go`, until 1970-01-01T00:00:05.000Z",
        )],
    );
    let late = (
        json!({"kind": "signal", "key": "l", "signal": "stop", "until": 7_000}),
        "the signal `stop`, until 1970-01-01T00:00:07.000Z",
    );
    let first = (json!({"kind": "signal", "key": "k", "signal": "stop", "until": null}), "the signal `stop`");
    waits(&scene, "a", [first, late.clone()]);
    feed(&mut scene, [signal("stop", "1"), signal("go", "1")]);
    waits(&scene, "a", [late]);
    waits(&scene, "approve", []);
}

#[test]
fn a_question_is_shown_with_its_id_and_its_text() {
    let mut scene = Scene::of([task("a").backs_off(2, 50)]);
    feed(&mut scene, [asks("a#1", until(ask("k", "\"go?\""), 9_000))]);
    let question = || {
        (
            json!({"kind": "question", "key": "k", "id": 3, "question": "go?", "until": 9_000}),
            "an answer to question 3, \"go?\", until 1970-01-01T00:00:09.000Z",
        )
    };
    waits(&scene, "a", [question()]);
    // It outlives the attempt that asked.
    feed(&mut scene, [fails("a#1")]);
    let retry = json!({"kind": "retry", "attempt": 2, "until": 50});
    waits(&scene, "a", [(retry, "attempt 2, at 1970-01-01T00:00:00.050Z"), question()]);
}

#[test]
fn a_question_that_is_too_long_to_quote_is_named_by_its_id() {
    let mut scene = Scene::of([task("a")]);
    feed(&mut scene, [asks("a#1", ask("k", &format!("\"{}\"", "x".repeat(300))))]);
    assert_eq!(of(&scene, "a")[0].to_string(), "an answer to question 3");
}

#[test]
fn a_task_waits_for_a_child_run() {
    let mut scene = Scene::of([task("a")]);
    feed(&mut scene, [asks("a#1", child("k", "c"))]);
    waits(
        &scene,
        "a",
        [(
            json!({"kind": "child", "key": "k", "run": "c", "workflow": "other", "until": null}),
            "the end of run `c` of workflow `other`",
        )],
    );
}

#[test]
fn a_node_waits_for_the_delay_of_its_retry() {
    let mut scene = Scene::of([task("a").backs_off(3, 2_000)]);
    feed(&mut scene, [fails("a#1")]);
    waits(
        &scene,
        "a",
        [(json!({"kind": "retry", "attempt": 2, "until": 2_000}), "attempt 2, at 1970-01-01T00:00:02.000Z")],
    );
}

#[test]
fn a_node_waits_for_slots_whose_queue_the_state_does_not_know() {
    let mut scene = Scene::of([task("a").limited("cpu").limited_by("model", SlotBy::Key("big".into()))]);
    let slot = |limit: &str, key: Option<&str>| json!({"limit": limit, "key": key, "place": null, "in_use": null, "at_once": null, "free_at": null});
    let slots = json!({"kind": "slots", "slots": [slot("cpu", None), slot("model", Some("big"))]});
    waits(&scene, "a", [(slots, "slots of `cpu` and `model` for `big`")]);
    feed(&mut scene, [granted("a#1")]);
    waits(&scene, "a", []);
}

#[test]
fn a_node_waits_for_the_nodes_that_its_join_rule_needs() {
    let mut scene = Scene::of([
        task("a"),
        task("b"),
        task("c"),
        task("all").after(&["a", "b", "c"]),
        task("any").after(&["a", "b"]).joins(Join::Any).or(OnFailure::Skip),
        task("two").after(&["a", "b", "c"]).joins(Join::AtLeast(2)),
        task("settled").after(&["a"]).joins(Join::Settled),
        task("last").after(&["all"]),
    ]);
    let nodes = |nodes: &[&str], needed: usize| json!({"kind": "nodes", "nodes": nodes, "needed": needed});
    waits(&scene, "all", [(nodes(&["a", "b", "c"], 3), "the nodes `a`, `b` and `c`")]);
    waits(&scene, "any", [(nodes(&["a", "b"], 1), "1 of the nodes `a` and `b`")]);
    waits(&scene, "two", [(nodes(&["a", "b", "c"], 2), "2 of the nodes `a`, `b` and `c`")]);
    waits(&scene, "settled", [(nodes(&["a"], 1), "node `a`")]);
    waits(&scene, "last", [(nodes(&["all"], 1), "node `all`")]);
    feed(&mut scene, [done("b#1", "1")]);
    waits(&scene, "all", [(nodes(&["a", "c"], 2), "the nodes `a` and `c`")]);
    waits(&scene, "two", [(nodes(&["a", "c"], 1), "1 of the nodes `a` and `c`")]);
    waits(&scene, "any", []);
}

#[test]
fn a_pause_comes_first_and_holds_up_only_what_could_go_on() {
    let mut scene = Scene::of([
        task("a"),
        task("b").after(&["a"]),
        gate("g", "go"),
        task("late").after(&["b"]),
        task("slow").backs_off(2, 50),
        task("few").limited("cpu"),
    ]);
    feed(&mut scene, [asks("a#1", start_step("k")), fails("slow#1")]);
    scene.at(9);
    feed(&mut scene, [pause()]);
    let paused = || (json!({"kind": "pause", "reason": "lunch", "since": 9}), "the end of a pause: lunch");
    waits(&scene, "a", [paused()]);
    waits(&scene, "b", [(json!({"kind": "nodes", "nodes": ["a"], "needed": 1}), "node `a`")]);
    waits(&scene, "g", [(json!({"kind": "signal", "key": null, "signal": "go", "until": null}), "the signal `go`")]);
    let retry = json!({"kind": "retry", "attempt": 2, "until": 50});
    waits(&scene, "slow", [paused(), (retry, "attempt 2, at 1970-01-01T00:00:00.050Z")]);
    assert_eq!(of(&scene, "few").iter().map(WaitsFor::kind).collect::<Vec<_>>(), ["pause", "slots"]);
    feed(&mut scene, [done("a#1", "1")]);
    waits(&scene, "b", [paused()]);
    feed(&mut scene, [RESUME]);
    waits(&scene, "b", []);
}

#[test]
fn a_budget_that_was_reached_says_what_was_spent_of_what() {
    let mut scene = Scene::with([task("a"), task("b")], budget(5));
    feed(&mut scene, [asks("a#1", charge("k", 7))]);
    waits(
        &scene,
        "b",
        [(
            json!({"kind": "budget", "meter": "tokens", "spent": 7_000_000, "limit": 5_000_000, "since": 0}),
            "a higher budget of `tokens`: 7 of 5 are spent",
        )],
    );
    let raised = "the budget of `tokens` was reached and raised since";
    for more in [may_spend(Some(8)), may_spend(None)] {
        feed(&mut scene, [more]);
        let pause = json!({"kind": "pause", "reason": raised, "since": 0});
        waits(&scene, "b", [(pause, &*format!("the end of a pause: {raised}"))]);
    }
}

#[test]
fn a_failed_node_waits_for_a_decision_until_it_is_made() {
    let mut scene =
        Scene::of([task("a").or(OnFailure::Pause), task("b").or(OnFailure::Pause), task("c").after(&["a"])]);
    feed(&mut scene, [fails_for_good("a#1"), fails_for_good("b#1")]);
    let decision = || (json!({"kind": "decision"}), "a decision on its failure");
    waits(&scene, "a", [decision()]);
    waits(&scene, "b", [decision()]);
    let paused = json!({"kind": "pause", "reason": "node `a` failed", "since": 0});
    waits(&scene, "c", [(paused, "the end of a pause: node `a` failed")]);
    feed(&mut scene, [retry("a")]);
    waits(&scene, "b", [decision()]);
    assert_eq!(of(&scene, "a").iter().map(WaitsFor::kind).collect::<Vec<_>>(), ["pause"]);
}

#[test]
fn a_run_that_is_cancelled_waits_for_its_tasks_to_stop() {
    let mut scene = Scene::of([task("a"), task("b").after(&["a"])]);
    feed(&mut scene, [cancel("why")]);
    let stop = json!({"kind": "stop", "until": 10_000});
    waits(&scene, "a", [(stop, "its task, which was asked to stop, until 1970-01-01T00:00:10.000Z at the latest")]);
    waits(&scene, "b", []);
    feed(&mut scene, [fails("a#1")]);
    waits(&scene, "a", []);
}
