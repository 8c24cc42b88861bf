//! Workflow definitions as data: nodes, their tasks, and the edges between them.
//!
//! Nothing is checked here: [`Plan`](super::Plan) checks.

use serde::{Deserialize, Serialize};

use super::id::Name;
use super::node::NodeSpec;

/// A workflow's definition. A run's journal begins with its JSON form.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkflowSpec {
    /// The workflow's name.
    pub name: Name,
    /// The version, chosen by its author.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The nodes, in order of declaration.
    pub nodes: Vec<NodeSpec>,
}

/// Nodes and edges to add to the plan of a live run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Growth {
    /// The new nodes. They may come after existing nodes and after each other.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeSpec>,
    /// New edges `(before, after)`. They must lead to nodes that have not started.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edges: Vec<(Name, Name)>,
}

impl Growth {
    /// An empty growth.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a node.
    #[must_use]
    pub fn with_node(mut self, node: NodeSpec) -> Self {
        self.nodes.push(node);
        self
    }

    /// Adds an edge: `after` then also waits for `before`.
    #[must_use]
    pub fn with_edge(mut self, before: Name, after: Name) -> Self {
        self.edges.push((before, after));
        self
    }
}
