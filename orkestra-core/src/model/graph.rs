//! The shape of a plan: which node comes after which, and that nothing comes after itself.
//!
//! The only file that knows petgraph. It knows nodes by their place alone, never by their name.

use petgraph::Direction;
use petgraph::algo::{astar, toposort};
use petgraph::graph::{DiGraph, NodeIndex};

use super::id::NodeId;

/// A directed graph. It only grows, and whoever adds edges checks it before use.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph(DiGraph<(), ()>);

/// The nodes of a cycle, in order, the first one not repeated at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cycle(pub(super) Vec<NodeId>);

impl Graph {
    pub(super) fn add_node(&mut self) -> NodeId {
        id(self.0.add_node(()))
    }

    /// Adds the edge; false when it was there already.
    pub(super) fn add_edge(&mut self, before: NodeId, after: NodeId) -> bool {
        let new = self.0.find_edge(at(before), at(after)).is_none();
        if new {
            self.0.add_edge(at(before), at(after), ());
        }
        new
    }

    /// Finds a cycle, the shortest one through some node of it.
    pub(super) fn check(&self) -> Result<(), Cycle> {
        let Err(cycle) = toposort(&self.0, None) else { return Ok(()) };
        // The node that is reported may only lead into the cycle: take the first one that leads back to itself.
        let reported = std::iter::once(cycle.node_id()).chain(self.0.node_indices());
        let nodes = reported.filter_map(|node| self.way_back(node)).next().unwrap_or_default();
        Err(Cycle(nodes.into_iter().map(id).collect()))
    }

    /// The shortest way from a node to itself, without its end.
    fn way_back(&self, node: NodeIndex) -> Option<Vec<NodeIndex>> {
        let ways = self.0.neighbors(node).filter_map(|next| astar(&self.0, next, |at| at == node, |_| 1_u32, |_| 0));
        let (_, mut nodes) = ways.min_by_key(|(length, _)| *length)?;
        nodes.rotate_right(1);
        Some(nodes)
    }

    pub(super) fn edges(&self) -> usize {
        self.0.edge_count()
    }

    /// The nodes right after `node`, each once, in no order that means anything.
    pub(super) fn dependents(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.0.neighbors(at(node)).map(id)
    }

    pub(super) fn in_degree(&self, node: NodeId) -> usize {
        self.0.neighbors_directed(at(node), Direction::Incoming).count()
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
    fn a_cycle_is_named_in_full() {
        let mut graph = Graph::default();
        let [a, b, c, d] = [graph.add_node(), graph.add_node(), graph.add_node(), graph.add_node()];
        assert!(graph.add_edge(a, b) && graph.add_edge(b, c) && graph.add_edge(c, d));
        assert!(!graph.add_edge(a, b));
        assert_eq!(graph.check(), Ok(()));
        assert_eq!(graph.dependents(a).collect::<Vec<_>>(), [b]);
        assert_eq!((graph.in_degree(a), graph.in_degree(c), graph.edges()), (0, 1, 3));

        graph.add_edge(d, b);
        let Err(Cycle(mut cycle)) = graph.check() else { panic!("b, c and d wait for each other") };
        cycle.sort_unstable();
        assert_eq!(cycle, [b, c, d]);
    }

    #[test]
    fn a_node_that_waits_for_itself_is_a_cycle() {
        let mut graph = Graph::default();
        let node = graph.add_node();
        graph.add_edge(node, node);
        assert_eq!(graph.check(), Err(Cycle(vec![node])));
    }
}
