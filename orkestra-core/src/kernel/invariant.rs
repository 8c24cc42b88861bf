//! What holds for every state after every decision. Looked up in no decision: it costs as much as the run is large.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Name, NodeId, NodeKind, Seq, Timestamp};

use super::agenda::{agenda, waits};
use super::state::{NodeStatus, RunState, RunStatus, StepState, Timer};

type Broken = Option<String>;

/// What is wrong with a state, if anything: the promises that hold after every decision.
#[must_use]
pub fn broken_invariant(state: &RunState) -> Option<String> {
    if state.status().is_final() {
        let under_way = !state.timers.is_empty() || !state.running.is_empty() || !state.waiters.is_empty();
        return under_way
            .then(|| "an ended run still has timers, waits or running nodes".into())
            .or_else(|| open(state));
    }
    if agenda(state).next().is_none() && waits(state).is_empty() {
        return Some("a live run owes nothing and waits for nothing".into());
    }
    let stopping = state.status() == RunStatus::Stopping;
    if stopping != state.stopping().is_some() || stopping && state.running.is_empty() {
        return Some("a run is stopping that has nothing to wait for, or for no reason".into());
    }
    let nodes = state.plan().ids().find_map(|id| node(state, id));
    nodes.or_else(|| open(state)).or_else(|| timers(state)).or_else(|| signals(state))
}

fn node(state: &RunState, id: NodeId) -> Broken {
    let (node, name) = (state.node(id), state.name(id));
    let before = &state.plan().node(id).after;
    let undone = before.iter().filter(|id| state.node(**id).status != NodeStatus::Completed).count();
    if undone != node.waiting_for {
        return Some(format!("`{name}` counts {} nodes before it, there are {undone}", node.waiting_for));
    }
    if node.status == NodeStatus::Pending && undone == 0 && state.stopping().is_none() {
        return Some(format!("`{name}` could start and has not"));
    }
    let running = node.status == NodeStatus::Running;
    if running != state.running.contains(&id) || state.is_running_task(id) != state.tasks.contains(&id) {
        return Some(format!("`{name}` is not listed as it stands"));
    }
    if node.status.is_final() && !node.waits.is_empty() {
        return Some(format!("`{name}` has ended and still waits"));
    }
    let open = node.steps.iter().filter(|(_, step)| matches!(step, StepState::Awaiting(_) | StepState::Sleeping(_)));
    let open: BTreeSet<_> =
        open.map(|(key, _)| Some(key)).chain((running && !is_task(state, id)).then_some(None)).collect();
    let listed: BTreeSet<_> = node.waits.keys().map(Option::as_ref).collect();
    (open != listed).then(|| format!("`{name}` does not list what it waits for"))
}

fn open(state: &RunState) -> Broken {
    let open = state.plan().ids().filter(|id| !state.node(*id).status.is_final()).count();
    (open != state.open).then(|| format!("{} nodes counted as open, {open} are", state.open))
}

/// Every deadline has its timer, and every timer its deadline.
fn timers(state: &RunState) -> Broken {
    let mut owed: BTreeSet<(Timestamp, Timer)> = BTreeSet::new();
    for id in state.plan().ids() {
        let node = state.node(id);
        owed.extend(node.deadline.map(|at| (at, Timer::Attempt(id))));
        owed.extend(node.retry_at.map(|at| (at, Timer::Retry(id))));
        owed.extend(node.steps.iter().filter_map(|(key, step)| match step {
            StepState::Sleeping(due) => Some((*due, Timer::Sleep(id, key.clone()))),
            _ => None,
        }));
    }
    owed.extend(state.stopping().map(|stopping| (stopping.grace_until, Timer::Grace)));
    (owed != state.timers).then(|| format!("the timers are {:?} and should be {owed:?}", state.timers))
}

/// Every wait for a signal is in its queue, and nothing is unread that somebody waits for.
fn signals(state: &RunState) -> Broken {
    let mut owed: BTreeMap<Name, BTreeMap<Seq, (NodeId, Option<String>)>> = BTreeMap::new();
    for id in state.plan().ids() {
        for (key, wait) in &state.node(id).waits {
            let signal = match (key.as_ref().map(|key| &state.node(id).steps[key]), &state.plan().node(id).spec.kind) {
                (None, NodeKind::Gate(signal)) | (Some(StepState::Awaiting(signal)), _) => signal.clone(),
                _ => continue,
            };
            owed.entry(signal).or_default().insert(wait.since, (id, key.clone()));
        }
    }
    if owed != state.waiters {
        return Some(format!("the waits for signals are {:?} and should be {owed:?}", state.waiters));
    }
    if let Some(signal) = state.signals.keys().find(|signal| state.waiters.contains_key(*signal)) {
        return Some(format!("signal `{signal}` is there and somebody waits for it"));
    }
    let buffered: usize = state.signals.values().map(std::collections::VecDeque::len).sum();
    let empty = state.signals.values().any(std::collections::VecDeque::is_empty);
    (empty || buffered != state.signals_buffered).then(|| "unread signals are not counted as they are".into())
}

fn is_task(state: &RunState, id: NodeId) -> bool {
    matches!(state.plan().node(id).spec.kind, NodeKind::Task(_))
}
