//! Graphs: a run at any moment, or a plan without a run, ready to be drawn.
//!
//! ```text
//! RunState --+
//! commits  --+--> Graph --+--> text (a terminal), Mermaid, Graphviz dot, SVG
//! Plan     --+            +--> JSON (it serialises)
//! ```
//!
//! Drawing takes bounded time, and the same graph always has the same drawing. Each format escapes users' texts
//! (labels, failures, reports), so that none of them becomes markup.

mod build;
mod dot;
mod label;
mod layers;
mod look;
mod mermaid;
mod svg;
mod text;

pub use build::GraphFold;

use serde::Serialize;

use crate::kernel::{NodeStatus, RunStatus};
use crate::model::{Name, NodeKind, RunId, Seq, Timestamp};

/// A run or a plan as nodes and edges.
///
/// ```
/// use orkestra_core::prelude::*;
/// use orkestra_core::projection::Graph;
///
/// let spec = WorkflowSpec::from_json(r#"{"name": "site", "nodes": [
///     {"name": "planner", "task": "plan"},
///     {"name": "backend", "task": "code", "after": ["planner"]},
///     {"name": "frontend", "task": "code", "after": ["planner"]},
///     {"name": "qa", "task": "test", "after": ["backend", "frontend"]}
/// ]}"#)?;
/// let graph = Graph::of_spec(&spec)?;
/// assert_eq!(graph.to_text(), "\
/// site
///
/// ○ planner     task `plan`
/// │
/// ├ ○ backend   task `code`
/// ├ ○ frontend  task `code`
/// │
/// ○ qa          task `test`
/// ");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Graph {
    /// The workflow's name.
    pub workflow: Name,
    /// The workflow's version.
    pub version: Option<String>,
    /// The run; `None` for the graph of a plan.
    pub run: Option<GraphRun>,
    /// The nodes, in order of declaration or addition.
    pub nodes: Vec<GraphNode>,
    /// The edges, ordered by the node that they lead to.
    pub edges: Vec<GraphEdge>,
}

/// The run of a graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GraphRun {
    /// Its id.
    pub id: RunId,
    /// The run's status.
    pub status: RunStatus,
    /// Short texts about the run: why it is paused, why it is stopping, how it ended.
    pub labels: Vec<String>,
    /// When its last event happened.
    pub updated_at: Timestamp,
    /// The position of its last event.
    pub last: Seq,
}

/// A node of a graph.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GraphNode {
    /// The node's name.
    pub name: Name,
    /// What it does.
    #[serde(flatten)]
    pub kind: GraphKind,
    /// The node's status; `None` in a plan.
    pub status: Option<NodeStatus>,
    /// The running attempt, or the last one; 0 before the first.
    pub attempt: u32,
    /// The node whose task added this one. Only known to a [`GraphFold`] that saw the events.
    pub grown_by: Option<Name>,
    /// The node that it compensates.
    pub undoes: Option<Name>,
    /// The child runs that it waits for.
    pub children: Vec<RunId>,
    /// Short texts about the node: waits, the time of the next attempt, a failure, the last report.
    pub labels: Vec<String>,
}

/// What a node does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GraphKind {
    /// It runs this task.
    Task(Name),
    /// It waits for this signal.
    Gate(Name),
}

/// An edge of a graph: `to` comes after `from`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GraphEdge {
    /// The node before: its index in [`Graph::nodes`].
    pub from: usize,
    /// The node after: its index in [`Graph::nodes`].
    pub to: usize,
    /// Whether a task added it; otherwise it is part of the workflow.
    pub grown: bool,
}

impl Graph {
    /// Draws for a terminal: the levels of the graph, one line per node. Very wide levels show only the most important
    /// nodes, very deep graphs only the levels with activity; the rest is counted.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::draw(self)
    }

    /// Draws a Mermaid flowchart with a class per status. Mermaid refuses more than 500 edges or 50,000 characters
    /// unless its page is configured for more (`maxEdges`, `maxTextSize`).
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// Draws a digraph in the DOT language of Graphviz.
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::draw(self)
    }

    /// Draws a self-contained SVG picture: no scripts, fonts or style sheets. Every node has a `<title>` with all its
    /// texts, which browsers show as a tooltip.
    #[must_use]
    pub fn to_svg(&self) -> String {
        svg::draw(self)
    }

    /// The edges as pairs of node indices. Edges to missing nodes are left out.
    fn pairs(&self) -> Vec<(usize, usize)> {
        let there = |place: usize| place < self.nodes.len();
        self.edges.iter().filter(|edge| there(edge.from) && there(edge.to)).map(|edge| (edge.from, edge.to)).collect()
    }
}

impl From<&NodeKind> for GraphKind {
    fn from(kind: &NodeKind) -> Self {
        match kind {
            NodeKind::Task(task) => Self::Task(task.clone()),
            NodeKind::Gate(signal) => Self::Gate(signal.clone()),
        }
    }
}
