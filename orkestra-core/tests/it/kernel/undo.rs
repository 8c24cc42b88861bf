//! Compensation of completed nodes, when a run ends early.

use orkestra_core::kernel::{NodeStatus, RunStatus, wake_at};
use orkestra_core::model::limits::{NAME_BYTES_MAX, NODES_MAX};
use orkestra_core::model::{NodeSpec, OnFailure};

use super::asks::{Options, deadline, pause, retry, terminate};
use super::scene::{
    Node, RECOVER, Scene, TICK, asks, cancel, done, end_step, fails, fails_for_good, gate, grow, signal, task,
};

/// Three nodes that can be compensated and one that cannot; `b` completed last, `c` not at all.
fn partly_done() -> Scene {
    let nodes = [task("a").undone(), task("b").undone(), task("c").undone(), task("d"), task("e")];
    let mut scene = Scene::of(nodes);
    scene.then(done("d#1", "4"), ["d completed 4"]).then(done("a#1", "1"), ["a completed 1"]);
    scene.then(done("b#1", "2"), ["b completed 2"]);
    scene
}

fn undoing() -> Scene {
    let mut scene = partly_done();
    scene.then(fails("e#1"), ["e#1 failed (error), given up", "stop because e failed, grace until 10000"]);
    scene.then(fails("c#1"), ["c cancelled", "undoing [undo:b undo:a] []", "undo:b#1 started"]);
    scene
}

#[test]
fn completed_nodes_are_compensated_in_reverse_order() {
    let mut scene = undoing();
    assert_eq!(scene.state().status(), RunStatus::Compensating);
    let undo = scene.state().plan().id("undo:b").expect("a node");
    assert_eq!(scene.state().node_input(undo).expect("it fits").as_json(), "2", "the output of what is undone");
    scene.then(asks("undo:b#1", end_step("k", "1")), ["undo:b/k = 1"]);
    scene.then(done("undo:b#1", "0"), ["undo:b completed 0", "undo:a#1 started"]);
    let undo = scene.state().plan().id("undo:a").expect("a node");
    assert_eq!(scene.state().node_input(undo).expect("it fits").as_json(), "1");
    scene.then(done("undo:a#1", "0"), ["undo:a completed 0", "run failed at e (error)"]);
}

#[test]
fn a_failed_compensation_does_not_stop_the_others() {
    let mut scene = undoing();
    for (attempt, again_at) in [(1, 1000), (2, 3000), (3, 7000), (4, 15_000)] {
        let failed = format!("undo:b#{attempt} failed (error), again at {again_at}");
        scene.then(fails(&format!("undo:b#{attempt}")), [failed.as_str()]);
        let started = format!("undo:b#{} started", attempt + 1);
        scene.at(again_at).then(TICK, [started.as_str()]);
    }
    scene.then(fails("undo:b#5"), ["undo:b#5 failed (error), given up", "undo:a#1 started"]);
    scene.then(fails_for_good("undo:a#1"), ["undo:a#1 failed (error), given up", "run failed at e (error)"]);
    assert_eq!(scene.node("undo:b").status, NodeStatus::Failed);
}

#[test]
fn cancelled_and_timed_out_runs_are_compensated_too() {
    let mut scene = partly_done();
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.at(10_000).then(TICK, ["c cancelled", "e cancelled", "undoing [undo:b undo:a] []", "undo:b#1 started"]);
    // Compensation has no grace.
    scene
        .at(99_000)
        .then(TICK, [])
        .rejects(cancel("why"), "the run is stopping")
        .rejects(pause(), "the run is stopping");
    scene.rejects(retry("undo:b"), "the run is stopping");
    scene.then(done("undo:b#1", "0"), ["undo:b completed 0", "undo:a#1 started"]);
    scene.then(done("undo:a#1", "0"), ["undo:a completed 0", "run cancelled: why"]);

    let mut scene = Scene::with([task("a").undone(), gate("g", "go")], deadline(100));
    scene.then(done("a#1", "1"), ["a completed 1"]);
    scene.at(100).then(
        TICK,
        ["stop at the deadline 100, grace until 10100", "g cancelled", "undoing [undo:a] []", "undo:a#1 started"],
    );
    scene.then(done("undo:a#1", "0"), ["undo:a completed 0", "run timed out at 100"]);
}

