//! Journals are replayed and projected by `orkestra-core` without its feature `runtime`: no engine, no store, no tokio.
//!
//! `scripts/test` runs this with `cargo test -p orkestra-replay`. As a part of the whole workspace it passes too, and proves less:
//! cargo then builds the core with the features that the other crates ask for.

#[path = "../../orkestra-core/tests/it/stored.rs"]
mod stored;

use std::fs;

use orkestra_core::event::{NodeStatus, Outcome, RunStatus};
use orkestra_core::journal::Replayer;
use orkestra_core::kernel::RunState;
use orkestra_core::model::RunId;
use orkestra_core::projection::{Graph, GraphFold, RunView, Timeline, TimelineFold};
use serde::Deserialize;

use self::stored::Stored;

/// Runs that format 2 left under way.
const UNDER_WAY: &str = include_str!("../../orkestra-core/tests/it/runtime/old/under-way.jsonl");

/// Where the runs that ended are, of each format.
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../orkestra-core/tests/it/kernel/fixtures");

/// How they ended: all that are there, a test compares.
const ENDED: [(&str, RunStatus); 9] = [
    ("v1-cancelled", RunStatus::Cancelled),
    ("v1-completed", RunStatus::Completed),
    ("v1-failed", RunStatus::Failed),
    ("v2-completed", RunStatus::Completed),
    ("v2-terminated", RunStatus::Terminated),
    ("v2-timed-out", RunStatus::TimedOut),
    ("v3-forked", RunStatus::Failed),
    ("v3-large", RunStatus::Completed),
    ("v3-published", RunStatus::Completed),
];

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

fn ended(name: &str) -> Shown {
    let text = fs::read_to_string(format!("{FIXTURES}/{name}.json")).expect("a fixture");
    replay(&RunId::new("fixture").expect("an id"), serde_json::from_str(&text).expect("a journal"))
}

fn replay(run: &RunId, commits: Vec<Stored>) -> Shown {
    let (mut replayer, mut graph, mut timeline) =
        (Replayer::new(run.clone()), GraphFold::default(), TimelineFold::new(run.clone()));
    for stored in commits {
        let commit = replayer.add(&stored.written(run)).expect("an old journal is readable");
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
    let files = fs::read_dir(FIXTURES).expect("the fixtures").map(|file| file.expect("a file").path());
    let journals = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
    let mut there: Vec<_> = journals.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    there.sort_unstable();
    assert_eq!(there, ENDED.map(|(name, _)| name));
    for (name, status) in ENDED {
        check(name, &ended(name), status);
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
    let view = ended("v2-completed").view;
    assert!(matches!(view.outcome, Some(Outcome::Completed(_))), "{:?}", view.outcome);
    assert!(view.nodes.iter().any(|node| node.status == NodeStatus::Completed && node.output.is_some()));
}
