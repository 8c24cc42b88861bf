//! The look of each status, the same in every drawing.

use crate::kernel::NodeStatus;

use super::{GraphKind, GraphNode};

/// The look of a node.
pub(super) struct Look {
    /// One character, for terminals.
    pub(super) sign: char,
    /// The status as a word, also used as a class name.
    pub(super) word: &'static str,
    pub(super) fill: &'static str,
    pub(super) stroke: &'static str,
    pub(super) ink: &'static str,
}

const fn look(sign: char, word: &'static str, colours: [&'static str; 3]) -> Look {
    Look { sign, word, fill: colours[0], stroke: colours[1], ink: colours[2] }
}

/// Every look; the first is for nodes without a run.
pub(super) const LOOKS: [Look; 9] = [
    look('○', "planned", ["#f8fafc", "#64748b", "#1e293b"]),
    look('○', NodeStatus::Pending.name(), ["#f4f4f5", "#a1a1aa", "#3f3f46"]),
    look('◔', NodeStatus::Queued.name(), ["#fef9c3", "#ca8a04", "#713f12"]),
    look('▶', NodeStatus::Running.name(), ["#dbeafe", "#2563eb", "#1e3a8a"]),
    look('↻', NodeStatus::Backoff.name(), ["#ffedd5", "#ea580c", "#7c2d12"]),
    look('✓', NodeStatus::Completed.name(), ["#dcfce7", "#16a34a", "#14532d"]),
    look('✗', NodeStatus::Failed.name(), ["#fee2e2", "#dc2626", "#7f1d1d"]),
    look('–', NodeStatus::Skipped.name(), ["#fafafa", "#d4d4d8", "#71717a"]),
    look('■', NodeStatus::Cancelled.name(), ["#f5f5f4", "#78716c", "#44403c"]),
];

pub(super) const fn of(status: Option<NodeStatus>) -> &'static Look {
    &LOOKS[match status {
        None => 0,
        Some(NodeStatus::Pending) => 1,
        Some(NodeStatus::Queued) => 2,
        Some(NodeStatus::Running) => 3,
        Some(NodeStatus::Backoff) => 4,
        Some(NodeStatus::Completed) => 5,
        Some(NodeStatus::Failed) => 6,
        Some(NodeStatus::Skipped) => 7,
        Some(NodeStatus::Cancelled) => 8,
    }]
}

/// The second line of a node: its status and attempt, or its task or signal before there is a run.
pub(super) fn status_line(node: &GraphNode) -> String {
    match (node.status, &node.kind) {
        (None, GraphKind::Task(task)) => format!("task `{task}`"),
        (None, GraphKind::Gate(signal)) => format!("gate `{signal}`"),
        (Some(_), _) if node.attempt > 1 => format!("{}, attempt {}", of(node.status).word, node.attempt),
        (Some(_), _) => of(node.status).word.to_owned(),
    }
}

/// The other lines of a node.
pub(super) fn remarks(node: &GraphNode) -> impl Iterator<Item = String> + '_ {
    let grown = node.grown_by.iter().map(|by| format!("added by {by}"));
    let undoes = node.undoes.iter().map(|undone| format!("undoes {undone}"));
    node.labels.iter().cloned().chain(grown).chain(undoes)
}
