//! Why a run makes no progress: what each node waits for, and what the whole run waits for.
//!
//! What the journal tells is a pure function of the state. What only an engine knows (positions in queues, leases, runs that it
//! cannot drive) is `None` here; [`Run::view`](crate::Run::view) fills it in.

mod text;

use serde::Serialize;

use crate::kernel::{NodeStatus, OpenWait, PauseReason, RunState, StepState};
use crate::model::{Amount, Epoch, Join, Name, NodeId, NodeKind, Payload, RunId, Seq, SlotKey, Timestamp, WorkerId};

/// One thing that a node waits for.
///
/// As JSON it is an object with the field `kind`, the variant's name in `snake_case`, and the variant's fields. Times are
/// milliseconds since the Unix epoch. `Display` completes the sentence "`node` waits for …".
///
/// ```
/// use orkestra_core::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let workflow = Workflow::new("ask").gate::<bool>("approve").build()?;
/// let engine = Engine::builder().workflow(workflow).start().await?;
/// let view = engine.run("ask").start().await?.view().await?;
/// let waits_for = &view.nodes[0].waits_for[0];
/// assert_eq!(waits_for.to_string(), "the signal `approve`");
/// assert_eq!(serde_json::to_value(waits_for)?["kind"], "signal");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum WaitsFor {
    /// A point in time.
    Timer {
        /// The key of the wait.
        key: String,
        /// The time.
        until: Timestamp,
    },
    /// A signal: [`Run::signal`](crate::Run::signal) sends it.
    Signal {
        /// The key of the wait; `None` for a gate.
        key: Option<String>,
        /// The signal.
        signal: Name,
        /// When the wait ends without it.
        until: Option<Timestamp>,
    },
    /// The answer to a question: [`Run::answer`](crate::Run::answer) gives it.
    Question {
        /// The key of the wait.
        key: String,
        /// The question's id.
        id: Seq,
        /// What is asked.
        question: Payload,
        /// When the wait ends without an answer.
        until: Option<Timestamp>,
    },
    /// The end of another run.
    Child {
        /// The key of the wait.
        key: String,
        /// The run.
        run: RunId,
        /// Its workflow.
        workflow: Name,
        /// When the wait ends before the run does.
        until: Option<Timestamp>,
    },
    /// The delay before its next attempt.
    Retry {
        /// The attempt.
        attempt: u32,
        /// When it starts.
        until: Timestamp,
    },
    /// Slots of the engine that drives the run. An attempt starts when it has all of them.
    Slots {
        /// The slots that it needs.
        slots: Vec<SlotWait>,
    },
    /// Nodes before it.
    Nodes {
        /// Those that have not ended, in declared order.
        nodes: Vec<Name>,
        /// How many of them its join rule still needs.
        needed: usize,
    },
    /// The end of a pause: [`Run::resume`](crate::Run::resume) ends it.
    Pause {
        /// Why the run is paused.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// A higher budget, and then the end of the pause: [`Run::set_budget`](crate::Run::set_budget), then
    /// [`Run::resume`](crate::Run::resume).
    Budget {
        /// The meter.
        meter: Name,
        /// What was spent.
        spent: Amount,
        /// The budget.
        limit: Amount,
        /// Since when the run has been paused.
        since: Timestamp,
    },
    /// A decision on its failure: [`Run::retry`](crate::Run::retry) runs it again, [`Run::resume`](crate::Run::resume)
    /// accepts the failure.
    Decision,
    /// The end of its task, which was asked to stop.
    Stop {
        /// When the attempt is abandoned.
        until: Timestamp,
    },
}

/// A slot that an attempt waits for. A field is `None` if the answering engine does not know it: only the engine that drives the
/// run has its queue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SlotWait {
    /// The limit.
    pub limit: Name,
    /// The key, if the limit counts by one.
    pub key: Option<String>,
    /// The position among the requests for such a slot, from 1.
    pub place: Option<usize>,
    /// How many such slots are in use.
    pub in_use: Option<u32>,
    /// How many may be in use at once; `None` if only the rate is limited.
    pub at_once: Option<u32>,
    /// When the rate allows the next attempt, if the rate is the cause.
    pub free_at: Option<Timestamp>,
}

/// What the whole run waits for, besides what its nodes wait for.
///
/// As JSON it is an object like [`WaitsFor`]. `Display` completes the sentence "the run waits for …".
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunWaitsFor {
    /// An engine: the run could continue, and no engine drives it.
    Engine {
        /// Since when it could.
        since: Timestamp,
    },
    /// Capacity of the answering engine: the run could continue, but the engine already drives as many runs as it may.
    Capacity {
        /// How many that is.
        runs_max: usize,
    },
    /// A repair: the answering engine cannot drive the run. See [`Engine::blocked`](crate::Engine::blocked).
    Blocked {
        /// Why.
        reason: String,
    },
    /// Help from outside: nothing else will move the run. See [`Engine::stuck`](crate::Engine::stuck).
    Stuck {
        /// Why.
        reason: String,
    },
}

