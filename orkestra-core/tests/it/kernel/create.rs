//! How runs start.

use orkestra_core::kernel::{NodeStatus, RunStatus, Wait, Work, agenda, waits, wake_at};
use orkestra_core::model::{NodeId, Timestamp};

use super::scene::{Node, RECOVER, Scene, TICK, cancel, create, done, gate, json, signal, task};

#[test]
fn first_nodes_start_in_the_decision_that_creates_the_run() {
    Scene::nothing().then(
        create([task("a"), task("b").after(&["a"]), task("c").within(500), gate("g", "go").within(70)]),
        ["created", "a#1 started", "c#1 started until 500", "g#1 started until 70"],
    );
}

#[test]
fn a_chain_starts_at_its_head_whatever_the_order_of_declaration() {
    let nodes = [task("c").after(&["b"]), task("b").after(&["a"]), task("a")];
    Scene::nothing()
        .then(create(nodes), ["created", "a#1 started"])
        .then(done("a#1", "1"), ["a completed 1", "b#1 started"])
        .then(done("b#1", "2"), ["b completed 2", "c#1 started"])
        .then(done("c#1", "3"), ["c completed 3", "run completed 3"]);
}

#[test]
fn a_new_run_has_work_and_waits() {
    let scene = Scene::of([task("a"), gate("g", "go"), task("b").after(&["g"])]);
    let state = scene.state();
    assert_eq!(agenda(state).collect::<Vec<_>>(), [Work::Invoke { node: NodeId(0), attempt: 1 }]);
    assert_eq!(waits(state), [Wait::Signal("go".try_into().expect("a name"))]);
    assert_eq!((state.status(), wake_at(state)), (RunStatus::Running, Some(Timestamp::ZERO)));
    assert_eq!((scene.node("a").status, scene.node("b").status), (NodeStatus::Running, NodeStatus::Pending));
}

#[test]
fn a_run_that_only_waits_for_a_signal_needs_no_driver() {
    assert_eq!(wake_at(Scene::of([gate("g", "go")]).state()), None);
    let until = wake_at(Scene::of([gate("g", "go").within(70)]).state());
    assert_eq!(until, Some(Timestamp::from_millis(70)));
}

#[test]
fn a_run_is_created_once_and_first() {
    for early in [RECOVER, TICK, cancel("why"), signal("go", "1"), done("a#1", "1")] {
        Scene::nothing().rejects(early, "there is no such run");
    }
    let mut scene = Scene::of([task("a")]);
    scene.rejects(create([task("a")]), "the run exists already");
    scene.then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    for late in [RECOVER, TICK, cancel("why"), signal("go", "1"), done("a#1", "1")] {
        scene.rejects(late, "the run has ended");
    }
    scene.rejects(create([task("a")]), "the run exists already");
}

#[test]
fn a_node_gets_the_outputs_of_the_nodes_before_it() {
    let own = task("own").after(&["a"]).with_input(json("[7]"));
    let mut scene = Scene::of([task("a"), task("b"), task("one").after(&["b"]), task("two").after(&["b", "a"]), own]);
    scene.then(done("a#1", "1"), ["a completed 1", "own#1 started"]);
    scene.then(done("b#1", "{\"x\": 2}"), ["b completed {\"x\": 2}", "one#1 started", "two#1 started"]);
    let input = |node| {
        let state = scene.state();
        state.node_input(state.plan().id(node).expect("a node")).expect("it fits")
    };
    assert_eq!(input("a"), json("\"in\""));
    assert_eq!(input("one"), json("{\"x\": 2}"));
    assert_eq!(input("two"), json("[{\"x\": 2},1]"));
    assert_eq!(input("own"), json("[7]"));
}

/// Found by reading: an input of `null` was written as `"input":null` and read back as no input, so that a node got
/// another input after a crash.
#[test]
fn an_input_of_null_is_still_null_after_a_crash() {
    let scene = Scene::of([task("a").with_input(json("null"))]);
    let replayed = Scene::replay(&scene.journal, 0);
    assert_eq!(replayed.state().node_input(NodeId(0)).expect("it fits"), json("null"));
}
