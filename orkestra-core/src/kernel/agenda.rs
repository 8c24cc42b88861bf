//! What a state owes and what it waits for. Derived from the state alone, never from the events that were just made:
//! after a crash the same questions give the same answers.

use crate::model::{Name, NodeId, NodeKind, Timestamp};

use super::state::{NodeStatus, RunState, StepState};

/// One thing that has to be done for a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// Call the node's task for this attempt.
    Invoke {
        /// The node.
        node: NodeId,
        /// The attempt.
        attempt: u32,
    },
    /// Ask the node's task to stop.
    AskToStop {
        /// The node.
        node: NodeId,
        /// The attempt.
        attempt: u32,
    },
}

/// One thing that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// A point in time.
    Timer(Timestamp),
    /// A signal from outside.
    Signal(Name),
}

/// What the node at `id` owes.
#[must_use]
pub fn work_of(state: &RunState, id: NodeId) -> Option<Work> {
    let node = state.node(id);
    let is_task = matches!(state.plan().node(id).spec.kind, NodeKind::Task(_));
    if node.status != NodeStatus::Running || !is_task {
        return None;
    }
    let attempt = node.attempt;
    let stopping = state.stopping().is_some();
    Some(if stopping { Work::AskToStop { node: id, attempt } } else { Work::Invoke { node: id, attempt } })
}

/// All that the run owes. A live run with an empty agenda waits for something: see [`waits`].
pub fn agenda(state: &RunState) -> impl Iterator<Item = Work> + '_ {
    state.running().filter_map(|id| work_of(state, id))
}

/// All that the run waits for.
#[must_use]
pub fn waits(state: &RunState) -> Vec<Wait> {
    let timer = state.next_timer().map(Wait::Timer);
    let signals =
        state.waiters.iter().filter(|(_, queue)| !queue.is_empty()).map(|(name, _)| Wait::Signal(name.clone()));
    timer.into_iter().chain(signals).collect()
}

/// When the run needs a driver again: [`Timestamp::ZERO`] when it does now, `None` when only somebody outside can go on.
#[must_use]
pub fn wake_at(state: &RunState) -> Option<Timestamp> {
    if state.status().is_final() {
        return None;
    }
    if agenda(state).next().is_some() { Some(Timestamp::ZERO) } else { state.next_timer() }
}

/// What is wrong with a state, if anything: the promises that hold after every decision.
#[must_use]
pub fn broken_invariant(state: &RunState) -> Option<String> {
    let live = !state.status().is_final();
    if live && agenda(state).next().is_none() && waits(state).is_empty() {
        return Some("a live run owes nothing and waits for nothing".into());
    }
    if !live && (state.next_timer().is_some() || state.running().next().is_some()) {
        return Some("an ended run still has timers or running nodes".into());
    }
    for id in state.plan().ids() {
        let node = state.node(id);
        let before = &state.plan().node(id).after;
        let undone = before.iter().filter(|id| state.node(**id).status != NodeStatus::Completed).count();
        if live && undone != node.waiting_for {
            return Some(format!(
                "`{}` counts {} nodes before it, there are {undone}",
                state.name(id),
                node.waiting_for
            ));
        }
        if live && node.status == NodeStatus::Pending && undone == 0 && state.stopping().is_none() {
            return Some(format!("`{}` could start and has not", state.name(id)));
        }
        if (node.status == NodeStatus::Running) != state.running.contains(&id) {
            return Some(format!("`{}` is not listed as it stands", state.name(id)));
        }
        let waits = node.steps.values().any(|step| matches!(step, StepState::Awaiting(_) | StepState::Sleeping(_)));
        if waits && node.status.is_final() && live {
            return Some(format!("`{}` has ended and still waits", state.name(id)));
        }
    }
    let open = state.plan().ids().filter(|id| !state.node(*id).status.is_final()).count();
    (open != state.open).then(|| format!("{} nodes counted as open, {open} are", state.open))
}
