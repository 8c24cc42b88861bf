//! The other half of the table of legal events: pauses, budgets, slots, questions, child runs, compensation, retries,
//! and what a run owes after its end.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::kernel::{Event, KeptValue, Next, Outcome, PauseReason, RunState, SkipReason, StopReason, apply};
use orkestra_core::model::{Amount, Answers, Growth, Join, Name, NodeSpec, OnFailure, Parent, RunOptions};

use super::asks::{Options, run_id, tokens};
use super::fixture::kind;
use super::illegal::{all_events, at, cancelled, completed, failed, failure, run, started, table};
use super::scene::{Node, json, name, plan, task};

/// `a` can be compensated and `b` comes after it; `q` has a limit. A parent waits for the run.
fn created() -> Event {
    let plan = plan([task("a").undone().or(OnFailure::Skip), task("b").after(&["a"]), task("q").limited("few")]);
    let parent = Some(Parent::new(run_id("p"), name("n")));
    let options = Box::new(RunOptions { parent, ..RunOptions::default() });
    Event::RunCreated { plan, input: json("1"), labels: BTreeMap::new(), options }
}

fn node(text: &str) -> Name {
    name(text)
}

fn queued(text: &str) -> Event {
    Event::SlotAwaited { node: node(text) }
}

fn skipped(text: &str) -> Event {
    Event::NodeSkipped { node: node(text), reason: SkipReason::Upstream }
}

fn asked() -> Event {
    Event::QuestionAsked { node: node("a"), step: "k".into(), question: json("1"), until: None }
}

fn child() -> Event {
    let (child, workflow) = (run_id("c"), name("other"));
    Event::ChildRequested { node: node("a"), step: "k".into(), child, workflow, input: json("1"), until: None }
}

fn paused() -> Event {
    Event::RunPaused { reason: PauseReason::Asked { reason: "lunch".into() } }
}

fn stop() -> Event {
    Event::StopRequested { reason: StopReason::DeadlinePassed { deadline: at(5) }, grace_until: at(9) }
}

fn undoing() -> Event {
    let undo = NodeSpec::task(name("undo:a"), name("undo")).with_join(Join::Settled);
    Event::CompensationStarted { growth: Growth::new().with_node(undo) }
}

fn sleeps() -> Event {
    Event::TimerSet { node: node("a"), step: "k".into(), due: at(5) }
}

fn parked() -> Event {
    Event::TaskParked { node: node("a") }
}

fn ended() -> Event {
    Event::RunTimedOut { deadline: at(5) }
}

/// The states, each with the events that lead to it after the run started with `a` running.
fn states() -> Vec<(char, Option<RunState>)> {
    let given_up = || failed("a", 1, Next::GiveUp);
    let undone = || vec![completed("a"), stop(), undoing(), started("undo:a", 1)];
    let states = vec![
        ('R', vec![]),                                               // a is running, q may start
        ('Q', vec![queued("q")]),                                    // q waits for its slot
        ('K', vec![asked()]),                                        // step k asks
        ('C', vec![child()]),                                        // step k waits for another run
        ('Z', vec![sleeps(), parked()]),                             // step k sleeps, a is parked
        ('P', vec![paused()]),                                       // paused, a is running
        ('p', vec![asked(), paused()]),                              // paused, step k asks
        ('B', vec![failed("a", 1, Next::RetryAt(at(7)))]),           // a is retried later
        ('b', vec![failed("a", 1, Next::RetryAt(at(7))), paused()]), // the same, paused
        ('F', vec![given_up()]),                                     // a failed
        ('f', vec![given_up(), paused()]),                           // the same, paused
        ('A', vec![given_up(), skipped("b"), queued("q"), started("q", 1), completed("q")]), // all have ended
        ('S', vec![stop()]),                                         // stopping, a is running
        ('s', vec![queued("q"), completed("a"), stop()]),            // stopping, nothing is running
        ('U', undone()),                                             // compensating a
        ('u', [undone(), vec![completed("undo:a")]].concat()),       // a is compensated
        ('D', vec![child(), given_up(), stop(), ended()]),           // timed out, owes c and p
        ('d', [undone(), vec![completed("undo:a"), ended()]].concat()), // timed out, compensated, owes p
        ('T', vec![given_up(), Event::RunTerminated { reason: "enough".into() }, Event::ParentTold]), // owes nothing
    ];
    states.into_iter().map(|(column, events)| (column, state_after(&events))).collect()
}

fn state_after(events: &[Event]) -> Option<RunState> {
    let mut state = None;
    for event in [created(), started("a", 1)].iter().chain(events) {
        apply(&run(), &mut state, at(1), event).expect("this can have happened");
    }
    state
}

