//! What a state owes and what it waits for. Derived from the state alone, never from the events that were just made:
//! after a crash the same questions give the same answers.

use crate::model::{Name, NodeId, RunId, Seq, Timestamp};

use super::state::RunState;

/// When a run needs a driver that waits for slots and for nothing else that is nearer: at once in a new process, but
/// not in one whose limiter knows it.
pub const QUEUED_AT: Timestamp = Timestamp::from_millis(1);

/// One thing that has to be done for a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Get the slots that the node needs for this attempt.
    AcquireSlots {
        /// The node.
        node: NodeId,
        /// The attempt that may start then.
        attempt: u32,
    },
    /// Start this run, unless it is there, and tell its end.
    StartChild {
        /// The run.
        child: RunId,
    },
    /// Cancel this run, unless it has ended.
    CancelChild {
        /// The run.
        child: RunId,
    },
    /// Tell the run that waits for this one how it ended.
    TellParent,
}

/// One thing that a run waits for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Wait {
    /// A point in time.
    Timer(Timestamp),
    /// A signal from outside.
    Signal(Name),
    /// The answer to a question.
    Answer(Seq),
    /// The end of another run.
    Child(RunId),
    /// The slots of a node.
    Slots(NodeId),
    /// Somebody who ends the pause.
    Resume,
}

/// What the node at `id` owes.
#[must_use]
pub fn work_of(state: &RunState, id: NodeId) -> Option<Work> {
    let node = state.node(id);
    if state.queued.contains(&id) {
        let ending = state.stopping().is_some() && !state.is_undo(id);
        let work = Work::AcquireSlots { node: id, attempt: node.attempt + 1 };
        return (!ending && state.pause.is_none()).then_some(work);
    }
    if !state.tasks.contains(&id) || state.pause.is_some() {
        return None;
    }
    let attempt = node.attempt;
    let stopping = state.stopping().is_some() && !state.is_undo(id);
    Some(if stopping { Work::AskToStop { node: id, attempt } } else { Work::Invoke { node: id, attempt } })
}

/// What the run owes other runs, each with the event since which it does: it may be done once that one is durable. It
/// stays owed after the run's end.
pub fn work_for_others(state: &RunState) -> impl Iterator<Item = (Work, Seq)> + '_ {
    let since = |(id, key): &(NodeId, String)| state.node(*id).waits.get(&Some(key.clone())).map(|wait| wait.since);
    let started = state
        .children
        .iter()
        .filter_map(move |(child, place)| Some((Work::StartChild { child: child.clone() }, since(place)?)));
    let abandoned = state.abandoned.iter();
    let cancelled = abandoned.map(|(child, left)| (Work::CancelChild { child: child.clone() }, left.since));
    started.chain(cancelled).chain(state.owes_parent.map(|since| (Work::TellParent, since)))
}

/// All that the run owes. A live run with an empty agenda waits for something: see [`waits`].
pub fn agenda(state: &RunState) -> impl Iterator<Item = Work> + '_ {
    let nodes = state.tasks.iter().chain(&state.queued);
    nodes.filter_map(|id| work_of(state, *id)).chain(work_for_others(state).map(|(work, _)| work))
}

/// All that the run waits for.
#[must_use]
pub fn waits(state: &RunState) -> Vec<Wait> {
    let timer = state.next_timer().map(Wait::Timer);
    let signals = state.waiters.keys().map(|name| Wait::Signal(name.clone()));
    let answers = state.questions.keys().map(|question| Wait::Answer(*question));
    let children = state.children.keys().map(|child| Wait::Child(child.clone()));
    let slots = state.queued.iter().map(|id| Wait::Slots(*id));
    let resume = state.pause.as_ref().map(|_| Wait::Resume);
    timer.into_iter().chain(signals).chain(answers).chain(children).chain(slots).chain(resume).collect()
}

/// Whether the run owes something to runs that it does not wait for.
#[must_use]
pub fn owes_others(state: &RunState) -> bool {
    !state.abandoned.is_empty() || state.owes_parent.is_some()
}

/// Whether somebody has to act for the run now: a task is under way, or another run is to be told something.
#[must_use]
pub fn is_busy(state: &RunState) -> bool {
    let tasks = state.pause.is_none() && !state.tasks.is_empty();
    tasks || owes_others(state)
}

/// When the run needs a driver again: [`Timestamp::ZERO`] when it does now, [`QUEUED_AT`] when it waits for slots,
/// `None` when only somebody outside can go on.
#[must_use]
pub fn wake_at(state: &RunState) -> Option<Timestamp> {
    if is_busy(state) {
        return Some(Timestamp::ZERO);
    }
    if state.status().is_final() {
        return None;
    }
    if state.pause.is_none() && !state.queued.is_empty() {
        return Some(QUEUED_AT);
    }
    state.next_timer()
}
