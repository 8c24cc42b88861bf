//! Draws the graph for a terminal: levels from top to bottom, one line per node.
//!
//! The node of a single-node level is on the trunk itself, the nodes of other levels branch off. `← a, b` shows what a
//! node comes after, unless that is exactly the level above.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use crate::kernel::NodeStatus;
use crate::model::printable;
use crate::projection::word::word;

use super::look::{self, remarks, status_line};
use super::{Graph, GraphNode};

/// A wider level shows only this many nodes.
const LEVEL_NODES_MAX: usize = 20;

/// A deeper graph shows only about this many levels.
const LEVELS_MAX: usize = 100;

/// How many of the nodes before a node are listed.
const BEFORE_SHOWN_MAX: usize = 3;

/// Longer names do not widen the name column.
const NAME_COLUMN_MAX: usize = 32;

const LINE_CHARS_MAX: usize = 240;

pub(super) fn draw(graph: &Graph) -> String {
    let edges = graph.pairs();
    let levels = super::layers::levels(graph.nodes.len(), &edges);
    let mut before = vec![Vec::new(); graph.nodes.len()];
    for (from, to) in edges {
        before[to].push(from);
    }
    let longest = graph.nodes.iter().map(|node| node.name.len()).filter(|length| *length <= NAME_COLUMN_MAX).max();
    let drawing = Drawing { graph, levels, before, column: longest.unwrap_or(0) };
    drawing.draw()
}

struct Drawing<'a> {
    graph: &'a Graph,
    levels: Vec<Vec<usize>>,
    before: Vec<Vec<usize>>,
    column: usize,
}

impl Drawing<'_> {
    fn draw(&self) -> String {
        let mut text = self.head();
        let shown = self.shown_levels();
        let mut next = 0;
        for level in shown {
            text.push_str(if level == 0 { "\n" } else { "│\n" });
            if level > next {
                let count = level - next;
                let hidden = self.levels[next..level].iter().flatten().copied();
                let _ = writeln!(text, "⋮ {count} more levels: {}\n│", self.count(hidden));
            }
            self.level(level, &mut text);
            next = level + 1;
        }
        text
    }

    fn head(&self) -> String {
        let mut parts = vec![self.graph.workflow.to_string()];
        parts.extend(self.graph.version.as_ref().map(|version| format!("version {version}")));
        if let Some(run) = &self.graph.run {
            parts.extend([format!("run {}", run.id), word(run.status)]);
            parts.extend(run.labels.iter().cloned());
        }
        line(&parts.join(" · "))
    }

    fn level(&self, level: usize, text: &mut String) {
        let nodes = &self.levels[level];
        let shown = self.shown_nodes(nodes);
        let branch = if nodes.len() == 1 { "" } else { "├ " };
        for node in &shown {
            let own = &self.graph.nodes[*node];
            let width = self.column + if branch.is_empty() { 2 } else { 0 };
            let sign = look::of(own.status).sign;
            let mut parts = vec![format!("{branch}{sign} {:width$}  {}", own.name.as_str(), status_line(own))];
            parts.extend(self.comes_after(level, *node));
            parts.extend(remarks(own));
            text.push_str(&line(&parts.join(" · ")));
        }
        let hidden = nodes.len() - shown.len();
        if hidden > 0 {
            let left: BTreeSet<_> = nodes.iter().filter(|node| !shown.contains(node)).collect();
            let _ = writeln!(text, "├ … {hidden} more: {}", self.count(left.into_iter().copied()));
        }
    }

    /// The nodes before the node, unless they are exactly the level above.
    fn comes_after(&self, level: usize, node: usize) -> Option<String> {
        let before = &self.before[node];
        let above = level.checked_sub(1).map_or(&[][..], |above| &self.levels[above]);
        let all = before.len() == above.len() && before.iter().all(|before| above.binary_search(before).is_ok());
        if all {
            return None;
        }
        let names = before.iter().take(BEFORE_SHOWN_MAX).map(|before| self.graph.nodes[*before].name.as_str());
        let mut shown = names.collect::<Vec<_>>().join(", ");
        if before.len() > BEFORE_SHOWN_MAX {
            let _ = write!(shown, ", … {} more", before.len() - BEFORE_SHOWN_MAX);
        }
        Some(format!("← {shown}"))
    }

    /// The most important nodes of a level, in order.
    fn shown_nodes(&self, nodes: &[usize]) -> BTreeSet<usize> {
        let mut ranked = nodes.to_vec();
        ranked.sort_by_key(|node| interest(&self.graph.nodes[*node]));
        ranked.truncate(LEVEL_NODES_MAX);
        ranked.into_iter().collect()
    }

    /// All levels; of a deep graph the first and last ones, and those with activity and their neighbours.
    fn shown_levels(&self) -> BTreeSet<usize> {
        let count = self.levels.len();
        if count <= LEVELS_MAX {
            return (0..count).collect();
        }
        let mut shown: BTreeSet<_> = (0..3).chain(count - 3..count).collect();
        for level in 1..count - 1 {
            let busy = self.levels[level].iter().any(|node| interest(&self.graph.nodes[*node]) < QUIET);
            if busy && shown.len() < LEVELS_MAX {
                shown.extend(level - 1..=level + 1);
            }
        }
        shown
    }

    /// Counts the nodes by status: `150 completed, 30 pending`.
    fn count(&self, nodes: impl Iterator<Item = usize>) -> String {
        let mut counts = BTreeMap::new();
        for node in nodes {
            let own = &self.graph.nodes[node];
            *counts.entry((interest(own), look::of(own.status).word)).or_insert(0_usize) += 1;
        }
        let shown = counts.into_iter().map(|((_, word), count)| format!("{count} {word}"));
        shown.collect::<Vec<_>>().join(", ")
    }
}

/// From this rank on, a node has no activity.
const QUIET: u8 = 4;

/// The rank of a node: the most important have the lowest.
const fn interest(node: &GraphNode) -> u8 {
    match node.status {
        Some(NodeStatus::Failed) => 0,
        Some(NodeStatus::Running) => 1,
        Some(NodeStatus::Backoff) => 2,
        Some(NodeStatus::Queued) => 3,
        Some(NodeStatus::Cancelled) => QUIET,
        Some(NodeStatus::Pending) | None => 5,
        Some(NodeStatus::Skipped) => 6,
        Some(NodeStatus::Completed) => 7,
    }
}

fn line(text: &str) -> String {
    printable(text, LINE_CHARS_MAX) + "\n"
}
