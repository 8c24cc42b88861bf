//! Forks: runs that start with the history of another run.

use orkestra_core::kernel::{InputKind, RunStatus, Wait, Work, agenda, waits};
use orkestra_core::model::{Fork, Parent, RunOptions, Seq, Timestamp};

use super::asks::{
    Options, ask, budget, child, child_done, child_ends, granted, outcome, paid_step, parked, pause, run_id, tokens,
};
use super::scene::{
    Node, RECOVER, Scene, TICK, asks, await_signal, done, end_step, fails, gate, name, signal, sleep, task,
};
use super::show::show;

#[track_caller]
fn forks<const N: usize>(scene: &Scene, node: &str, input: Option<&str>, expected: [&str; N]) -> Scene {
    let (fork, events) = scene.fork(node, input);
    let events = events.expect("it can be forked");
    assert_eq!(events.iter().map(show).collect::<Vec<_>>(), expected);
    fork
}

fn chain() -> Scene {
    let mut scene = Scene::of([task("a"), task("b").after(&["a"]), task("c").after(&["b"])]);
    scene.then(asks("a#1", end_step("k", "1")), ["a/k = 1"]);
    scene.then(done("a#1", "1"), ["a completed 1", "b#1 started"]);
    scene.then(asks("b#1", end_step("k", "2")), ["b/k = 2"]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    scene
}

#[test]
fn a_fork_from_the_middle_keeps_completed_nodes() {
    let mut scene = chain();
    scene.then(done("c#1", "3"), ["c completed 3", "run completed 3"]);
    let mut fork = forks(
        &scene,
        "b",
        None,
        ["created from r up to 4, before b", "a#1 started", "a/k = 1", "a completed 1", "b#1 started"],
    );
    let origin = Fork { run: run_id("r"), node: name("b"), seq: Seq(4) };
    assert_eq!(fork.state().options().forked_from, Some(origin));
    assert!(fork.node("b").steps.is_empty());
    fork.then(done("b#1", "9"), ["b completed 9", "c#1 started"])
        .then(done("c#1", "3"), ["c completed 3", "run completed 3"]);
}

#[test]
fn a_fork_from_the_first_node_starts_over() {
    let fork = forks(&chain(), "a", None, ["created from r up to 1, before a", "a#1 started"]);
    assert!(fork.node("a").steps.is_empty());
}

#[test]
fn a_fork_can_replace_the_input_of_its_node() {
    let fork = forks(
        &chain(),
        "b",
        Some("7"),
        ["created from r up to 4, before b", "a#1 started", "a/k = 1", "a completed 1", "b is given 7", "b#1 started"],
    );
    let state = fork.state();
    let input = |node: &str| state.node_input(state.plan().id(node).expect("a node")).expect("it fits");
    assert_eq!(input("b").as_json(), "7");
    assert_eq!(input("a").as_json(), "\"in\"");
}

#[test]
fn only_a_started_node_can_be_forked_from() {
    let scene = Scene::of([task("a"), task("b").after(&["a"])]);
    for node in ["b", "nobody"] {
        let (fork, result) = scene.fork(node, None);
        let words = format!("cannot fork at node `{node}`: it has not started in that run");
        assert_eq!(result.expect_err("it did not begin").to_string(), words);
        assert!(fork.state.is_none());
    }
    let mut scene = Scene::of([task("u").undone(), task("a")]);
    scene.feed(done("u#1", "1")).expect("u is done");
    scene.feed(fails("a#1")).expect("a fails");
    let (_, result) = scene.fork("undo:u", None);
    assert!(result.is_err(), "a compensating node is not part of the workflow");
}

#[test]
fn an_existing_run_cannot_become_a_fork() {
    let mut scene = chain();
    let events = scene.events();
    scene.rejects(
        InputKind::Fork { from: run_id("x"), events, node: name("a"), input: None, incarnation: None, undone: false },
        "the run exists already",
    );
}

#[test]
fn an_invalid_history_cannot_be_forked() {
    let mut events = chain().events();
    events.remove(1);
    let words = "cannot fork the run: event 2 of run `r` is illegal: step `k` of `a` has no running attempt";
    Scene::nothing().rejects(
        InputKind::Fork { from: run_id("x"), events, node: name("b"), input: None, incarnation: None, undone: false },
        words,
    );
}

#[test]
fn a_fork_can_be_forked() {
    let first = forks(
        &chain(),
        "b",
        Some("7"),
        ["created from r up to 4, before b", "a#1 started", "a/k = 1", "a completed 1", "b is given 7", "b#1 started"],
    );
    // Both edits hold: the second fork is based on the first.
    forks(
        &first,
        "b",
        None,
        ["created from r up to 5, before b", "a#1 started", "a/k = 1", "a completed 1", "b is given 7", "b#1 started"],
    );
}

#[test]
fn a_fork_is_not_paused() {
    let mut scene = Scene::of([task("a"), task("b").after(&["a"]), task("c").after(&["a"])]);
    scene.then(pause(), ["paused: lunch"]).then(done("a#1", "1"), ["a completed 1"]);
    scene.then(super::asks::RESUME, ["resumed", "b#1 started", "c#1 started"]).then(pause(), ["paused: lunch"]);
    let fork = forks(
        &scene,
        "c",
        None,
        [
            "created from r up to 6, before c",
            "a#1 started",
            "paused: lunch",
            "a completed 1",
            "resumed",
            "b#1 started",
            "c#1 started",
        ],
    );
    assert_eq!(fork.state().status(), RunStatus::Running);
}

#[test]
fn a_failed_run_can_be_forked() {
    let mut scene = chain();
    scene.feed(fails("c#1")).expect("it fails");
    let mut fork = scene.fork("c", None).0;
    fork.then(done("c#1", "3"), ["c completed 3", "run completed 3"]);
}

#[test]
fn a_fork_copies_the_budget_but_not_the_deadline_or_parent() {
    let parent = Some(Parent::new(run_id("p"), name("n")));
    let options = RunOptions { parent, deadline: Some(Timestamp::from_millis(50)), priority: 3, ..budget(10) };
    let mut scene = Scene::with([task("a"), task("b").after(&["a"])], options);
    scene.then(asks("a#1", paid_step("k", "1", 4)), ["a/k = 1 for 4 tokens"]);
    scene.then(done("a#1", "1"), ["a completed 1", "b#1 started"]);
    let fork = scene.fork("b", None).0;
    let options = fork.state().options();
    assert_eq!((options.deadline, &options.parent, options.priority), (None, &None, 3));
    assert_eq!((&options.budget, fork.state().spent()), (&tokens(10), &tokens(4)));
    assert_eq!(fork.state().next_timer(), None);
}

#[test]
fn sleeps_questions_and_signals_continue_in_both_runs() {
    let nodes = [task("a"), task("b"), gate("g", "go"), task("c").after(&["b"])];
    let mut scene = Scene::of(nodes);
    scene.then(asks("a#1", sleep("s", 50)), ["a/s sleeps until 50"]).then(RECOVER, ["recovered"]);
    scene
        .then(asks("a#1", ask("q", "1")), ["a/q asks 1"])
        .then(asks("a#1", await_signal("w", "mine")), ["a/w awaits mine"]);
    scene.then(signal("later", "1"), ["signal later 1"]).then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    let mut fork = scene.fork("c", None).0;
    let waits = waits(fork.state());
    // The question has an id of its own: events that are not shared are left out.
    assert!(
        waits.contains(&Wait::Timer(Timestamp::from_millis(50))) && waits.contains(&Wait::Answer(Seq(6))),
        "{waits:?}"
    );
    fork.then(signal("mine", "1"), ["signal mine 1", "a/w took mine"]);
    fork.then(signal("go", "1"), ["signal go 1", "g took go", "g completed 1"]);
    fork.at(50).then(TICK, ["a/s woke"]).then(super::asks::answer(6, "1"), ["a/q was answered 1"]);
    fork.then(asks("c#1", await_signal("w", "later")), ["c/w awaits later", "c/w took later"]);
}

/// Found by reading: a fork waited for the children of the original run, and would have cancelled them.
#[test]
fn a_fork_does_not_share_children() {
    let mut scene = Scene::of([task("a"), task("b"), task("c").after(&["b"])]);
    scene
        .then(asks("a#1", child("j", "d")), ["a/j wants d of other with 1"])
        .then(child_done("d", "5"), ["a/j ended: completed 5"]);
    scene.then(asks("a#1", child("k", "e")), ["a/k wants e of other with 1"]).then(parked("a#1"), ["a parked"]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    let mut fork = scene.fork("c", None).0;
    assert!(!agenda(fork.state()).any(|work| matches!(work, Work::StartChild { .. } | Work::CancelChild { .. })));
    // The task requests a child of its own; the ended child is remembered.
    fork.then(asks("a#1", child("j", "r2/d")), [])
        .then(asks("a#1", child("k", "r2/e")), ["a/k wants r2/e of other with 1"]);
    fork.then(child_ends("r2/e", outcome(0), 0), ["a/k ended: completed 0"]);
}

/// Found by reading: a running attempt in a fork had the deadline of the original run, long past.
#[test]
fn running_attempts_get_their_full_time_in_the_fork() {
    let mut scene = Scene::of([task("a").within(100), task("b"), task("c").after(&["b"])]);
    scene.then(done("b#1", "2"), ["b completed 2", "c#1 started"]);
    let mut fork = scene.at(90_000).fork("c", None).0;
    assert_eq!(fork.node("a").deadline, Some(Timestamp::from_millis(90_100)));
    fork.then(TICK, []).then(done("a#1", "1"), ["a completed 1"]);
}

#[test]
fn a_fork_waits_for_slots_anew() {
    let mut scene = Scene::of([task("a").limited("few")]);
    scene.then(granted("a#1"), ["a#1 started"]);
    forks(&scene, "a", Some("1"), ["created from r up to 1, before a", "a is given 1", "a queued"]);
}
