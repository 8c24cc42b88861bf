//! The state of a run: the sum of its journal.
//!
//! Only `apply` writes to it. Everything that an event changes is found by key, never by search, so that the cost of an
//! event does not grow with the run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{
    Amount, Join, Name, NodeId, NodeKind, Payload, PayloadError, Plan, RunId, RunOptions, Seq, SlotBy, SlotKey,
    Timestamp, journaled,
};

use super::children::Abandoned;
use super::looks::NodeInput;
use super::node::{NodeState, Verdict};
use super::reason::{PauseReason, StopReason};
use super::status::{NodeStatus, Outcome, RunStatus};

/// A deadline of the run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Timer {
    /// The next attempt of a node starts.
    Retry(NodeId),
    /// The running attempt of a node times out.
    Attempt(NodeId),
    /// All attempts of a node together time out.
    Total(NodeId),
    /// A wait of a task ends: its time has come, or its time limit has passed.
    Sleep(NodeId, String),
    /// Attempts that were asked to stop are given up.
    Grace,
    /// The run times out.
    Deadline,
}

impl Timer {
    /// Whether it is suspended while the run is paused. Timers of attempts and retry delays are; a task's own waits and
    /// the run's deadline are not.
    #[must_use]
    pub const fn rests(&self) -> bool {
        matches!(self, Self::Attempt(_) | Self::Total(_) | Self::Retry(_))
    }
}

/// Why and until when a run is stopping.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Stopping {
    /// Why it stops.
    pub reason: StopReason,
    /// Until when attempts may end by themselves.
    pub grace_until: Timestamp,
}

/// Why and since when a run is paused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Pause {
    /// Why it is paused.
    pub reason: PauseReason,
    /// When the pause started.
    pub since: Timestamp,
    /// The timers that are suspended during the pause.
    pub resting: BTreeSet<(Timestamp, Timer)>,
}

