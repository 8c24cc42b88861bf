//! A workflow as data: named nodes, the names of their tasks and of the nodes before them.
//!
//! Nothing here is checked; [`Plan`](super::Plan) checks.

use serde::{Deserialize, Serialize};

use super::id::Name;
use super::node::NodeSpec;

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
