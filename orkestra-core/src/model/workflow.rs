//! A workflow as data: named nodes, the names of their tasks and of the nodes before them.
//!
//! Nothing here is checked; [`Plan`](super::Plan) checks.

use serde::{Deserialize, Serialize};

use super::id::Name;
use super::payload::{Payload, if_present};
use super::policy::Retry;

/// A workflow's definition. Serialises to the JSON that a run's journal begins with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// The workflow's name.
    pub name: Name,
    /// The version that its author gave it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The nodes, in the order in which they were declared.
    pub nodes: Vec<NodeSpec>,
}

/// One node of a workflow.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "NodeForm", into = "NodeForm")]
pub struct NodeSpec {
    /// The node's name, unique in its workflow.
    pub name: Name,
    /// What the node does.
    pub kind: NodeKind,
    /// The nodes that must complete before this one starts, in the order in which their outputs are handed over.
    pub after: Vec<Name>,
    /// How often the node is tried.
    pub retry: Retry,
    /// How long one attempt may take from start to close, in milliseconds; for a gate, how long it waits.
    pub timeout_ms: Option<u64>,
    /// The node's input; without one it is made from the nodes before it, or from the run's input. Written as `null` it
    /// is `null`; leave it out for none.
    pub input: Option<Payload>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NodeKind {
    /// Runs the task that is registered under this name.
    Task(Name),
    /// Waits for the signal of this name; its payload is the node's output.
    Gate(Name),
}

/// How a node is written: `{"name": …, "task": …}` or `{"name": …, "gate": …}`, and what differs from the defaults.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct NodeForm {
    name: Name,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    task: Option<Name>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    gate: Option<Name>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    after: Vec<Name>,
    #[serde(default, skip_serializing_if = "is_default")]
    retry: Retry,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "if_present")]
    input: Option<Payload>,
}

impl TryFrom<NodeForm> for NodeSpec {
    type Error = String;

    fn try_from(form: NodeForm) -> Result<Self, String> {
        let NodeForm { name, task, gate, after, retry, timeout_ms, input } = form;
        let kind = match (task, gate) {
            (Some(task), None) => NodeKind::Task(task),
            (None, Some(signal)) => NodeKind::Gate(signal),
            _ => return Err(format!("node `{name}` needs either `task` or `gate`")),
        };
        Ok(Self { name, kind, after, retry, timeout_ms, input })
    }
}

impl From<NodeSpec> for NodeForm {
    fn from(node: NodeSpec) -> Self {
        let NodeSpec { name, kind, after, retry, timeout_ms, input } = node;
        let (task, gate) = match kind {
            NodeKind::Task(task) => (Some(task), None),
            NodeKind::Gate(signal) => (None, Some(signal)),
        };
        Self { name, task, gate, after, retry, timeout_ms, input }
    }
}

impl NodeSpec {
    /// A node that runs `task`, after nothing, tried once.
    #[must_use]
    pub fn task(name: Name, task: Name) -> Self {
        Self::new(name, NodeKind::Task(task))
    }

    /// A node that waits for the signal `signal`.
    #[must_use]
    pub fn gate(name: Name, signal: Name) -> Self {
        Self::new(name, NodeKind::Gate(signal))
    }

    fn new(name: Name, kind: NodeKind) -> Self {
        Self { name, kind, after: Vec::new(), retry: Retry::none(), timeout_ms: None, input: None }
    }

    /// The same, after one node more.
    #[must_use]
    pub fn with_after(mut self, node: Name) -> Self {
        self.after.push(node);
        self
    }

    /// The same with another way to be tried again.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        Self { retry, ..self }
    }

    /// The same with an input of its own.
    #[must_use]
    pub fn with_input(self, input: Payload) -> Self {
        Self { input: Some(input), ..self }
    }
}

/// Nodes and edges to add to a plan while its run is under way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// The new nodes; they may come after old ones and after each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSpec>,
    /// New edges `(before, after)` into nodes that have not started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<(Name, Name)>,
}

impl Growth {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The same with one node more.
    #[must_use]
    pub fn with_node(mut self, node: NodeSpec) -> Self {
        self.nodes.push(node);
        self
    }

    /// The same with one edge more: `after` waits for `before` too.
    #[must_use]
    pub fn with_edge(mut self, before: Name, after: Name) -> Self {
        self.edges.push((before, after));
        self
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}
