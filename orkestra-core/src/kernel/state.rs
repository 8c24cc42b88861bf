//! The state of a run: what its journal adds up to.
//!
//! Only `apply` writes here. All that an event changes is found by key, never searched for, so that the price of an
//! event does not grow with the run.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use crate::model::{Failure, Name, NodeId, NodeKind, Payload, Plan, RunId, Seq, Timestamp};

use super::event::StopReason;

/// Where a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RunStatus {
    /// It is under way, or waits for something named.
    Running,
    /// It is to end: no node starts any more, running attempts are asked to stop.
    Stopping,
    /// All nodes are done.
    Completed,
    /// A node failed.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
}

impl RunStatus {
    /// Whether nothing will happen to the run any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// With this output.
    Completed(Payload),
    /// With this failure of this node.
    Failed {
        /// The node.
        node: Name,
        /// What went wrong there.
        failure: Failure,
    },
    /// For this reason.
    Cancelled(String),
}

/// Where a node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NodeStatus {
    /// It waits for nodes before it.
    Pending,
    /// An attempt is under way; a gate is waiting.
    Running,
    /// An attempt failed and another follows later.
    Backoff,
    /// It is done.
    Completed,
    /// Its last attempt failed.
    Failed,
    /// The run stopped before it was done.
    Cancelled,
}

impl NodeStatus {
    /// Whether the node will not change any more.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

/// What is known of a step.
#[derive(Clone, Debug, PartialEq)]
pub enum StepState {
    /// It began and must not be done twice.
    Started,
    /// It waits until this time.
    Sleeping(Timestamp),
    /// It waits for this signal.
    Awaiting(Name),
    /// It is done.
    Done(Payload),
    /// It failed for good.
    Failed(Failure),
}

impl StepState {
    /// How the step ended, if it has.
    #[must_use]
    pub fn result(&self) -> Option<Result<&Payload, &Failure>> {
        match self {
            Self::Done(result) => Some(Ok(result)),
            Self::Failed(failure) => Some(Err(failure)),
            Self::Started | Self::Sleeping(_) | Self::Awaiting(_) => None,
        }
    }
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started | Self::Done(_) | Self::Failed(_) => f.write_str("a step"),
            Self::Sleeping(_) => f.write_str("a timer"),
            Self::Awaiting(signal) => write!(f, "a wait for signal `{signal}`"),
        }
    }
}

/// A deadline that the run has to keep.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The next attempt of a node begins.
    Retry(NodeId),
    /// The attempt of a node under way times out.
    Attempt(NodeId),
    /// A task's wait is over.
    Sleep(NodeId, String),
    /// Attempts that were asked to stop are given up.
    Grace,
}

/// A run that is to end.
#[derive(Clone, Debug, PartialEq)]
pub struct Stopping {
    /// Why.
    pub reason: StopReason,
    /// Until when attempts may end by themselves.
    pub grace_until: Timestamp,
}

/// A wait of a node that is not over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenWait {
    /// The event that began it.
    pub since: Seq,
    /// The attempt that asked for it. A wait for time may outlive it.
    pub attempt: u32,
}

/// A node of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct NodeState {
    /// Where it stands.
    pub status: NodeStatus,
    /// The attempt under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// How many nodes before it are not done.
    pub waiting_for: usize,
    /// When its first attempt began.
    pub started_at: Option<Timestamp>,
    /// When it became final.
    pub ended_at: Option<Timestamp>,
    /// When its attempt under way times out.
    pub deadline: Option<Timestamp>,
    /// When its next attempt begins.
    pub retry_at: Option<Timestamp>,
    /// What its last failed attempt left.
    pub last_failure: Option<Failure>,
    /// What it gave.
    pub output: Option<Payload>,
    /// Its steps, over all attempts.
    pub steps: HashMap<String, StepState>,
    /// What it waits for: its steps that are timers or wait for a signal, by key; a gate's own wait has none.
    pub waits: BTreeMap<Option<String>, OpenWait>,
    /// How often the attempt under way lost its process since it last finished a step, waits not counted.
    pub interruptions: u32,
    /// The last event that changed where the node stands: what it owes may begin once that event is durable.
    pub changed: Seq,
}