#[test]
fn nodes_completed_while_stopping_are_compensated_too() {
    let mut scene = Scene::of([task("a").undone(), task("b").after(&["a"])]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.then(done("a#1", "1"), ["a completed 1", "undoing [undo:a] []", "undo:a#1 started"]);
}

#[test]
fn a_run_without_compensations_ends_at_once() {
    let mut scene = Scene::of([task("a").undone(), task("b").undone().or(OnFailure::Continue)]);
    scene.then(fails("b#1"), ["b#1 failed (error), given up"]);
    scene.then(
        fails("a#1"),
        ["a#1 failed (error), given up", "stop because a failed, grace until 10000", "run failed at a (error)"],
    );
}

#[test]
fn a_completed_run_is_not_compensated() {
    Scene::of([task("a").undone()]).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
}

#[test]
fn compensation_continues_in_another_process() {
    let scene = undoing();
    for kept in 1..=scene.journal.len() {
        let mut scene = Scene::replay(&scene.journal[..kept], 20_000);
        drop(scene.feed(RECOVER));
        super::world::drive(&mut scene);
        assert!(scene.state().status().is_final());
    }
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.then(RECOVER, ["recovered"]).then(done("undo:b#1", "0"), ["undo:b completed 0", "undo:a#1 started"]);
    let undo = scene.state().plan().id("undo:a").expect("a node");
    assert_eq!(scene.state().node_input(undo).expect("it fits").as_json(), "1");
}

#[test]
fn terminating_ends_compensation() {
    let mut scene = undoing();
    scene.then(terminate(), ["run terminated: enough"]);
    assert_eq!((scene.node("undo:a").status, wake_at(scene.state())), (NodeStatus::Cancelled, None));
    scene.rejects(retry("e"), "the run has been compensated; it cannot continue");
}

#[test]
fn signals_and_growth_during_compensation() {
    use orkestra_core::model::Growth;
    let mut scene = undoing();
    scene.then(signal("go", "1"), ["signal go 1"]);
    scene.rejects(asks("undo:b#1", grow("k", Growth::new().with_node(task("n")))), "the run is stopping");
    scene.then(asks("undo:b#1", super::scene::await_signal("k", "go")), ["undo:b/k awaits go", "undo:b/k took go"]);
}

/// The names of the nodes that compensate `nodes`, all of them completed.
fn undo_names(nodes: Vec<NodeSpec>) -> Vec<String> {
    let names: Vec<_> = nodes.iter().map(|node| node.name.clone()).collect();
    let mut scene = Scene::nothing();
    scene.feed(super::scene::create([nodes, vec![gate("last", "go")]].concat())).expect("a run");
    for name in names {
        scene.feed(done(&format!("{name}#1"), "1")).expect("it is done");
    }
    let first = scene.state().plan().nodes().len();
    scene.feed(cancel("why")).expect("it stops");
    super::world::drive(&mut scene);
    assert_eq!(scene.state().status(), RunStatus::Cancelled);
    scene.state().plan().nodes()[first..].iter().map(|node| node.spec.name.to_string()).collect()
}

/// Found by reading: two compensating nodes with the same name made the decision illegal, and the run could never end.
#[test]
fn compensation_names_that_are_taken_or_too_long_are_numbered() {
    let plain = |node: &str| task(node).undone();
    assert_eq!(undo_names(vec![plain("a"), task("undo:a")]), ["undo:0.1:a"]);
    // The second would get the numbered name of the first.
    assert_eq!(undo_names(vec![plain("a"), plain("0.1:a"), task("undo:a")]), ["undo:0.1:a", "undo:0.2:a"],);
    let long = "x".repeat(NAME_BYTES_MAX);
    let names = undo_names(vec![plain(&long), plain(&format!("{}y", &long[1..]))]);
    assert_eq!(names.len(), 2);
    assert!(names[0].starts_with("undo:1.1:xxx") && names[1].starts_with("undo:0.1:xxx"), "{names:?}");
}

/// Found by reading: a plan of maximum size left no space for compensation, and nothing was compensated.
#[test]
fn the_largest_plan_is_compensated_too() {
    use orkestra_core::kernel::{Input, decide};
    use orkestra_core::model::Timestamp;

    // Without the checks of every input, which would take too long here.
    let mut scene = Scene::nothing();
    let nodes: Vec<_> = (0..NODES_MAX).map(|number| task(&format!("n{number}")).undone()).collect();
    let feed = |scene: &mut Scene, kind| {
        decide(&scene.run, &mut scene.state, Input { at: Timestamp::ZERO, chance: 0.0, kind }).expect("it is accepted")
    };
    feed(&mut scene, super::scene::create(nodes));
    for number in 0..NODES_MAX - 1 {
        feed(&mut scene, done(&format!("n{number}#1"), "1"));
    }
    let events = feed(&mut scene, fails_for_good(&format!("n{}#1", NODES_MAX - 1)));
    assert_eq!(events.len(), 4);
    assert_eq!(scene.state().status(), RunStatus::Compensating);
    assert_eq!(scene.state().plan().nodes().len(), 2 * NODES_MAX - 1);
    feed(&mut scene, done(&format!("undo:n{}#1", NODES_MAX - 2), "1"));
    feed(&mut scene, terminate());
}
