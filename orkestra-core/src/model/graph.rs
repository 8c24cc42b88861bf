//! The shape of a plan: which node comes after which, without cycles.
//!
//! The only file that uses petgraph. It identifies nodes by place, never by name.

use std::collections::{BTreeSet, HashSet};

use petgraph::Direction;
use petgraph::graph::{DiGraph, NodeIndex};

use super::id::NodeId;

/// A directed graph. It only grows; callers check new edges for cycles before using them.
#[derive(Clone, Debug, Default)]
pub(super) struct Graph {
    inner: DiGraph<(), ()>,
    /// For fast look-up: searching `inner` costs the degree of the node.
    edges: HashSet<(NodeId, NodeId)>,
}

/// The nodes of a cycle, in order; the first is not repeated at the end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cycle(pub(super) Vec<NodeId>);

impl Graph {
    pub(super) fn add_node(&mut self) -> NodeId {
        id(self.inner.add_node(()))
    }

    /// Adds the edge. Returns false when it exists already.
    pub(super) fn add_edge(&mut self, before: NodeId, after: NodeId) -> bool {
        let new = self.edges.insert((before, after));
        if new {
            self.inner.add_edge(at(before), at(after), ());
        }
        new
    }

    pub(super) fn has_edge(&self, before: NodeId, after: NodeId) -> bool {
        self.edges.contains(&(before, after))
    }

    /// Fails with a cycle, if there is one.
    pub(super) fn check(&self) -> Result<(), Cycle> {
        acyclic(self.inner.node_indices().map(id), |node| self.dependents(node))
    }

    /// Fails with the cycle that these edges would close. They may refer to nodes that do not exist yet. Costs what
    /// comes after the edges, not the size of the graph.
    pub(super) fn check_with(&self, edges: &BTreeSet<(NodeId, NodeId)>) -> Result<(), Cycle> {
        let next = |node: NodeId| {
            let old = (node.index() < self.inner.node_count()).then(|| self.dependents(node));
            let new = edges.range((node, NodeId(0))..=(node, NodeId(u32::MAX))).map(|(_, after)| *after);
            old.into_iter().flatten().chain(new)
        };
        acyclic(edges.iter().map(|(_, after)| *after), next)
    }

    pub(super) fn edges(&self) -> usize {
        self.edges.len()
    }

    /// The nodes right after `node`, each once, in no particular order.
    pub(super) fn dependents(&self, node: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        self.inner.neighbors(at(node)).map(id)
    }

    pub(super) fn in_degree(&self, node: NodeId) -> usize {
        self.inner.neighbors_directed(at(node), Direction::Incoming).count()
    }
}

/// Searches depth first from `starts` and fails at the first node that leads back to itself.
fn acyclic<I: Iterator<Item = NodeId>>(
    starts: impl Iterator<Item = NodeId>,
    next: impl Fn(NodeId) -> I,
) -> Result<(), Cycle> {
    // The path from a start to the current node, with the edges left to follow from each of its nodes.
    let mut path: Vec<(NodeId, I)> = Vec::new();
    let (mut on_path, mut done) = (HashSet::new(), HashSet::new());
    for start in starts {
        if !done.contains(&start) {
            on_path.insert(start);
            path.push((start, next(start)));
        }
        while let Some((node, rest)) = path.last_mut() {
            match rest.next() {
                Some(after) if on_path.contains(&after) => {
                    let cycle = path.iter().map(|(node, _)| *node).skip_while(|node| *node != after);
                    return Err(Cycle(cycle.collect()));
                }
                Some(after) if done.contains(&after) => {}
                Some(after) => {
                    on_path.insert(after);
                    path.push((after, next(after)));
                }
                None => {
                    on_path.remove(node);
                    done.insert(*node);
                    path.pop();
                }
            }
        }
    }
    Ok(())
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
    fn edges_are_checked_before_they_are_added() {
        let mut graph = Graph::default();
        let [a, b, c, new] = [graph.add_node(), graph.add_node(), graph.add_node(), NodeId(3)];
        assert!(graph.add_edge(a, b) && graph.add_edge(b, c));
        assert_eq!(graph.check_with(&BTreeSet::from([(a, c), (a, new), (new, c)])), Ok(()));
        assert_eq!(graph.check_with(&BTreeSet::from([(c, new), (new, b)])), Err(Cycle(vec![new, b, c])));
        assert_eq!(graph.check_with(&BTreeSet::from([(new, new)])), Err(Cycle(vec![new])));
        assert_eq!(graph.edges(), 2);
    }

    #[test]
    fn a_node_that_waits_for_itself_is_a_cycle() {
        let mut graph = Graph::default();
        let node = graph.add_node();
        graph.add_edge(node, node);
        assert_eq!(graph.check(), Err(Cycle(vec![node])));
    }
}
