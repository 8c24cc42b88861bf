//! A run as a graph that can be drawn at any moment, and a plan before there is a run.
//!
//! ```text
//! RunState --+
//! commits  --+--> Graph --+--> text (a terminal), Mermaid, Graphviz dot, SVG
//! Plan     --+            +--> JSON (it serialises)
//! ```
//!
//! Everything is drawn in bounded time, the same for the same graph. What users wrote (labels, failures, reports) is
//! escaped by each drawing for its own language: no text of theirs becomes markup.

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
    /// The run, if it is one's graph.
    pub run: Option<GraphRun>,
    /// The nodes, in the order in which they were declared or added.
    pub nodes: Vec<GraphNode>,
    /// The edges, by the node that they lead to.
    pub edges: Vec<GraphEdge>,
}

/// The run that a graph is of.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct GraphRun {
    /// Its id.
    pub id: RunId,
    /// Where it stands.
    pub status: RunStatus,
    /// What there is to say: why it makes a pause, why it ends, how it ended. Short texts for people.
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
    /// Where it stands; nowhere in a plan.
    pub status: Option<NodeStatus>,
    /// The attempt under way, or the last one; 0 before the first.
    pub attempt: u32,
    /// The node whose task added it to the plan. Known where the run's events were seen, see [`GraphFold`].
    pub grown_by: Option<Name>,
    /// The node that it undoes.
    pub undoes: Option<Name>,
    /// The runs that it started and waits for.
    pub children: Vec<RunId>,
    /// What there is to say: waits, the time of the next attempt, a failure, the last report. Short texts for people.
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
    /// The node before: its place in [`Graph::nodes`].
    pub from: usize,
    /// The node after: its place in [`Graph::nodes`].
    pub to: usize,
    /// Whether a task added it, and not the workflow's author.
    pub grown: bool,
}

impl Graph {
    /// For a terminal: the levels of the graph, one line per node. Of a very wide level the nodes that matter most are
    /// shown, and of a very deep graph the levels where something happens; what is left out is counted.
    #[must_use]
    pub fn to_text(&self) -> String {
        text::draw(self)
    }

    /// A Mermaid flowchart with a class per status. Mermaid itself refuses more than 500 edges and 50,000 characters
    /// unless its page is configured for more (`maxEdges`, `maxTextSize`).
    #[must_use]
    pub fn to_mermaid(&self) -> String {
        mermaid::draw(self)
    }

    /// A digraph in the DOT language of Graphviz.
    #[must_use]
    pub fn to_dot(&self) -> String {
        dot::draw(self)
    }

    /// An SVG picture that needs nothing from outside: no script, no font, no style sheet. Every node has a `<title>`
    /// with all that is known of it, which browsers show when one points at it.
    #[must_use]
    pub fn to_svg(&self) -> String {
        svg::draw(self)
    }

    /// The edges as pairs of places, those that lead nowhere left out.
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
