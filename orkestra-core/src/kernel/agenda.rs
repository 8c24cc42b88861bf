//! What a state owes and what it waits for. Derived from the state alone, never from the events that were just made:
//! after a crash the same questions give the same answers.

use crate::model::{Name, NodeId, Timestamp};

use super::state::RunState;

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
    if !state.tasks.contains(&id) {
        return None;
    }
    let attempt = state.node(id).attempt;
    let stopping = state.stopping().is_some();
    Some(if stopping { Work::AskToStop { node: id, attempt } } else { Work::Invoke { node: id, attempt } })
}

/// All that the run owes. A live run with an empty agenda waits for something: see [`waits`].
pub fn agenda(state: &RunState) -> impl Iterator<Item = Work> + '_ {
    state.tasks.iter().filter_map(|id| work_of(state, *id))
}

/// All that the run waits for.
#[must_use]
pub fn waits(state: &RunState) -> Vec<Wait> {
    let timer = state.next_timer().map(Wait::Timer);
    let signals = state.waiters.keys().map(|name| Wait::Signal(name.clone()));
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
