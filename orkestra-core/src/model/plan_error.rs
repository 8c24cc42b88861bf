//! Errors of plans. Every mistake in a node names the node.

use super::id::Name;
use super::limits::{EDGES_MAX, NODE_LIMITS_MAX, NODES_MAX};

/// Why a workflow is not a valid plan, or a growth does not fit its plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The workflow has no nodes.
    #[error("workflow `{0}` has no nodes")]
    Empty(Name),
    /// Two nodes share a name.
    #[error("two nodes are named `{0}`")]
    DuplicateNode(Name),
    /// An edge refers to an unknown node.
    #[error("node `{node}` comes after `{unknown}`, but there is no such node")]
    UnknownNode {
        /// The node that the edge leads to.
        node: Name,
        /// The unknown name.
        unknown: Name,
    },
    /// Nodes depend on each other in a cycle.
    #[error("the workflow has a cycle: {}", show(.0))]
    Cycle(Vec<Name>),
    /// A condition tests the output of a node that is not right before its own.
    #[error("the condition of node `{node}` tests `{of}`, but `{of}` is not right before it; add it to `after`")]
    Condition {
        /// The node with the condition.
        node: Name,
        /// The node whose output it tests.
        of: Name,
    },
    /// A node waits for more nodes than come before it.
    #[error("node `{node}` waits for {wants} of the nodes before it, but there are {has}")]
    Join {
        /// The node.
        node: Name,
        /// How many it waits for.
        wants: usize,
        /// How many come before it.
        has: usize,
    },
    /// A node has more limits than allowed.
    #[error("node `{0}` has more than {NODE_LIMITS_MAX} limits")]
    TooManyLimits(Name),
    /// A timeout is zero, which no attempt can meet.
    #[error("node `{0}` has a timeout of zero; leave it out for no timeout")]
    ZeroTimeout(Name),
    /// A field of a node cannot be read back from a journal, or is out of range.
    #[error("node `{node}`, `{field}`: {what}")]
    Field {
        /// The node.
        node: Name,
        /// The field, by its name in data.
        field: &'static str,
        /// What is wrong with it.
        what: String,
    },
    /// A growth adds an edge to a node that has started.
    #[error("cannot add an edge to node `{0}`: it has already started")]
    Started(Name),
    /// The plan has more nodes or edges than allowed.
    #[error("the plan is too large: it may have at most {NODES_MAX} nodes and {EDGES_MAX} edges")]
    TooLarge,
}

fn show(cycle: &[Name]) -> String {
    let names = cycle.iter().chain(cycle.first());
    names.map(Name::as_str).collect::<Vec<_>>().join(" -> ")
}