impl NodeState {
    pub(super) fn new(waiting_for: usize, changed: Seq) -> Self {
        Self {
            status: NodeStatus::Pending,
            attempt: 0,
            waiting_for,
            started_at: None,
            ended_at: None,
            deadline: None,
            retry_at: None,
            last_failure: None,
            output: None,
            steps: HashMap::new(),
            waits: BTreeMap::new(),
            interruptions: 0,
            changed,
        }
    }
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct RunState {
    pub(super) id: RunId,
    pub(super) plan: Arc<Plan>,
    pub(super) input: Payload,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) status: RunStatus,
    pub(super) nodes: Vec<NodeState>,
    /// Nodes with an attempt under way, gates included.
    pub(super) running: BTreeSet<NodeId>,
    /// Those of them whose attempt is a task's: what the agenda is made of.
    pub(super) tasks: BTreeSet<NodeId>,
    /// How many nodes are not final.
    pub(super) open: usize,
    pub(super) timers: BTreeSet<(Timestamp, Timer)>,
    /// Signals that nobody has read; no name without one.
    pub(super) signals: BTreeMap<Name, VecDeque<Payload>>,
    pub(super) signals_buffered: usize,
    /// Who waits for a signal, by the event with which they began to: a gate, or a step of a task. No name without one.
    pub(super) waiters: BTreeMap<Name, BTreeMap<Seq, (NodeId, Option<String>)>>,
    pub(super) stopping: Option<Stopping>,
    pub(super) outcome: Option<Outcome>,
    pub(super) last: Seq,
    pub(super) created_at: Timestamp,
    pub(super) updated_at: Timestamp,
}

impl RunState {
    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The graph as it is now.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// What the run was given.
    #[must_use]
    pub const fn input(&self) -> &Payload {
        &self.input
    }

    /// What the run can be found by.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Where the run stands.
    #[must_use]
    pub const fn status(&self) -> RunStatus {
        self.status
    }

    /// How the run ended, if it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Why the run is to end, if it is.
    #[must_use]
    pub const fn stopping(&self) -> Option<&Stopping> {
        self.stopping.as_ref()
    }

    /// The node at `id`.
    ///
    /// # Panics
    /// When `id` is of another plan.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &NodeState {
        &self.nodes[id.index()]
    }

    /// The name of the node at `id`.
    #[must_use]
    pub fn name(&self, id: NodeId) -> &Name {
        &self.plan.node(id).spec.name
    }

    /// The nodes with an attempt under way, waiting gates included.
    pub fn running(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.running.iter().copied()
    }

    /// Whether a task of the node at `id` is under way.
    pub(super) fn is_running_task(&self, id: NodeId) -> bool {
        let is_task = matches!(self.plan.node(id).spec.kind, NodeKind::Task(_));
        is_task && self.node(id).status == NodeStatus::Running
    }

    /// The earliest deadline of the run.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// The position of the last event.
    #[must_use]
    pub const fn last(&self) -> Seq {
        self.last
    }

    /// When the run was created.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.created_at
    }

    /// When the last event happened.
    #[must_use]
    pub const fn updated_at(&self) -> Timestamp {
        self.updated_at
    }

    /// The input of the node at `id`: its own, else the run's when it comes first, else the output of the node before
    /// it, else a list of the outputs of the nodes before it.
    ///
    /// # Errors
    /// When the list is larger than a payload may be.
    pub fn node_input(&self, id: NodeId) -> Result<Payload, crate::model::PayloadError> {
        let node = self.plan.node(id);
        if let Some(own) = &node.spec.input {
            return Ok(own.clone());
        }
        let output = |id: &NodeId| self.node(*id).output.clone().unwrap_or_else(Payload::null);
        match node.after.as_slice() {
            [] => Ok(self.input.clone()),
            [only] => Ok(output(only)),
            several => Payload::list(&several.iter().map(output).collect::<Vec<_>>()),
        }
    }
}
