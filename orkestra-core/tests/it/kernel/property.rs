//! What holds for every run, whatever happens to it. `Scene::feed` checks each input: promises kept, rejections without
//! a trace, replay equal to what was lived.
//!
//! `PROPTEST_CASES=10000 cargo test -p orkestra-core property` is the long form.

use std::collections::BTreeMap;

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::{NodeStatus, RunState, RunStatus};
use proptest::prelude::*;

use super::scene::{RECOVER, Scene};
use super::world::{drive, is_open, is_task, moves, nodes, play};

/// A modest number of cases, unless the environment asks for another.
pub(super) fn cases(modest: u32) -> ProptestConfig {
    let asked = std::env::var_os("PROPTEST_CASES").is_some();
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    if asked { config } else { ProptestConfig { cases: modest, ..config } }
}

/// How often each step was settled, over the whole journal.
fn settled(journal: &[Written]) -> BTreeMap<(String, String), usize> {
    let mut replayer = Replayer::new(Scene::nothing().run);
    let mut settled = BTreeMap::new();
    for written in journal {
        let commit = replayer.add(written).expect("our own journal is legal");
        for (node, step) in commit.events.iter().filter_map(|event| event.settled_step()) {
            *settled.entry((node.to_string(), step.to_owned())).or_default() += 1;
        }
    }
    settled
}

/// Each step was settled once, and the state knows its result.
fn check_steps(scene: &Scene) {
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

/// How the nodes of an ended run stand.
fn check_end(state: &RunState) {
    let statuses: Vec<_> = state.plan().ids().map(|id| state.node(id).status).collect();
    assert!(state.outcome().is_some());
    assert!(state.plan().ids().all(|id| !is_open(state.node(id))), "{statuses:?}");
    if state.status() == RunStatus::Completed {
        assert!(statuses.iter().all(|status| *status == NodeStatus::Completed), "{statuses:?}");
        let worked = |id| state.node(id).output.is_some() && state.node(id).started_at.is_some();
        assert!(state.plan().ids().all(worked));
    }
    // No node began before those before it were done.
    for id in state.plan().ids().filter(|id| state.node(*id).attempt > 0) {
        for before in &state.plan().node(id).after {
            assert_eq!(state.node(*before).status, NodeStatus::Completed);
            assert!(state.node(*before).ended_at <= state.node(id).started_at);
        }
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn whatever_happens_a_run_keeps_its_promises_and_can_be_driven_to_its_end(
        nodes in nodes(), moves in moves(60)
    ) {
        let mut scene = play(nodes, &moves);
        drive(&mut scene);
        check_end(scene.state());
        check_steps(&scene);
    }
}

proptest! {
    #![proptest_config(cases(24))]

    #[test]
    fn a_run_cut_after_any_commit_goes_on_to_its_end(nodes in nodes(), moves in moves(40)) {
        let mut whole = play(nodes, &moves);
        drive(&mut whole);
        for kept in 1..=whole.journal.len() {
            let mut scene = Scene::replay(&whole.journal[..kept], whole.now);
            if !scene.state().status().is_final() {
                scene.feed(RECOVER).expect("a live run can be taken over");
            }
            drive(&mut scene);
            check_end(scene.state());
            check_steps(&scene);
        }
    }

    #[test]
    fn a_process_that_dies_after_every_commit_gets_there_all_the_same(nodes in nodes(), moves in moves(30)) {
        let mut scene = play(nodes, &moves);
        let mut lives = 0;
        while !scene.state().status().is_final() {
            lives += 1;
            assert!(lives < 2000, "the run does not end: {:?}", scene.state());
            let kept = scene.journal.len();
            drive(&mut scene);
            // The first commit of this life survives it, the rest is never written.
            let journal = &scene.journal[..scene.journal.len().min(kept + 1)];
            scene = Scene::replay(journal, scene.now);
            if !scene.state().status().is_final() {
                scene.feed(RECOVER).expect("a live run can be taken over");
            }
        }
        check_end(scene.state());
        check_steps(&scene);
    }
}

proptest! {
    #![proptest_config(cases(48))]

    #[test]
    fn what_is_owed_is_what_is_under_way(nodes in nodes(), moves in moves(60)) {
        use orkestra_core::kernel::{agenda, wake_at};
        let scene = play(nodes, &moves);
        let state = scene.state();
        let tasks = state.plan().ids().filter(|id| state.node(*id).status == NodeStatus::Running && is_task(state, *id));
        prop_assert_eq!(agenda(state).count(), tasks.count());
        let live = !state.status().is_final();
        let waits_for_nothing = wake_at(state).is_none();
        let somebody = state.running().next().is_some();
        prop_assert!(!waits_for_nothing || !live || somebody, "a live run sleeps for ever and no gate is open");
    }
}
