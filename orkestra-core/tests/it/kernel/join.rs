//! How nodes wait for the nodes before them, and which of them run: joins, conditions, failure policies, priorities.

use orkestra_core::kernel::{NodeStatus, RunStatus, SkipReason};
use orkestra_core::model::{Growth, Join, OnFailure};

use super::asks::{Options, RESUME, pause};
use super::scene::{Node, Scene, asks, done, fails, gate, grow, json, name, signal, task};

#[track_caller]
fn input(scene: &Scene, node: &str) -> String {
    let state = scene.state();
    let input = state.node_input(state.plan().id(node).expect("a node")).expect("it fits");
    input.as_json().to_owned()
}

#[test]
fn any_starts_after_the_first_completed_node() {
    let mut scene = Scene::of([task("a"), task("b"), task("c").after(&["a", "b"]).joins(Join::Any)]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    scene.then(done("a#1", "1"), ["a completed 1"]);
    assert_eq!(input(&scene, "c"), "2", "the input it started with");
    let scene = Scene::replay(&scene.journal, 9);
    assert_eq!(input(&scene, "c"), "2", "in another process too");
}

#[test]
fn another_attempt_gets_the_same_input() {
    for join in [Join::Any, Join::AtLeast(1)] {
        let mut scene = Scene::of([task("a"), task("b"), task("c").after(&["a", "b"]).joins(join).tries(2)]);
        scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
        let first = input(&scene, "c");
        scene.then(done("a#1", "1"), ["a completed 1"]);
        scene.then(fails("c#1"), ["c#1 failed (error), again at 0", "c#2 started"]);
        assert_eq!(input(&scene, "c"), first);
    }
}

#[test]
fn any_is_skipped_when_no_node_can_complete() {
    let skips = |node: &str| task(node).or(OnFailure::Skip);
    let mut scene = Scene::of([skips("a"), skips("b"), task("c").after(&["a", "b"]).joins(Join::Any)]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.then(fails("b#1"), ["b#1 failed (error), given up", "c skipped", "run completed null"]);
}

#[test]
fn at_least_starts_with_the_outputs_in_declared_order() {
    let join = task("j").after(&["a", "b", "c"]).joins(Join::AtLeast(2));
    let mut scene = Scene::of([task("a"), task("b"), task("c"), join]);
    scene.then(done("c#1", "3"), ["c completed 3"]);
    scene.then(done("a#1", "1"), ["a completed 1", "j#1 started"]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    assert_eq!(input(&scene, "j"), "[1,3]");
    assert_eq!(input(&Scene::replay(&scene.journal, 9), "j"), "[1,3]");
}

#[test]
fn at_least_is_skipped_as_soon_as_too_many_failed() {
    let skips = |node: &str| task(node).or(OnFailure::Skip);
    let join = task("j").after(&["a", "b", "c"]).joins(Join::AtLeast(2));
    let mut scene = Scene::of([skips("a"), skips("b"), skips("c"), join]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up"]);
    scene.then(fails("c#1"), ["c#1 failed (error), given up", "j skipped"]);
    scene.then(done("b#1", "2"), ["b completed 2", "run completed null"]);
}

#[test]
fn settled_waits_until_all_have_ended() {
    let nodes = [
        task("a"),
        task("b").or(OnFailure::Skip),
        task("c").after(&["b"]),
        task("j").after(&["a", "b", "c"]).joins(Join::Settled),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(fails("b#1"), ["b#1 failed (error), given up", "c skipped"]);
    scene.then(done("a#1", "1"), ["a completed 1", "j#1 started"]);
    assert_eq!(input(&scene, "j"), "[1,null,null]");
    scene.then(done("j#1", "4"), ["j completed 4", "run completed 4"]);
}

#[test]
fn a_settled_node_after_one_node_gets_a_list_of_one() {
    let mut scene = Scene::of([task("a"), task("j").after(&["a"]).joins(Join::Settled)]);
    scene.then(done("a#1", "1"), ["a completed 1", "j#1 started"]);
    assert_eq!(input(&scene, "j"), "[1]");
}

#[test]
fn first_nodes_start_whatever_their_join() {
    for join in [Join::All, Join::Any, Join::Settled] {
        let mut scene = Scene::of([task("a").joins(join)]);
        assert_eq!(input(&scene, "a"), "\"in\"");
        scene.then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    }
}

/// Found by reading: the input of an any-node was only fixed when it started, but the keys of its slots are made from
/// its input before.
#[test]
fn the_chosen_inputs_are_fixed_when_a_node_is_queued() {
    use orkestra_core::model::SlotBy;
    let join = task("j").after(&["a", "b"]).joins(Join::Any).limited_by("few", SlotBy::Input(String::new()));
    let mut scene = Scene::of([task("a"), task("b"), join]);
    scene.then(done("b#1", "2"), ["b completed 2", "j queued"]);
    scene.then(done("a#1", "1"), ["a completed 1"]);
    let state = scene.state();
    let slots = state.slots(state.plan().id("j").expect("a node"));
    assert_eq!(slots.iter().map(ToString::to_string).collect::<Vec<_>>(), ["few[2]"]);
    scene.then(super::asks::granted("j#1"), ["j#1 started"]);
    assert_eq!(input(&scene, "j"), "2");
}

#[test]
fn a_join_waits_for_nodes_added_by_growth() {
    let mut scene = Scene::of([task("a"), task("b"), task("j").after(&["a", "b"]).joins(Join::AtLeast(2))]);
    let more = Growth::new().with_node(task("c")).with_edge(name("c"), name("j"));
    scene.then(asks("a#1", grow("k", more)), ["a/k grew [c] [c->j]", "c#1 started"]);
    scene.then(done("c#1", "3"), ["c completed 3"]);
    scene.then(done("b#1", "2"), ["b completed 2", "j#1 started"]);
    assert_eq!(input(&scene, "j"), "[2,3]");
}

#[test]
fn a_node_added_after_a_skipped_one_is_skipped_too() {
    let nodes = [task("a"), task("b").when(r#"{"is": {"equals": 0}}"#), task("j").after(&["a"])];
    let mut scene = Scene::of(nodes);
    let more = Growth::new().with_edge(name("b"), name("j"));
    scene.then(asks("a#1", grow("k", more)), ["a/k grew [] [b->j]", "j skipped"]);
}

#[test]
fn a_condition_tests_an_earlier_output_or_the_run_input() {
    let nodes = [
        task("a"),
        task("yes").after(&["a"]).when(r#"{"node": "a", "pointer": "/risk", "is": {"at_least": 7}}"#),
        task("no").after(&["a"]).when(r#"{"not": {"node": "a", "pointer": "/risk", "is": {"at_least": 7}}}"#),
        task("in").after(&["a"]).when(r#"{"all": [{"is": {"equals": "in"}}, {"node": "a", "is": "present"}]}"#),
        task("then").after(&["no"]),
    ];
    let mut scene = Scene::of(nodes);
    scene.then(
        done("a#1", r#"{"risk": 7}"#),
        [r#"a completed {"risk": 7}"#, "yes#1 started", "no skipped by its condition", "then skipped", "in#1 started"],
    );
    assert_eq!(scene.node("no").skipped, Some(SkipReason::Condition));
    assert_eq!(scene.node("then").skipped, Some(SkipReason::Upstream));
}

#[test]
fn a_run_with_only_skipped_nodes_completes_at_once() {
    let mut scene = Scene::nothing();
    let never = task("a").when(r#"{"is": "absent"}"#);
    scene.then(
        super::scene::create([never, task("b").after(&["a"])]),
        ["created", "a skipped by its condition", "b skipped", "run completed null"],
    );
}

#[test]
fn a_condition_is_evaluated_once_for_all_attempts() {
    let mut scene = Scene::of([task("a").when(r#"{"is": {"equals": "in"}}"#).tries(2)]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
}

#[test]
fn a_failure_fails_the_run_or_skips_or_continues() {
    let of = |policy| Scene::of([task("a").or(policy), task("b"), task("c").after(&["a"])]);
    of(OnFailure::Fail)
        .then(fails("a#1"), ["a#1 failed (error), given up", "stop because a failed, grace until 10000"]);
    let mut scene = of(OnFailure::Skip);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "c skipped"]);
    scene.then(done("b#1", "2"), ["b completed 2", r#"run completed {"b":2,"c":null}"#]);
    let mut scene = of(OnFailure::Continue);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "c#1 started"]);
    assert_eq!(input(&scene, "c"), "null");
    assert_eq!(scene.node("a").status, NodeStatus::Failed);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    scene.then(done("c#1", "3"), ["c completed 3", r#"run completed {"b":2,"c":3}"#]);
}

#[test]
fn a_failure_that_pauses_waits_for_a_decision() {
    let mut scene = Scene::of([task("a").or(OnFailure::Pause), task("b").after(&["a"]), task("c")]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
    assert_eq!(scene.state().status(), RunStatus::Paused);
    // No retry is requested: the nodes that depend on it are skipped.
    scene.then(RESUME, ["resumed", "b skipped"]);
    scene.then(done("c#1", "3"), ["c completed 3", r#"run completed {"b":null,"c":3}"#]);
}

#[test]
fn the_last_node_may_pause_the_run_too() {
    let mut scene = Scene::of([task("a").or(OnFailure::Pause)]);
    scene.then(fails("a#1"), ["a#1 failed (error), given up", "paused because a failed"]);
    scene.then(RESUME, ["resumed", "run completed null"]);
}

#[test]
fn higher_priority_starts_first() {
    let mut scene = Scene::nothing();
    let nodes = [task("a"), task("b").first(5), task("c").first(-1), task("d").first(5)];
    scene.then(super::scene::create(nodes), ["created", "b#1 started", "d#1 started", "a#1 started", "c#1 started"]);
    let mut scene = Scene::of([
        gate("g", "go"),
        task("a").after(&["g"]),
        task("b").after(&["g"]).first(1),
        task("c").after(&["g"]),
    ]);
    scene.then(
        signal("go", "1"),
        ["signal go 1", "g took go", "g completed 1", "b#1 started", "a#1 started", "c#1 started"],
    );
}

#[test]
fn higher_priority_starts_first_after_a_pause_too() {
    let nodes = [task("a"), task("b").after(&["a"]), task("c").after(&["a"]).first(1)];
    let mut scene = Scene::of(nodes);
    scene.then(pause(), ["paused: lunch"]).then(done("a#1", "1"), ["a completed 1"]);
    scene.then(RESUME, ["resumed", "c#1 started", "b#1 started"]);
}

#[test]
fn the_own_input_of_a_node_wins() {
    let mut scene = Scene::of([task("a"), task("j").after(&["a"]).joins(Join::Any).with_input(json("5"))]);
    scene.then(done("a#1", "1"), ["a completed 1", "j#1 started"]);
    assert_eq!(input(&scene, "j"), "5");
}
