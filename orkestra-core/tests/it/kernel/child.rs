//! Questions, child runs, and tasks that are parked while they wait.

use orkestra_core::kernel::{InputKind, Outcome, RunStatus, StepState, Wait, Work, agenda, waits, wake_at};
use orkestra_core::model::{Failure, Parent, RunOptions, Seq, Timestamp};

use super::asks::{
    PARENT_TOLD, RESUME, answer, ask, child, child_cancelled, child_done, child_ends, parked, pause, run_id, terminate,
};
use super::scene::{
    Node, RECOVER, Scene, TICK, asks, await_signal, cancel, done, end_step, fails, fails_for_good, json, name, signal,
    sleep, task,
};

#[test]
fn a_question_is_answered_by_its_id() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", ask("k", "\"go?\"")), ["a/k asks \"go?\""]).then(asks("a#1", ask("k", "\"other?\"")), []);
    assert_eq!(waits(scene.state()), [Wait::Answer(Seq(3))]);
    scene.rejects(answer(2, "1"), "question 2 is not open: it was answered, withdrawn, or never asked");
    scene.then(answer(3, "true"), ["a/k was answered true"]);
    scene.rejects(answer(3, "false"), "question 3 is not open: it was answered, withdrawn, or never asked");
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("true")));
    scene.then(asks("a#1", ask("k", "1")), []);
}

