//! Plans that grow during the run.

use orkestra_core::kernel::{NodeStatus, StepState};
use orkestra_core::model::{Growth, limits};

use super::scene::{Node, Scene, asks, cancel, done, end_step, gate, grow, json, name, signal, task};

#[test]
fn new_first_nodes_start_at_once() {
    let mut scene = Scene::of([task("a"), task("z").after(&["a"])]);
    let growth = Growth::new()
        .with_node(task("b"))
        .with_node(task("c").after(&["b"]))
        .with_node(task("d").after(&["a"]))
        .with_edge(name("c"), name("z"));
    scene.then(asks("a#1", grow("k", growth)), ["a/k grew [b c d] [c->z]", "b#1 started"]);
    scene.then(done("a#1", "1"), ["a completed 1", "d#1 started"]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    scene.then(done("c#1", "3"), ["c completed 3", "z#1 started"]);
    scene.then(done("z#1", "4"), ["z completed 4"]);
    scene.then(done("d#1", "5"), ["d completed 5", "run completed {\"d\":5,\"z\":4}"]);
}

#[test]
fn a_new_node_after_completed_nodes_starts_at_once() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    let growth = Growth::new().with_node(task("c").after(&["b"]));
    scene.then(asks("a#1", grow("k", growth)), ["a/k grew [c] []", "c#1 started"]);
}

#[test]
fn an_edge_from_a_completed_node_does_not_delay() {
    let mut scene = Scene::of([task("a"), task("b"), task("z").after(&["a"])]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    let growth = Growth::new().with_edge(name("b"), name("z"));
    scene.then(asks("a#1", grow("k", growth)), ["a/k grew [] [b->z]"]);
    scene.then(done("a#1", "1"), ["a completed 1", "z#1 started"]);
    let state = scene.state();
    assert_eq!(state.node_input(state.plan().id("z").expect("z")).expect("it fits"), json("[1,2]"));
}

#[test]
fn a_new_gate_takes_an_early_signal() {
    let mut scene = Scene::of([task("a")]);
    scene.then(signal("go", "1"), ["signal go 1"]);
    let growth = Growth::new().with_node(gate("g", "go")).with_node(task("b").after(&["g"]));
    scene.then(
        asks("a#1", grow("k", growth)),
        ["a/k grew [g b] []", "g#1 started", "g took go", "g completed 1", "b#1 started"],
    );
}

#[test]
fn growth_is_applied_once_per_key() {
    let mut scene = Scene::of([task("a")]);
    let growth = || grow("k", Growth::new().with_node(task("b")));
    scene.then(asks("a#1", growth()), ["a/k grew [b] []", "b#1 started"]).then(asks("a#1", growth()), []);
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("null")));
}

#[test]
fn growth_that_does_not_fit_changes_nothing() {
    let mut scene = Scene::of([task("a"), task("b"), task("y"), task("x").after(&["y"]), task("z").after(&["x"])]);
    scene.then(done("b#1", "1"), ["b completed 1"]);
    let new = || Growth::new().with_node(task("n"));
    for (growth, words) in [
        (new().with_edge(name("n"), name("a")), "cannot add an edge to node `a`: it has already started"),
        (new().with_edge(name("n"), name("b")), "cannot add an edge to node `b`: it has already started"),
        (new().with_edge(name("z"), name("x")), "the workflow has a cycle: x -> z -> x"),
        (new().with_edge(name("n"), name("n")), "the workflow has a cycle: n -> n"),
        (new().with_node(task("n")), "two nodes are named `n`"),
        (new().with_node(task("z")), "two nodes are named `z`"),
        (new().with_node(task("m").after(&["lost"])), "node `m` comes after `lost`, but there is no such node"),
        (new().with_edge(name("n"), name("lost")), "node `lost` comes after `lost`, but there is no such node"),
    ] {
        scene.rejects(asks("a#1", grow("k", growth)), words);
    }
    let many: Vec<_> = (0..limits::NODES_MAX).map(|number| task(&format!("n{number}"))).collect();
    let growth = Growth { nodes: many, edges: Vec::new() };
    scene.rejects(
        asks("a#1", grow("k", growth)),
        "the plan is too large: it may have at most 10000 nodes and 200000 edges",
    );
    // A rejected growth leaves nothing behind: the same names and the opposite edge are free.
    let growth = new().with_edge(name("n"), name("x")).with_edge(name("n"), name("z"));
    scene.then(asks("a#1", grow("k", growth)), ["a/k grew [n] [n->x n->z]", "n#1 started"]);
}

#[test]
fn inputs_of_new_nodes_have_a_limit_together() {
    // Each of them may be this large.
    let part = json(&format!("\"{}\"", "x".repeat(1_999_998)));
    let nodes = (0..34).map(|number| task(&format!("n{number}")).with_input(part.clone())).collect();
    let mut scene = Scene::of([task("a")]);
    let rejection = scene.feed(asks("a#1", grow("k", Growth { nodes, edges: Vec::new() }))).err();
    assert!(rejection.is_some_and(|words| words.to_string().starts_with("the payload has 68000000 bytes")));
}

#[test]
fn an_existing_edge_counts_once() {
    let mut scene = Scene::of([task("a"), task("z").after(&["a", "a"])]);
    let growth = Growth::new().with_edge(name("a"), name("z")).with_edge(name("a"), name("z"));
    scene.then(asks("a#1", grow("k", growth)), ["a/k grew [] [a->z a->z]"]);
    scene.then(done("a#1", "1"), ["a completed 1", "z#1 started"]);
}

#[test]
fn a_stopping_run_does_not_grow() {
    let mut scene = Scene::of([task("a")]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.rejects(asks("a#1", grow("k", Growth::new().with_node(task("b")))), "the run is stopping");
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    assert_eq!(scene.node("a").status, NodeStatus::Running);
}