/// The state of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunState {
    pub(super) id: RunId,
    #[serde(with = "frozen_plan")]
    pub(super) plan: Arc<Plan>,
    #[serde(with = "journaled")]
    pub(super) input: Payload,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) options: Box<RunOptions>,
    pub(super) status: RunStatus,
    pub(super) nodes: Vec<NodeState>,
    /// Nodes with a running attempt, including gates.
    pub(super) running: BTreeSet<NodeId>,
    /// Those of `running` with a task that is not parked. The agenda is made of these.
    pub(super) tasks: BTreeSet<NodeId>,
    /// Nodes that wait for slots.
    pub(super) queued: BTreeSet<NodeId>,
    /// The number of nodes that are not final.
    pub(super) open: usize,
    pub(super) timers: BTreeSet<(Timestamp, Timer)>,
    /// Unread signals by name, and by the events that brought them. A name without signals is removed.
    #[serde(with = "journaled::queues")]
    pub(super) signals: BTreeMap<Name, BTreeMap<Seq, Payload>>,
    pub(super) signals_buffered: usize,
    /// Waits for signals by name, and by the events that started them: a gate, or a step of a task. A name without
    /// waits is removed.
    pub(super) waiters: BTreeMap<Name, BTreeMap<Seq, (NodeId, Option<String>)>>,
    /// Open questions, by the events that asked them.
    pub(super) questions: BTreeMap<Seq, (NodeId, String)>,
    /// Child runs that are waited for.
    pub(super) children: BTreeMap<RunId, (NodeId, String)>,
    /// Child runs that are no longer waited for and must still be cancelled. Outlives the run's end.
    pub(super) abandoned: BTreeMap<RunId, Abandoned>,
    /// The event since which the parent must be informed of the run's end, while that is due.
    pub(super) owes_parent: Option<Seq>,
    /// What was spent, by meter.
    pub(super) spent: BTreeMap<Name, Amount>,
    /// The published values, by key.
    #[serde(default, with = "journaled::values", skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) published: BTreeMap<Name, Payload>,
    /// Completed nodes that can be compensated, in order of completion.
    pub(super) undoable: Vec<NodeId>,
    /// The nodes that the compensating nodes undo, in the same order.
    pub(super) undone: Vec<NodeId>,
    /// The first compensating node of the plan; `None` before compensation starts.
    pub(super) undo_from: Option<NodeId>,
    /// Incomplete nodes with steps copied from another run, which compensates them.
    pub(super) shared: BTreeSet<NodeId>,
    /// Failed nodes that await a decision, in the order of their failures. Meaningful while the run is paused, and when
    /// it is reopened.
    pub(super) undecided: Vec<NodeId>,
    pub(super) pause: Option<Pause>,
    pub(super) stopping: Option<Stopping>,
    /// Whether the engine that last drove the run shut down in order.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) released: bool,
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

    /// The graph in its current form.
    #[must_use]
    pub const fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// The run's input.
    #[must_use]
    pub const fn input(&self) -> &Payload {
        &self.input
    }

    /// The labels to find the run by.
    #[must_use]
    pub const fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// The run's options, with its current budget.
    #[must_use]
    pub const fn options(&self) -> &RunOptions {
        &self.options
    }

    /// The run's status.
    #[must_use]
    pub const fn status(&self) -> RunStatus {
        self.status
    }

    /// How the run ended, if it has.
    #[must_use]
    pub const fn outcome(&self) -> Option<&Outcome> {
        self.outcome.as_ref()
    }

    /// Why the run is about to end, if it is.
    #[must_use]
    pub const fn stopping(&self) -> Option<&Stopping> {
        self.stopping.as_ref()
    }

    /// Why the run is paused, if it is.
    #[must_use]
    pub const fn pause(&self) -> Option<&Pause> {
        self.pause.as_ref()
    }

    /// The failed nodes that await a decision: each is retried, or given up by
    /// [`InputKind::Resume`](super::InputKind::Resume). Empty unless the run is paused.
    #[must_use]
    pub fn undecided(&self) -> &[NodeId] {
        if self.pause.is_some() { &self.undecided } else { &[] }
    }

    /// What was spent, by meter.
    #[must_use]
    pub const fn spent(&self) -> &BTreeMap<Name, Amount> {
        &self.spent
    }

    /// The last published value of each key.
    #[must_use]
    pub const fn published(&self) -> &BTreeMap<Name, Payload> {
        &self.published
    }

    /// Open questions, by id: the node that asked, and the key of its wait.
    #[must_use]
    pub const fn questions(&self) -> &BTreeMap<Seq, (NodeId, String)> {
        &self.questions
    }

    /// Child runs that are waited for: the waiting node, and the key of its wait.
    #[must_use]
    pub const fn children(&self) -> &BTreeMap<RunId, (NodeId, String)> {
        &self.children
    }

    /// The node at `id`.
    ///
    /// # Panics
    /// If `id` belongs to another plan.
    #[must_use]
    pub fn node(&self, id: NodeId) -> &NodeState {
        &self.nodes[id.index()]
    }

    /// The name of the node at `id`.
    #[must_use]
    pub fn name(&self, id: NodeId) -> &Name {
        &self.plan.node(id).spec.name
    }

    /// The nodes with a running attempt, including waiting gates.
    pub fn running(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.running.iter().copied()
    }

    /// The nodes that wait for slots.
    pub fn queued(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.queued.iter().copied()
    }

    /// Whether a task of the node at `id` is running, parked or not.
    pub(super) fn is_running_task(&self, id: NodeId) -> bool {
        let is_task = matches!(self.plan.node(id).spec.kind, NodeKind::Task(_));
        is_task && self.node(id).status == NodeStatus::Running
    }

    /// Whether the node at `id` compensates another.
    #[must_use]
    pub fn is_undo(&self, id: NodeId) -> bool {
        self.undo_from.is_some_and(|first| id >= first)
    }

    /// The node that the node at `id` compensates, if any.
    #[must_use]
    pub fn undone_by(&self, id: NodeId) -> Option<NodeId> {
        let place = id.index().checked_sub(self.undo_from?.index())?;
        self.undone.get(place).copied()
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

    /// What the nodes before the node at `id` mean for it, by its join rule.
    pub(super) fn verdict(&self, id: NodeId) -> Verdict {
        let (node, before) = (self.node(id), self.plan.node(id).after.len());
        let (done, lost) = (node.before_done, node.before_lost);
        let of = |wanted: usize| match () {
            () if done >= wanted => Verdict::Ready,
            () if before - lost < wanted => Verdict::Skip,
            () => Verdict::Wait,
        };
        match self.plan.node(id).spec.join {
            Join::Any => of(before.min(1)),
            Join::AtLeast(wanted) => of(wanted.min(before)),
            Join::Settled if done + lost == before => Verdict::Ready,
            Join::Settled => Verdict::Wait,
            _ => of(before),
        }
    }

    /// Whether the node is ready: it can start, or be skipped.
    pub(crate) fn can_move(&self, id: NodeId) -> bool {
        self.node(id).status == NodeStatus::Pending && self.verdict(id) != Verdict::Wait
    }

    /// The input of the node at `id`: its replaced input, its own, the run's for a first node, or the outputs that its
    /// join rule selects, in this order.
    ///
    /// # Errors
    /// [`PayloadError::Beside`] when a part of it is kept beside the journal: see [`node_inputs`](Self::node_inputs).
    pub fn node_input(&self, id: NodeId) -> Result<Payload, PayloadError> {
        match self.node_inputs(id) {
            NodeInput::One(payload) if payload.is_kept_beside() => Err(PayloadError::Beside(payload)),
            NodeInput::One(payload) => Ok(payload),
            NodeInput::List(parts) => Payload::list(&parts),
        }
    }

    /// The input in parts, each of which may be a reference. To get the value, read the parts and join them.
    #[must_use]
    pub fn node_inputs(&self, id: NodeId) -> NodeInput {
        let (node, state) = (self.plan.node(id), self.node(id));
        if let Some(replaced) = &state.input {
            return NodeInput::One(replaced.clone());
        }
        if let Some(own) = &node.spec.input {
            return NodeInput::One(own.clone().verbatim());
        }
        let output = |id: &NodeId| self.node(*id).output.clone().unwrap_or_else(Payload::null);
        if let Some(undone) = self.undone_by(id) {
            return NodeInput::One(output(&undone));
        }
        let list = |ids: &[NodeId]| NodeInput::List(ids.iter().map(output).collect());
        match (node.spec.join, node.after.as_slice()) {
            (_, []) => NodeInput::One(self.input.clone()),
            (Join::Any, _) => NodeInput::One(state.chosen.first().map_or_else(Payload::null, output)),
            (Join::AtLeast(_), _) => list(&state.chosen),
            (Join::Settled, before) => list(before),
            (_, [only]) => NodeInput::One(output(only)),
            (_, several) => list(several),
        }
    }

    /// The outputs of the nodes that no other node comes after: the run's output, in parts.
    #[must_use]
    pub fn last_outputs(&self) -> Vec<(Name, Payload)> {
        let output = |id: NodeId| self.node(id).output.clone().unwrap_or_else(Payload::null);
        self.plan.sinks().map(|id| (self.name(id).clone(), output(id))).collect()
    }

    /// The value that a condition tests: the output of a node, or the run's input.
    pub(super) fn value(&self, of: Option<&Name>) -> Option<&Payload> {
        match of {
            None => Some(&self.input),
            Some(node) => self.node(self.plan.id(node)?).output.as_ref(),
        }
    }

    /// The slots that an attempt of the node at `id` needs.
    #[must_use]
    pub fn slots(&self, id: NodeId) -> Vec<SlotKey> {
        let key = |by: &SlotBy| match by {
            SlotBy::Label(label) => self.labels.get(label).cloned(),
            SlotBy::Key(text) => Some(text.clone()),
            SlotBy::Input(pointer) => self.node_inputs(id).slot_key(pointer),
        };
        let slot =
            |spec: &crate::model::SlotSpec| SlotKey { limit: spec.limit.clone(), key: spec.by.as_ref().and_then(key) };
        self.plan.node(id).spec.limits.iter().map(slot).collect()
    }
}

/// The plan of a state: with growth, it is not a workflow that could be written as one.
mod frozen_plan {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use crate::model::{FrozenPlan, Plan};

    pub(super) fn serialize<S: Serializer>(plan: &Arc<Plan>, serializer: S) -> Result<S::Ok, S::Error> {
        FrozenPlan::of(plan).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Plan>, D::Error> {
        FrozenPlan::deserialize(deserializer)?.thaw().map(Arc::new).map_err(de::Error::custom)
    }
}
