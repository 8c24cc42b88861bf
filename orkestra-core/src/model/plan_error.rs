//! Why a workflow is no plan: every mistake names the node that it is in.

use super::id::Name;
use super::limits::{EDGES_MAX, NODE_LIMITS_MAX, NODES_MAX};

/// Why a workflow is no plan, or a growth does not fit one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// There is nothing to run.
    #[error("workflow `{0}` has no nodes")]
    Empty(Name),
    /// Two nodes share a name.
    #[error("two nodes are named `{0}`")]
    DuplicateNode(Name),
    /// An edge begins or ends nowhere.
    #[error("node `{node}` comes after `{unknown}`, which is no node")]
    UnknownNode {
        /// The node that names it.
        node: Name,
        /// The name that stands for nothing.
        unknown: Name,
    },
    /// A node would have to wait for itself.
    #[error("the workflow has a cycle: {}", show(.0))]
    Cycle(Vec<Name>),
    /// A condition looks at a node that does not come right before.
    #[error("node `{node}` looks at `{of}` in its condition, and does not come right after it")]
    Condition {
        /// The node.
        node: Name,
        /// The node that it looks at.
        of: Name,
    },
    /// A node waits for more nodes than there are before it.
    #[error("node `{node}` waits for at least {wants} of the nodes before it, and there are {has}")]
    Join {
        /// The node.
        node: Name,
        /// How many it waits for.
        wants: usize,
        /// How many there are.
        has: usize,
    },
    /// A node is under more limits than a node may be.
    #[error("node `{0}` is under more than {NODE_LIMITS_MAX} limits")]
    TooManyLimits(Name),
    /// A time limit of zero could never be kept.
    #[error("node `{0}` has a time limit of zero")]
    ZeroTimeout(Name),
    /// A field of a node holds what could not be read back from a journal, or what no run could follow.
    #[error("node `{node}`, `{field}`: {what}")]
    Field {
        /// The node.
        node: Name,
        /// The field, as it is written in data.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A growth adds an edge into a node that has started.
    #[error("node `{0}` has started already: nothing can be put before it")]
    Started(Name),
    /// More nodes or edges than a plan may have.
    #[error("a plan has at most {NODES_MAX} nodes and {EDGES_MAX} edges")]
    TooLarge,
}

fn show(cycle: &[Name]) -> String {
    let names = cycle.iter().chain(cycle.first());
    names.map(Name::as_str).collect::<Vec<_>>().join(" -> ")
}
