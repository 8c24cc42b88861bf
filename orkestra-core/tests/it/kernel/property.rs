//! Properties of every run. `Scene::feed` checks each input: the invariants hold, rejections leave no trace, and a
//! replay gives the same state.
//!
//! `PROPTEST_CASES=10000 cargo test -p orkestra-core property` is the long form.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::{Event, NodeStatus, RunState, RunStatus, Work, agenda, waits, wake_at};
use orkestra_core::model::{Join, OnFailure, RunOptions};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::fixture::kind;
use super::moves::{moves, play};
use super::scene::{RECOVER, Scene};
use super::world::{drive, is_called, is_open, is_over, nodes, options};

/// A modest number of cases, unless the environment sets another.
pub(super) fn cases(modest: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: modest, ..config } }
}

/// How often each step was settled over the whole journal.
fn settled(journal: &[Written]) -> BTreeMap<(String, String), usize> {
    let mut replayer = Replayer::new(Scene::nothing().run);
    let mut settled = BTreeMap::new();
    for written in journal {
        let commit = replayer.add(written).expect("our own journal is legal");
        for event in &commit.events {
            if let Some((node, step)) = event.settled_step() {
                *settled.entry((node.to_string(), step.to_owned())).or_default() += 1;
            }
            // A dropped wait is forgotten: another attempt may wait anew.
            if let Event::WaitLetGo { node, step } = event {
                settled.remove(&(node.to_string(), step.clone()));
            }
        }
    }
    settled
}

/// Each step was settled once, and the state knows its result. Resetting a node also resets steps that failed for good.
fn check_steps(scene: &Scene) {
    if was_reset(scene) {
        return;
    }
    let state = scene.state();
    let settled = settled(&scene.journal);
    for ((node, step), count) in &settled {
        assert_eq!(*count, 1, "{node}/{step}");
        assert!(scene.node(node).steps[step].result().is_some(), "{node}/{step} was forgotten");
    }
    let known =
        state.plan().ids().map(|id| state.node(id).steps.values().filter(|step| step.result().is_some()).count());
    assert_eq!(known.sum::<usize>(), settled.len());
}

fn was_reset(scene: &Scene) -> bool {
    scene.events().iter().any(|event| matches!(event, Event::NodeReset { .. } | Event::UndoRetried { .. }))
}

/// The statuses of the nodes of an ended run.
fn check_end(scene: &Scene) {
    let state = scene.state();
    let statuses: Vec<_> = state.plan().ids().map(|id| (state.name(id), state.node(id).status)).collect();
    assert!(state.outcome().is_some());
    assert!(state.plan().ids().all(|id| !is_open(state.node(id))), "{statuses:?}");
    assert!(waits(state).is_empty() && agenda(state).next().is_none() && wake_at(state).is_none());
    for id in state.plan().ids() {
        let (node, spec) = (state.node(id), &state.plan().node(id).spec);
        assert_eq!(node.status == NodeStatus::Completed, node.output.is_some(), "{}", spec.name);
        assert_eq!(node.status == NodeStatus::Skipped, node.skipped.is_some(), "{}", spec.name);
        assert!(node.status != NodeStatus::Completed || node.started_at.is_some(), "{}", spec.name);
        if state.status() == RunStatus::Completed {
            assert_ne!(node.status, NodeStatus::Cancelled, "{statuses:?}");
            let ignored = spec.on_failure != OnFailure::Fail;
            assert!(node.status != NodeStatus::Failed || ignored, "{statuses:?}");
        }
    }
    if !was_reset(scene) {
        check_order(state);
    }
}

/// A fork compensates nothing that was done before its own first event.
fn check_own_undo(fork: &Scene, copied: usize) {
    let own: BTreeSet<_> = fork.events()[copied..]
        .iter()
        .filter_map(|event| match event {
            Event::NodeCompleted { node, .. } => Some(node.clone()),
            _ => None,
        })
        .collect();
    let undo = fork.state().undo().unwrap_or_default();
    let tried = undo.undone.iter().chain(undo.failed.iter().map(|(node, _)| node));
    let shared: Vec<_> = tried.filter(|node| !own.contains(*node)).collect();
    assert!(shared.is_empty(), "{shared:?} were done by the other run");
}