/// The engine that drives a run, and until when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LeaseView {
    /// The engine.
    pub worker: WorkerId,
    /// The fencing number of its lease.
    pub epoch: Epoch,
    /// When the lease expires, unless it is renewed.
    pub until: Timestamp,
}

impl WaitsFor {
    /// Returns everything that the node at `id` waits for: first what holds up the whole node, then what its task waits for, in the
    /// order of its requests. Empty if the node has ended or its task is working.
    #[must_use]
    pub fn of(state: &RunState, id: NodeId) -> Vec<Self> {
        let node = state.node(id);
        let mut waits = Vec::new();
        let ends = state.stopping().is_some() && !state.is_undo(id);
        match node.status {
            // It will not start any more, and is cancelled with its run.
            NodeStatus::Pending | NodeStatus::Queued | NodeStatus::Backoff if ends => return waits,
            NodeStatus::Pending if state.can_move(id) => waits.extend(pause(state)),
            NodeStatus::Pending => waits.push(nodes(state, id)),
            NodeStatus::Queued => {
                waits.extend(pause(state));
                waits.push(Self::Slots { slots: state.slots(id).into_iter().map(SlotWait::unknown).collect() });
            }
            NodeStatus::Running if matches!(state.plan().node(id).spec.kind, NodeKind::Task(_)) => {
                waits.extend(pause(state));
                let stopping = state.stopping().filter(|_| ends);
                waits.extend(stopping.map(|stopping| Self::Stop { until: stopping.grace_until }));
            }
            NodeStatus::Backoff => {
                waits.extend(pause(state));
                waits.extend(node.retry_at.map(|until| Self::Retry { attempt: node.attempt + 1, until }));
            }
            NodeStatus::Failed if state.undecided().contains(&id) => waits.push(Self::Decision),
            NodeStatus::Running
            | NodeStatus::Completed
            | NodeStatus::Failed
            | NodeStatus::Skipped
            | NodeStatus::Cancelled => {}
        }
        let mut asked: Vec<_> = node.waits.iter().collect();
        asked.sort_unstable_by_key(|(_, wait)| wait.since);
        waits.extend(asked.into_iter().filter_map(|(key, wait)| asked_for(state, id, key.as_deref(), wait)));
        waits
    }
}

impl SlotWait {
    /// What is known without the engine that drives the run.
    pub(crate) fn unknown(slot: SlotKey) -> Self {
        Self { limit: slot.limit, key: slot.key, place: None, in_use: None, at_once: None, free_at: None }
    }
}

/// What a task, or a gate, asked for.
fn asked_for(state: &RunState, id: NodeId, key: Option<&str>, wait: &OpenWait) -> Option<WaitsFor> {
    let until = wait.until;
    let Some(key) = key else {
        return match &state.plan().node(id).spec.kind {
            NodeKind::Gate(signal) => {
                // The time limit of a gate is that of its attempt, which rests in a pause.
                let node = state.node(id);
                let limits = node.deadline.into_iter().chain(node.total_deadline);
                let until = limits.min().filter(|_| state.pause().is_none());
                Some(WaitsFor::Signal { key: None, signal: signal.clone(), until })
            }
            NodeKind::Task(_) => None,
        };
    };
    let step = state.node(id).steps.get(key)?;
    let key = key.to_owned();
    match step {
        StepState::Sleeping(until) => Some(WaitsFor::Timer { key, until: *until }),
        StepState::Awaiting(signal) => Some(WaitsFor::Signal { key: Some(key), signal: signal.clone(), until }),
        StepState::Asking(question) => {
            Some(WaitsFor::Question { key, id: wait.since, question: question.clone(), until })
        }
        StepState::Child(child) => {
            Some(WaitsFor::Child { key, run: child.run.clone(), workflow: child.workflow.clone(), until })
        }
        StepState::Started | StepState::Done(_) | StepState::Failed(_) | StepState::LetGo => None,
    }
}

/// The nodes before it that have not ended.
fn nodes(state: &RunState, id: NodeId) -> WaitsFor {
    let before = &state.plan().node(id).after;
    let open = before.iter().filter(|before| !state.node(**before).status.is_final());
    let nodes: Vec<_> = open.map(|open| state.name(*open).clone()).collect();
    let done = state.node(id).before_done;
    let needed = match state.plan().node(id).spec.join {
        Join::Any => 1_usize.saturating_sub(done),
        Join::AtLeast(wanted) => wanted.min(before.len()).saturating_sub(done),
        Join::All | Join::Settled => nodes.len(),
    };
    WaitsFor::Nodes { nodes, needed }
}

fn pause(state: &RunState) -> Option<WaitsFor> {
    let pause = state.pause()?;
    let since = pause.since;
    Some(match &pause.reason {
        PauseReason::Budget { meter } => match state.reached_budget() {
            Some((meter, spent, limit)) => WaitsFor::Budget { meter: meter.clone(), spent, limit, since },
            None => WaitsFor::Pause { reason: format!("the budget of `{meter}` was reached and raised since"), since },
        },
        reason @ (PauseReason::Asked { .. } | PauseReason::NodeFailed { .. } | PauseReason::ProcessesLost { .. }) => {
            WaitsFor::Pause { reason: reason.to_string(), since }
        }
    })
}
