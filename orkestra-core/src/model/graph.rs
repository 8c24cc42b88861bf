//! The shape of a plan: which node comes after which, and that nothing comes after itself.
//!
//! The only file that knows petgraph. It knows nodes by their place alone, never by their name.

use petgraph::Direction;
use petgraph::acyclic::Acyclic;
use petgraph::algo::astar;
use petgraph::data::Build;
use petgraph::graph::{DiGraph, NodeIndex};

use super::id::NodeId;

/// A directed graph without cycles that only grows. Adding keeps its topological order up to date, so growth costs
/// what it changes, not what is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    inner: Acyclic<DiGraph<(), ()>>,
}

/// The nodes of the cycle that an edge would have closed, in order, the first one not repeated at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cycle(pub(super) Vec<NodeId>);

impl Graph {
    pub(super) fn add_node(&mut self) -> NodeId {
        let index = self.inner.add_node(());
        NodeId(u32::try_from(index.index()).expect("petgraph's default index is 32 bits wide"))
    }

    /// Adds the edge; false when it was there already.
    pub(super) fn add_edge(&mut self, before: NodeId, after: NodeId) -> Result<bool, Cycle> {
        if self.inner.contains_edge(at(before), at(after)) {
            return Ok(false);
        }
        match self.inner.try_add_edge(at(before), at(after), ()) {
            Ok(_) => Ok(true),
            Err(_) => Err(self.path(after, before)),
        }
    }

    /// The shortest way from one node to the other: with the refused edge it is the cycle.
    fn path(&self, from: NodeId, to: NodeId) -> Cycle {
        let goal = at(to);
        let found = astar(self.inner.inner(), at(from), |node| node == goal, |_| 1_u32, |_| 0);
        let nodes = found.map_or_else(|| vec![at(from)], |(_, nodes)| nodes);
        Cycle(nodes.into_iter().map(id).collect())
    }

    pub(super) fn edges(&self) -> usize {
        self.inner.edge_count()
    }

    /// The nodes right after `node`, each once, in no order that means anything.
    pub(super) fn dependents(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.inner.neighbors_directed(at(node), Direction::Outgoing).map(id)
    }

    pub(super) fn in_degree(&self, node: NodeId) -> usize {
        self.inner.neighbors_directed(at(node), Direction::Incoming).count()
    }
}

fn at(node: NodeId) -> NodeIndex {
    NodeIndex::new(node.index())
}

fn id(index: NodeIndex) -> NodeId {
    NodeId(u32::try_from(index.index()).expect("petgraph's default index is 32 bits wide"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_edge_names_its_cycle_and_changes_nothing() {
        let mut graph = Graph::default();
        let [a, b, c] = [graph.add_node(), graph.add_node(), graph.add_node()];
        assert_eq!(graph.add_edge(a, b), Ok(true));
        assert_eq!(graph.add_edge(b, c), Ok(true));
        assert_eq!(graph.add_edge(a, b), Ok(false));
        assert_eq!(graph.add_edge(c, a), Err(Cycle(vec![a, b, c])));
        assert_eq!(graph.add_edge(b, b), Err(Cycle(vec![b])));
        assert_eq!(graph.edges(), 2);
        assert_eq!(graph.dependents(a).collect::<Vec<_>>(), [b]);
        assert_eq!((graph.in_degree(a), graph.in_degree(c)), (0, 1));
    }
}
