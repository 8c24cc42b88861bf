//! What a state owes and what it waits for. Derived from the state alone, never from the latest events, so the answers
//! are the same after a crash.

use crate::model::{Name, NodeId, RunId, Seq, Timestamp};

use super::state::RunState;

/// The wake-up time of a run that waits only for slots: a new process must drive it at once, but a process whose
/// limiter already queues the run need not.
pub const QUEUED_AT: Timestamp = Timestamp::from_millis(1);

/// A piece of work that a run owes.
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
    /// Start this run unless it exists, and report its end.
    StartChild {
        /// The run.
        child: RunId,
    },
    /// Cancel this run, unless it has ended.
    CancelChild {
        /// The run.
        child: RunId,
    },
    /// Report this run's end to the run that waits for it.
    TellParent,
}

/// Something that a run waits for.
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
    /// For someone to resume the run.
    Resume,
}

/// The work that the node at `id` owes.
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

/// The work that the run owes other runs, each with the event that caused it: the work may be done once that event is
/// durable. It stays owed after the run's end.
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

/// All work that the run owes. A live run with an empty agenda waits for something: see [`waits`].
pub fn agenda(state: &RunState) -> impl Iterator<Item = Work> + '_ {
    let nodes = state.tasks.iter().chain(&state.queued);
    nodes.filter_map(|id| work_of(state, *id)).chain(work_for_others(state).map(|(work, _)| work))
}

/// Everything that the run waits for.
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

/// Whether the run owes something to other runs besides starting its children.
#[must_use]
pub fn owes_others(state: &RunState) -> bool {
    !state.abandoned.is_empty() || state.owes_parent.is_some()
}

/// Whether the run needs a driver now: a task is running, or another run must be informed.
#[must_use]
pub fn is_busy(state: &RunState) -> bool {
    let tasks = state.pause.is_none() && !state.tasks.is_empty();
    tasks || owes_others(state)
}

/// When the run next needs a driver: [`Timestamp::ZERO`] for now, [`QUEUED_AT`] when it waits for slots, `None` when
/// only an outside action can continue it.
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
