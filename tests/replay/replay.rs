//! Journals are replayed and projected by `orkestra-core` without its feature `runtime`: no engine, no store, no tokio.
//!
//! `scripts/test` runs this with `cargo test -p orkestra-replay`. As a part of the whole workspace it passes too, and proves less:
//! cargo then builds the core with the features that the other crates ask for.

use orkestra_core::event::{NodeStatus, Outcome, RunStatus};
use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::RunState;
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::projection::{Graph, GraphFold, RunView, Timeline, TimelineFold};
use serde::Deserialize;
use serde_json::value::RawValue;

/// Runs that format 2 left under way.
const UNDER_WAY: &str = include_str!("../../orkestra-core/tests/it/runtime/old/under-way.jsonl");

/// Runs that ended, of each format.
const ENDED: [(&str, &str, RunStatus); 8] = [
    (
        "v1-cancelled",
        include_str!("../../orkestra-core/tests/it/kernel/fixtures/v1-cancelled.json"),
        RunStatus::Cancelled,
    ),
    (
        "v1-completed",
        include_str!("../../orkestra-core/tests/it/kernel/fixtures/v1-completed.json"),
        RunStatus::Completed,
    ),
    ("v1-failed", include_str!("../../orkestra-core/tests/it/kernel/fixtures/v1-failed.json"), RunStatus::Failed),
    (
        "v2-completed",
        include_str!("../../orkestra-core/tests/it/kernel/fixtures/v2-completed.json"),
        RunStatus::Completed,
    ),
    (
        "v2-terminated",
        include_str!("../../orkestra-core/tests/it/kernel/fixtures/v2-terminated.json"),
        RunStatus::Terminated,
    ),
    (
        "v2-timed-out",
        include_str!("../../orkestra-core/tests/it/kernel/fixtures/v2-timed-out.json"),
        RunStatus::TimedOut,
    ),
    ("v3-forked", include_str!("../../orkestra-core/tests/it/kernel/fixtures/v3-forked.json"), RunStatus::Failed),
    ("v3-large", include_str!("../../orkestra-core/tests/it/kernel/fixtures/v3-large.json"), RunStatus::Completed),
];

/// One commit, as a store keeps it.
#[derive(Deserialize)]
struct Stored {
    first: Seq,
    last: Seq,
    epoch: Epoch,
    body: Box<RawValue>,
}

/// One run of the file of runs under way; the rest of a line is the store's.
#[derive(Deserialize)]
struct Kept {
    record: Record,
    commits: Vec<Stored>,
}

#[derive(Deserialize)]
struct Record {
    id: RunId,
    status: RunStatus,
}

/// What readers are shown of a run.
struct Shown {
    state: RunState,
    view: RunView,
    graph: Graph,
    timeline: Timeline,
}

fn replay(run: &RunId, commits: Vec<Stored>) -> Shown {
    let (mut replayer, mut graph, mut timeline) =
        (Replayer::new(run.clone()), GraphFold::default(), TimelineFold::new(run.clone()));
    for Stored { first, last, epoch, body } in commits {
        let written = Written { run: run.clone(), first, last, epoch, body: body.get().as_bytes().into() };
        let commit = replayer.add(&written).expect("an old journal is readable");
        timeline.add(&commit);
        commit.events.iter().for_each(|event| graph.add(event));
    }
    let state = replayer.finish().expect("a run has a commit");
    let (view, graph) = (RunView::of(&state), graph.graph(&state));
    Shown { state, view, graph, timeline: timeline.finish().expect("a run has a timeline") }
}

/// All read models tell the same run.
fn check(name: &str, shown: &Shown, status: RunStatus) {
    let Shown { state, view, graph, timeline } = shown;
    assert_eq!(view.status, status, "{name}");
    assert_eq!(view.last, state.last(), "{name}");
    assert_eq!(view.outcome.is_some(), status.is_final(), "{name}");
    let nodes: Vec<_> = view.nodes.iter().map(|node| &node.name).collect();
    assert_eq!(graph.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(), nodes, "{name}");
    let drawings = [graph.to_text(), graph.to_mermaid(), graph.to_dot(), graph.to_svg()];
    for node in nodes {
        assert!(drawings.iter().all(|drawing| drawing.contains(node.as_str())), "{name}: {node} is not drawn");
    }
    let text = timeline.to_text();
    for node in view.nodes.iter().filter(|node| node.started_at.is_some()) {
        assert!(timeline.nodes.iter().any(|other| other.name == node.name), "{name}: {} has no timeline", node.name);
        assert!(text.contains(node.name.as_str()), "{name}: {} has no line", node.name);
    }
}

#[test]
fn runs_that_ended_are_replayed_and_shown() {
    for (name, text, status) in ENDED {
        let commits: Vec<Stored> = serde_json::from_str(text).expect("a fixture");
        check(name, &replay(&RunId::new("fixture").expect("an id"), commits), status);
    }
}

#[test]
fn runs_under_way_are_replayed_and_shown() {
    let runs: Vec<Kept> = UNDER_WAY.lines().map(|line| serde_json::from_str(line).expect("a run")).collect();
    assert_eq!(runs.len(), 29);
    for Kept { record, commits } in runs {
        check(&record.id, &replay(&record.id, commits), record.status);
    }
}

#[test]
fn the_view_has_the_outcome_and_the_outputs() {
    let commits: Vec<Stored> = serde_json::from_str(ENDED[3].1).expect("a fixture");
    let view = replay(&RunId::new("fixture").expect("an id"), commits).view;
    assert!(matches!(view.outcome, Some(Outcome::Completed(_))), "{:?}", view.outcome);
    assert!(view.nodes.iter().any(|node| node.status == NodeStatus::Completed && node.output.is_some()));
}