fn events() -> Vec<Event> {
    let (a, k) = (|| node("a"), || "k".to_owned());
    vec![
        queued("a"),
        queued("q"),
        started("q", 1),
        started("a", 2),
        started("b", 1),
        started("undo:a", 2),
        skipped("a"),
        skipped("b"),
        Event::NodeFailed { node: a(), failure: failure() },
        Event::NodeFailed { node: node("q"), failure: failure() },
        Event::NodeReset { node: a() },
        Event::NodeReset { node: node("b") },
        Event::InputReplaced { node: a(), input: json("1") },
        Event::InputReplaced { node: node("b"), input: json("1") },
        failed("a", 1, Next::RetryAt(at(7))),
        failed("undo:a", 1, Next::GiveUp),
        completed("a"),
        completed("undo:a"),
        cancelled("a"),
        cancelled("undo:a"),
        Event::StepCompleted { node: a(), step: k(), result: json("1"), charges: tokens(1) },
        Event::Charged { node: a(), step: k(), charges: tokens(1) },
        Event::Published { node: a(), step: k(), key: name("phase"), value: json("1") },
        Event::StepNotBegun { node: a(), step: k() },
        Event::WaitLetGo { node: a(), step: k() },
        Event::WaitTimedOut { node: a(), step: k() },
        sleeps(),
        Event::TimerFired { node: a(), step: k() },
        asked(),
        Event::QuestionAnswered { node: a(), step: k(), answer: json("1") },
        child(),
        Event::ChildEnded { node: a(), step: k(), outcome: Outcome::Cancelled("why".into()), charges: tokens(1) },
        Event::ChildCancelled { child: run_id("c") },
        parked(),
        Event::Grown { node: a(), step: "l".into(), growth: Growth::new().with_node(task("n")) },
        Event::Recovered,
        Event::Released,
        Event::BudgetReached { meter: name("tokens"), spent: Amount::whole(2), limit: Amount::whole(1) },
        Event::BudgetSet { meter: name("tokens"), limit: None },
        paused(),
        Event::RunResumed,
        Event::RunReopened,
        Event::Forked { shared: vec![] },
        Event::UndoRetried { node: node("undo:a") },
        undoing(),
        stop(),
        Event::RunCompleted { output: json("1") },
        Event::RunFailed { node: a(), failure: failure() },
        Event::RunCancelled { reason: "why".into() },
        ended(),
        Event::RunTerminated { reason: "enough".into() },
        Event::ParentTold,
        Event::ValueRead { value: KeptValue::Input, answers: Answers::default() },
    ]
}

#[test]
fn which_further_events_are_legal_in_which_state() {
    let table = table(&states(), &events());
    let expected = [
        "RQKCZPpBbFfASsUuDdT|",
        ".......B...........|a queued",
        "R.KCZ..B.F.........|q queued",
        "RQKCZ..B.F.........|q#1 started",
        ".......B...........|a#2 started",
        "...................|b#1 started",
        "...................|undo:a#2 started",
        "...................|a skipped",
        ".........F.........|b skipped",
        ".......Bb..........|a failed (error)",
        "RQKCZPpBbFf........|q failed (error)",
        ".........FfA.......|a reset",
        "...................|b reset",
        "...................|a is given 1",
        "RQKCZPpBbFf.Ss.....|b is given 1",
        "RQKCZPp............|a#1 failed (error), again at 7",
        "..............U....|undo:a#1 failed (error), given up",
        "RQKCZPp.....S......|a completed 1",
        "..............U....|undo:a completed 1",
        "............S......|a cancelled",
        "..............U....|undo:a cancelled",
        "RQ...P......S......|a/k = 1 for 1 tokens",
        "RQ...P......S......|a/k charged for 1 tokens",
        "RQ...P......S......|a/k published phase 1",
        "...................|a/k did not begin",
        "..KC..p............|a/k was let go",
        "..KC..p............|a/k was not in time",
        "RQ...P......S......|a/k sleeps until 5",
        "....Z..............|a/k woke",
        "RQ...P......S......|a/k asks 1",
        "..K...p............|a/k was answered 1",
        "RQ...P......S......|a/k wants c of other with 1",
        "...C...............|a/k ended: cancelled: why for 1 tokens",
        "................D..|c let go",
        "..KC..p............|a parked",
        "RQKCZPp............|a/l grew [n] []",
        "RQKCZPpBbFfASsUu...|recovered",
        "RQKCZPpBbFfASsUu...|released",
        "RQKCZPpBbFfASsUu...|2 of 1 tokens spent",
        "RQKCZPpBbFfASsUuDdT|may spend any tokens",
        "RQKCZ..B.F.A.......|paused: lunch",
        ".....Pp.b.f........|resumed",
        "................D.T|reopened",
        "...................|forked",
        "...................|undo:a is tried again",
        ".............s.....|undoing [undo:a] []",
        "RQKCZPpBbFfA.......|stop at the deadline 5, grace until 9",
        "...........A.......|run completed 1",
        "...........A.......|run failed at a (error)",
        "...................|run cancelled: why",
        ".............s.u...|run timed out at 5",
        "RQKCZPpBbFfASsUu...|run terminated: enough",
        "................Dd.|parent told",
        "...................|Input read",
    ];
    assert_eq!(table, expected, "\n{}", table.join("\n"));
}

#[test]
fn a_failed_compensation_is_retried_after_the_run_ended() {
    let undone = vec![completed("a"), stop(), undoing(), started("undo:a", 1)];
    let not_undone = [undone, vec![failed("undo:a", 1, Next::GiveUp), ended()]].concat();
    for (node, may) in [("undo:a", true), ("a", false), ("nobody", false)] {
        let event = Event::UndoRetried { node: name(node) };
        let result = apply(&run(), &mut state_after(&not_undone), at(2), &event);
        assert_eq!(result.is_ok(), may, "{node}");
    }
}

#[test]
fn every_kind_of_event_is_in_one_of_the_tables() {
    let known: BTreeSet<_> = all_events().iter().chain(&events()).map(kind).collect();
    let kinds: BTreeSet<_> = Event::kinds().iter().map(|kind| (*kind).to_owned()).collect();
    assert_eq!(known, kinds);
}
