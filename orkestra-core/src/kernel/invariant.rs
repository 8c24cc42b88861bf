//! Invariants that hold for every state after every decision. For tests: a check costs as much as the run is large.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Name, NodeId, NodeKind, RunId, Seq, Timestamp};

use super::agenda::{agenda, waits};
use super::node::StepState;
use super::state::{RunState, Timer};
use super::status::{NodeStatus, RunStatus};

type Violation = Option<String>;

/// Checks the invariants. Returns what is wrong, or `None`.
#[must_use]
pub fn broken_invariant(state: &RunState) -> Option<String> {
    if state.status().is_final() {
        return ended(state).or_else(|| open(state));
    }
    if agenda(state).next().is_none() && waits(state).is_empty() {
        return Some("a live run owes no work and waits for nothing".into());
    }
    whole(state)
        .or_else(|| state.plan().ids().find_map(|id| node(state, id)))
        .or_else(|| open(state))
        .or_else(|| timers(state))
        .or_else(|| signals(state))
        .or_else(|| questions(state))
        .or_else(|| children(state))
}

fn ended(state: &RunState) -> Violation {
    let under_way = !state.timers.is_empty()
        || !state.running.is_empty()
        || !state.tasks.is_empty()
        || !state.queued.is_empty()
        || !state.waiters.is_empty()
        || !state.questions.is_empty()
        || !state.children.is_empty()
        || state.pause.is_some()
        || state.stopping.is_some();
    if state.outcome.is_none() {
        return Some("an ended run has no outcome".into());
    }
    under_way.then(|| "an ended run still has timers, waits or running nodes".into())
}

fn whole(state: &RunState) -> Violation {
    let status = state.status();
    if status.is_ending() != state.stopping().is_some() || (status == RunStatus::Paused) != state.pause.is_some() {
        return Some("a run is stopping or paused without a reason".into());
    }
    if status == RunStatus::Stopping && state.running.is_empty() {
        return Some("a run is stopping but has no running attempt".into());
    }
    if status == RunStatus::Compensating && state.open == 0 {
        return Some("a run is compensating but has nothing left to compensate".into());
    }
    if let Some(id) = state.undecided().iter().find(|id| state.node(**id).status != NodeStatus::Failed) {
        return Some(format!("`{}` awaits a decision but has not failed", state.name(*id)));
    }
    if status == RunStatus::Running && state.reached_budget().is_some() {
        return Some("a run is running although a budget is used up".into());
    }
    None
}

fn node(state: &RunState, id: NodeId) -> Violation {
    let (node, name) = (state.node(id), state.name(id));
    let before = state.plan().node(id).after.iter();
    let (done, ended) = before.fold((0, 0), |(done, ended), before| {
        (done + usize::from(state.is_done(*before)), ended + usize::from(state.node(*before).status.is_final()))
    });
    if (done, ended - done) != (node.before_done, node.before_lost) {
        return Some(format!("`{name}` counts {} done and {} lost before it", node.before_done, node.before_lost));
    }
    let may_move = matches!(state.status(), RunStatus::Running | RunStatus::Compensating);
    if state.can_move(id) && may_move {
        return Some(format!("`{name}` is ready but was neither started nor skipped"));
    }
    let running = node.status == NodeStatus::Running;
    let task = state.is_running_task(id);
    if running != state.running.contains(&id)
        || (task && !node.parked) != state.tasks.contains(&id)
        || (node.status == NodeStatus::Queued) != state.queued.contains(&id)
    {
        return Some(format!("`{name}` is missing from, or wrongly in, an index by status"));
    }
    if node.parked && (!task || node.waits.is_empty()) {
        return Some(format!("`{name}` is parked but waits for nothing"));
    }
    if node.status.is_final() && !node.waits.is_empty() {
        return Some(format!("`{name}` has ended but still waits"));
    }
    let open = node.steps.iter().filter(|(_, step)| step.is_wait()).map(|(key, _)| Some(key));
    let open: BTreeSet<_> = open.chain((running && !task).then_some(None)).collect();
    let listed: BTreeSet<_> = node.waits.keys().map(Option::as_ref).collect();
    (open != listed).then(|| format!("`{name}` does not list its waits"))
}

fn open(state: &RunState) -> Violation {
    let open = state.plan().ids().filter(|id| !state.node(*id).status.is_final()).count();
    (open != state.open).then(|| format!("{} nodes are counted as open, but {open} are", state.open))
}

/// Every deadline has its timer and every timer its deadline. During a pause some are suspended.
fn timers(state: &RunState) -> Violation {
    let mut owed: BTreeSet<(Timestamp, Timer)> = BTreeSet::new();
    for id in state.plan().ids() {
        let node = state.node(id);
        owed.extend(node.deadline.map(|at| (at, Timer::Attempt(id))));
        owed.extend(node.total_deadline.map(|at| (at, Timer::Total(id))));
        owed.extend(node.retry_at.map(|at| (at, Timer::Retry(id))));
        owed.extend(node.steps.iter().filter_map(|(key, step)| match step {
            StepState::Sleeping(due) => Some((*due, Timer::Sleep(id, key.clone()))),
            _ => None,
        }));
        owed.extend(node.waits.iter().filter_map(|(key, wait)| Some((wait.until?, Timer::Sleep(id, key.clone()?)))));
    }
    match state.status() {
        RunStatus::Stopping => owed.extend(state.stopping().map(|stopping| (stopping.grace_until, Timer::Grace))),
        RunStatus::Compensating => {}
        _ => owed.extend(state.options().deadline.map(|deadline| (deadline, Timer::Deadline))),
    }
    let resting = state.pause().map(|pause| pause.resting.clone()).unwrap_or_default();
    let have: BTreeSet<_> = state.timers.union(&resting).cloned().collect();
    (owed != have).then(|| format!("the timers are {have:?} and should be {owed:?}"))
}

/// Every wait for a signal is in its queue, and no unread signal is waited for.
fn signals(state: &RunState) -> Violation {
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
        return Some(format!("signal `{signal}` is unread but waited for"));
    }
    let buffered: usize = state.signals.values().map(BTreeMap::len).sum();
    let empty = state.signals.values().any(BTreeMap::is_empty);
    (empty || buffered != state.signals_buffered).then(|| "the count of unread signals is wrong".into())
}

/// All waiting steps, with the events that started the waits.
fn open_steps<'a>(state: &'a RunState) -> impl Iterator<Item = (NodeId, &'a String, Seq, &'a StepState)> + 'a {
    let of = |id: NodeId| {
        let node = state.node(id);
        let keyed = node.waits.iter().filter_map(|(key, wait)| Some((key.as_ref()?, wait.since)));
        keyed.map(move |(key, since)| (id, key, since, &node.steps[key]))
    };
    state.plan().ids().flat_map(of)
}

fn questions(state: &RunState) -> Violation {
    let owed: BTreeMap<Seq, (NodeId, String)> = open_steps(state)
        .filter(|(_, _, _, step)| matches!(step, StepState::Asking(_)))
        .map(|(id, key, since, _)| (since, (id, key.clone())))
        .collect();
    (owed != state.questions).then(|| format!("the questions are {:?} and should be {owed:?}", state.questions))
}

fn children(state: &RunState) -> Violation {
    let owed: BTreeMap<RunId, (NodeId, String)> = open_steps(state)
        .filter_map(|(id, key, _, step)| match step {
            StepState::Child(child) => Some((child.run.clone(), (id, key.clone()))),
            _ => None,
        })
        .collect();
    (owed != state.children).then(|| format!("the runs waited for are {:?} and should be {owed:?}", state.children))
}
