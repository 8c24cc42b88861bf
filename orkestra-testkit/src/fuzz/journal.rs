//! Reads bytes as a journal: decodes and replays them, and renders every view of the state.

use orkestra_core::journal::{Replayer, Written, decode, encode};
use orkestra_core::kernel::{RunState, agenda, broken_invariant, waits, wake_at};
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::projection::{GraphFold, RunView, TimelineFold};

/// Reads the bytes as commits, one per line, and replays them up to the first illegal one.
///
/// # Panics
/// When a commit does not survive a round trip, or a view of the state cannot be rendered.
pub fn journal(data: &[u8]) {
    let run = RunId::new("r").expect("an id");
    let mut replayer = Replayer::new(run.clone());
    let (mut graph, mut timeline) = (GraphFold::default(), TimelineFold::new(run.clone()));
    let mut first = Seq(1);
    for body in data.split(|byte| *byte == b'\n') {
        let Some(written) = at(&run, first, body) else { return };
        first = written.last.plus(1);
        let Ok(commit) = replayer.add(&written) else { return };
        let again = encode(&commit).expect("what was read can be written");
        let read = decode(&run, again.first, again.last, &again.body).expect("what was written can be read");
        assert_eq!(read, commit, "a commit changed on its way through the journal");
        commit.events.iter().for_each(|event| graph.add(event));
        timeline.add(&commit);
        let state = replayer.state().expect("a commit makes a run");
        look(state, &graph);
    }
    if let Some(timeline) = timeline.finish() {
        drop(timeline.to_text());
    }
}

/// The commit with this body at its position. The number of its events is taken from the body: in a store, the record of the
/// commit says it.
fn at(run: &RunId, first: Seq, body: &[u8]) -> Option<Written> {
    let count = events(body)?;
    let last = first.plus(count.checked_sub(1)?);
    Some(Written { run: run.clone(), first, last, epoch: Epoch(1), body: body.into() })
}

fn events(body: &[u8]) -> Option<u64> {
    // Bytes that are not JSON count as one event, so that they are decoded too.
    let value = serde_json::from_slice::<serde_json::Value>(body).unwrap_or_default();
    Some(value["events"].as_array().map_or(1, |events| events.len() as u64))
}

/// Renders every view of a state. A state from an arbitrary journal may break invariants, but rendering it must not panic.
fn look(state: &RunState, graph: &GraphFold) {
    drop((broken_invariant(state), agenda(state).count(), waits(state), wake_at(state), RunView::of(state)));
    let graph = graph.graph(state);
    drop((graph.to_text(), graph.to_mermaid(), graph.to_dot(), graph.to_svg()));
}