#[test]
fn a_question_outlives_an_attempt_and_ends_with_its_node() {
    let mut scene = Scene::of([task("a").backs_off(2, 50), task("b")]);
    scene.then(asks("a#1", ask("k", "1")), ["a/k asks 1"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 50"]);
    scene.then(answer(4, "2"), ["a/k was answered 2"]);
    scene.at(50).then(TICK, ["a#2 started"]).then(asks("a#2", ask("k", "1")), []);
    scene.then(asks("a#2", ask("l", "1")), ["a/l asks 1"]).then(done("a#2", "1"), ["a completed 1"]);
    scene.rejects(answer(8, "2"), "question 8 is not open: it was answered, withdrawn, or never asked");
}

#[test]
fn questions_can_be_answered_in_a_pause_and_while_the_run_stops() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", ask("k", "1")), ["a/k asks 1"]).then(asks("a#1", ask("l", "1")), ["a/l asks 1"]);
    scene.then(pause(), ["paused: lunch"]).then(answer(3, "2"), ["a/k was answered 2"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000"]).then(answer(4, "2"), ["a/l was answered 2"]);
}

fn with_child() -> Scene {
    let mut scene = Scene::of([task("a").tries(2), task("b")]);
    scene.then(asks("a#1", child("k", "c")), ["a/k wants c of other with 1"]);
    scene
}

#[test]
fn another_run_is_started_and_waited_for() {
    let mut scene = with_child();
    let owed = Work::StartChild { child: run_id("c") };
    assert!(agenda(scene.state()).any(|work| work == owed));
    scene.then(asks("a#1", child("k", "c")), []);
    scene.then(child_done("c", "7"), ["a/k ended: completed 7"]);
    assert!(!agenda(scene.state()).any(|work| work == owed));
    assert_eq!(scene.node("a").steps["k"], StepState::Done(json("7")));
    scene.rejects(child_done("c", "7"), "this run does not wait for run `c`");
}

#[test]
fn the_task_learns_how_the_child_ended() {
    let failure = Failure { detail: Some(json("[1]")), ..Failure::permanent("odd", "no use") };
    let failed = Outcome::Failed { node: name("x"), failure };
    for (outcome, event, kind, message) in [
        (failed, "a/k ended: failed at x (odd)", "child_failed", "node `x` of run `c` failed: odd: no use"),
        (Outcome::Cancelled("w".into()), "a/k ended: cancelled: w", "child_cancelled", "run `c` was cancelled: w"),
        (Outcome::Terminated("w".into()), "a/k ended: terminated: w", "child_terminated", "run `c` was terminated: w"),
        (
            Outcome::TimedOut(Timestamp::from_millis(5)),
            "a/k ended: timed out at 5",
            "child_timed_out",
            "run `c` passed its deadline, 1970-01-01T00:00:00.005Z",
        ),
    ] {
        let mut scene = with_child();
        scene.then(child_ends("c", outcome, 0), [event]);
        let StepState::Failed(failure) = &scene.node("a").steps["k"] else { panic!("{event}") };
        assert_eq!((failure.kind.as_str(), failure.message.as_str(), failure.retryable), (kind, message, false));
    }
}

#[test]
fn the_wait_for_a_run_outlives_an_attempt() {
    let mut scene = with_child();
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(asks("a#2", child("k", "c")), []);
    scene.then(child_done("c", "7"), ["a/k ended: completed 7"]);
}

#[test]
fn one_run_is_waited_for_once() {
    let mut scene = with_child();
    for (attempt, run) in [("a#1", "c"), ("b#1", "c"), ("b#1", "r")] {
        let words = format!("another step already waits for run `{run}`");
        scene.rejects(asks(attempt, child("l", run)), &words);
    }
    scene.rejects(
        asks("a#1", child("k", "d")),
        "key `k` of node `a` is already in use for a wait for run `c`; use another key",
    );
}

#[test]
fn a_child_no_longer_waited_for_is_cancelled() {
    for end in [done("a#1", "1"), fails_for_good("a#1"), terminate()] {
        let mut scene = with_child();
        scene.feed(end).expect("a ends");
        let owed = Work::CancelChild { child: run_id("c") };
        assert!(agenda(scene.state()).any(|work| work == owed));
        assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO), "even for an ended run");
        scene.rejects(
            child_done("c", "7"),
            if scene.state().status().is_final() { "the run has ended" } else { "this run does not wait for run `c`" },
        );
        scene.then(child_cancelled("c"), ["c let go"]).then(child_cancelled("c"), []);
        assert!(!agenda(scene.state()).any(|work| work == owed));
    }
}

#[test]
fn a_stopping_run_waits_for_children_while_its_tasks_do() {
    let mut scene = with_child();
    scene.then(cancel("why"), ["stop because why, grace until 10000"]);
    scene.at(10_000).then(TICK, ["a cancelled", "b cancelled", "run cancelled: why"]);
    scene.then(child_cancelled("c"), ["c let go"]);
    assert_eq!(wake_at(scene.state()), None);
}

#[test]
fn the_parent_is_informed_after_the_end_of_the_run() {
    let parent = Some(Parent::new(run_id("p"), name("n")));
    let mut scene = Scene::with([task("a")], RunOptions { parent, ..RunOptions::default() });
    scene.then(PARENT_TOLD, []).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    assert_eq!(agenda(scene.state()).collect::<Vec<_>>(), [Work::TellParent]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
    let mut scene = Scene::replay(&scene.journal, 9);
    scene.rejects(RECOVER, "the run has ended").rejects(TICK, "the run has ended");
    scene.then(PARENT_TOLD, ["parent told"]).then(PARENT_TOLD, []);
    assert_eq!(wake_at(scene.state()), None);
}

#[test]
fn a_waiting_task_is_parked_until_its_wait_ends() {
    let wakes: [(_, InputKind); 4] = [
        (sleep("k", 50), TICK),
        (await_signal("k", "go"), signal("go", "1")),
        (ask("k", "1"), answer(3, "1")),
        (child("k", "c"), child_done("c", "1")),
    ];
    for (wait, wake) in wakes {
        let mut scene = Scene::of([task("a")]);
        scene.then(parked("a#1"), []);
        scene.feed(asks("a#1", wait)).expect("it waits");
        scene.then(parked("a#1"), ["a parked"]).then(parked("a#1"), []);
        assert!(!agenda(scene.state()).any(|work| matches!(work, Work::Invoke { .. })));
        let mut scene = Scene::replay(&scene.journal, 50);
        // Nothing was interrupted.
        scene.then(RECOVER, []);
        scene.feed(wake).expect("it wakes");
        assert!(agenda(scene.state()).any(|work| matches!(work, Work::Invoke { attempt: 1, .. })));
        scene.then(parked("a#1"), []).then(done("a#1", "1"), ["a completed 1", "run completed 1"]);
    }
}

#[test]
fn any_of_several_waits_wakes_a_task() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", sleep("k", 50)), ["a/k sleeps until 50"]);
    scene.then(asks("a#1", await_signal("l", "go")), ["a/l awaits go"]).then(parked("a#1"), ["a parked"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::from_millis(50)));
    scene.at(50).then(TICK, ["a/k woke"]).then(parked("a#1"), ["a parked"]);
    assert_eq!(wake_at(scene.state()), None);
    scene.then(signal("go", "1"), ["signal go 1", "a/l took go"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
}

/// Found by reading: a retried task that continued with a long wait of the attempt before could not be parked, and was
/// counted as crashing.
#[test]
fn a_wait_of_an_earlier_attempt_counts_as_a_wait() {
    let mut scene = Scene::of([task("a").tries(2)]);
    scene.then(asks("a#1", sleep("k", 50)), ["a/k sleeps until 50"]);
    scene.then(fails("a#1"), ["a#1 failed (error), again at 0", "a#2 started"]);
    scene.then(asks("a#2", sleep("k", 90)), []).then(parked("a#2"), ["a parked"]);
    scene.at(50).then(TICK, ["a/k woke"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
}

#[test]
fn an_attempt_times_out_while_it_is_parked() {
    let mut scene = Scene::of([task("a").within(100).tries(2)]);
    scene.then(asks("a#1", await_signal("k", "go")), ["a/k awaits go"]).then(parked("a#1"), ["a parked"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::from_millis(100)));
    scene.at(100).then(TICK, ["a#1 failed (timed_out), again at 100", "a#2 started until 200"]);
    scene.rejects(parked("a#1"), "attempt 1 of node `a` has ended");
    assert!(agenda(scene.state()).any(|work| matches!(work, Work::Invoke { attempt: 2, .. })));
}

#[test]
fn a_parked_task_ends_at_once_when_the_run_stops() {
    let mut scene = Scene::of([task("a"), task("b")]);
    scene.then(asks("a#1", sleep("k", 50)), ["a/k sleeps until 50"]).then(parked("a#1"), ["a parked"]);
    scene.then(cancel("why"), ["stop because why, grace until 10000", "a cancelled"]);
    scene.then(asks("b#1", sleep("k", 50)), ["b/k sleeps until 50"]).then(parked("b#1"), []);
    scene.then(fails("b#1"), ["b cancelled", "run cancelled: why"]);
}

#[test]
fn a_parked_task_that_wakes_in_a_pause_is_called_after_it() {
    let mut scene = Scene::of([task("a")]);
    scene.then(asks("a#1", sleep("k", 50)), ["a/k sleeps until 50"]).then(parked("a#1"), ["a parked"]);
    scene.then(pause(), ["paused: lunch"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::from_millis(50)), "sleeps are not suspended");
    scene.at(50).then(TICK, ["a/k woke"]);
    assert_eq!((wake_at(scene.state()), agenda(scene.state()).count()), (None, 0));
    scene.then(RESUME, ["resumed"]);
    assert_eq!(wake_at(scene.state()), Some(Timestamp::ZERO));
    assert_eq!(scene.state().status(), RunStatus::Running);
    scene.then(asks("a#1", end_step("l", "1")), ["a/l = 1"]);
}

fn asked() -> Parent {
    Parent { step: Some("k".into()), request: Some(Seq(3)), ..Parent::new(run_id("p"), name("n")) }
}

fn let_go(parent: Parent) -> InputKind {
    InputKind::CancelChild { parent, workflow: name("other"), reason: "not needed".into(), incarnation: None }
}

#[test]
fn a_child_dropped_before_it_exists_is_created_cancelled_and_informs_no_parent() {
    let mut scene = Scene::nothing();
    let cancelled = ["created", "stop because not needed, grace until 0", "run cancelled: not needed", "parent told"];
    scene.then(let_go(asked()), cancelled);
    assert_eq!(scene.state().status(), RunStatus::Cancelled);
    assert_eq!(scene.state().plan().workflow(), &name("other"));
    assert_eq!((wake_at(scene.state()), agenda(scene.state()).next()), (None, None));
    scene.rejects(let_go(asked()), "the run has ended");
}

#[test]
fn only_its_own_parent_can_cancel_a_dropped_child() {
    let options = RunOptions { parent: Some(asked()), ..RunOptions::default() };
    let mut scene = Scene::with([task("a")], options);
    let others = [
        Parent { run: run_id("q"), ..asked() },
        Parent { node: name("m"), ..asked() },
        Parent { step: Some("l".into()), ..asked() },
        Parent { request: Some(Seq(4)), ..asked() },
        Parent { request: None, step: None, ..asked() },
    ];
    for other in others {
        scene.then(let_go(other), []);
    }
    scene.then(let_go(asked()), ["stop because not needed, grace until 10000"]).then(let_go(asked()), []);
    // Older versions recorded only run and node.
    let options = RunOptions { parent: Some(Parent::new(run_id("p"), name("n"))), ..RunOptions::default() };
    Scene::with([task("a")], options).then(let_go(asked()), ["stop because not needed, grace until 10000"]);
}

#[test]
fn a_run_identifies_its_children_after_dropping_them() {
    let mut scene = with_child();
    let asked = scene.state().parent_of(&run_id("c")).expect("it is waited for");
    assert_eq!((asked.step.as_deref(), asked.request), (Some("k"), Some(Seq(4))));
    scene.feed(terminate()).expect("it ends");
    assert_eq!(scene.state().parent_of(&run_id("c")), Some(asked));
    let left: Vec<_> =
        scene.state().abandoned().iter().map(|(run, left)| (run.clone(), left.workflow.clone())).collect();
    assert_eq!(left, [(run_id("c"), name("other"))]);
    scene.feed(child_cancelled("c")).expect("it is known");
    assert_eq!(scene.state().parent_of(&run_id("c")), None);
}