/// No node started before the nodes it waits for.
fn check_order(state: &RunState) {
    for id in state.plan().ids().filter(|id| state.node(*id).attempt > 0) {
        let (node, plan) = (state.node(id), state.plan().node(id));
        let in_time = plan.after.iter().filter(|before| {
            let (before, spec) = (state.node(**before), &state.plan().node(**before).spec);
            let passed = spec.on_failure == OnFailure::Continue && before.status == NodeStatus::Failed;
            let ended = before.status.is_final() && before.ended_at <= node.started_at;
            ended && (before.status == NodeStatus::Completed || passed || plan.spec.join == Join::Settled)
        });
        let wanted = match plan.spec.join {
            Join::Any => plan.after.len().min(1),
            Join::AtLeast(wanted) => wanted,
            _ => plan.after.len(),
        };
        assert!(in_time.count() >= wanted, "{} began too early", plan.spec.name);
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn any_run_keeps_its_invariants_and_can_be_driven_to_its_end(
        nodes in nodes(), options in options(), moves in moves(80)
    ) {
        let mut scene = play(nodes, options, &moves);
        drive(&mut scene);
        check_end(&scene);
        check_steps(&scene);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_run_cut_after_any_commit_continues_to_its_end(nodes in nodes(), options in options(), moves in moves(50)) {
        let mut whole = play(nodes, options, &moves);
        drive(&mut whole);
        for kept in 1..=whole.journal.len() {
            let mut scene = Scene::replay(&whole.journal[..kept], whole.now);
            if !scene.state().status().is_final() {
                scene.feed(RECOVER).expect("a live run can be taken over");
            }
            drive(&mut scene);
            check_end(&scene);
            check_steps(&scene);
        }
    }

    #[test]
    fn a_run_ends_even_if_the_process_dies_after_every_commit(
        nodes in nodes(), options in options(), moves in moves(40)
    ) {
        // With a limit on lost processes it would be paused at each start, and never come further.
        let mut scene = play(nodes, RunOptions { lost_processes_max: None, ..options }, &moves);
        let mut lives = 0;
        while !is_over(scene.state()) {
            lives += 1;
            assert!(lives < 2000, "the run does not end: {:?}", scene.state());
            let kept = scene.journal.len();
            drive(&mut scene);
            // The first commit of this life is durable, the rest is never written.
            let journal = &scene.journal[..scene.journal.len().min(kept + 1)];
            scene = Scene::replay(journal, scene.now);
            if !scene.state().status().is_final() {
                scene.feed(RECOVER).expect("a live run can be taken over");
            }
        }
        check_end(&scene);
        check_steps(&scene);
    }

    #[test]
    fn a_run_can_be_forked_from_every_started_node(
        nodes in nodes(), options in options(), moves in moves(50), edited in any::<bool>()
    ) {
        let whole = play(nodes, options, &moves);
        let begun = |event: &Event| match event {
            Event::AttemptStarted { node, attempt: 1, .. } if !node.starts_with("undo:") => Some(node.clone()),
            _ => None,
        };
        for node in whole.events().iter().filter_map(begun) {
            let (mut fork, result) = whole.fork_as(&node, edited.then_some("7"), true);
            prop_assert!(result.is_ok(), "{} cannot be forked from: {:?}", node, result);
            let copied = result.map_or(0, |events| events.len());
            drive(&mut fork);
            check_own_undo(&fork, copied);
            check_end(&fork);
            check_steps(&fork);
            // A node that was edited and ran got the new input.
            prop_assert!(!edited || fork.node(&node).input.is_some());
        }
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn the_agenda_matches_the_running_nodes(nodes in nodes(), options in options(), moves in moves(80)) {
        let scene = play(nodes, options, &moves);
        let state = scene.state();
        let works = state.pause().is_none();
        let tasks = state.plan().ids().filter(|id| works && is_called(state, *id)).count();
        let queued = state.queued().filter(|_| works && state.stopping().is_none()).count();
        let invoked = |work: &Work| matches!(work, Work::Invoke { .. } | Work::AskToStop { .. });
        prop_assert_eq!(agenda(state).filter(invoked).count(), tasks);
        prop_assert_eq!(agenda(state).filter(|work| matches!(work, Work::AcquireSlots { .. })).count(), queued);
        let started = agenda(state).filter(|work| matches!(work, Work::StartChild { .. })).count();
        prop_assert_eq!(started, state.children().len());
        let live = !state.status().is_final();
        prop_assert!(!live || wake_at(state).is_some() || !waits(state).is_empty(), "it would sleep for ever");
        prop_assert!(live || wake_at(state).is_some() == (agenda(state).count() > 0));
    }
}

/// A random world in which an event never happens proves nothing about that event.
#[test]
fn random_runs_cover_every_event() {
    let mut runner = TestRunner::deterministic();
    let strategy = (nodes(), options(), moves(80));
    let mut seen = BTreeMap::new();
    for _ in 0..400 {
        let tree = strategy.new_tree(&mut runner).expect("nothing is filtered");
        let (nodes, options, moves) = tree.current();
        let mut scene = play(nodes, options, &moves);
        drive(&mut scene);
        for event in scene.events() {
            *seen.entry(kind(&event)).or_insert(0_usize) += 1;
        }
    }
    // Only in forks; and no value here is large.
    let never = ["InputReplaced", "Forked", "ValueRead"];
    let expected: Vec<_> = Event::kinds().iter().filter(|kind| !never.contains(kind)).collect();
    let missing: Vec<_> = expected.into_iter().filter(|kind| !seen.contains_key(**kind)).collect();
    assert!(missing.is_empty(), "{missing:?} never happened: {seen:?}");
}
