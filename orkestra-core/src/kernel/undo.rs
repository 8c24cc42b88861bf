//! The result of compensation: which completed nodes of a run that ended early were compensated.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, FailureKind, Name, NodeId};

use super::state::RunState;
use super::status::{NodeStatus, Outcome};

/// The maximum length of a failure's message here, in characters. The node that failed keeps the whole message.
const MESSAGE_CHARS_MAX: usize = 300;

/// How many nodes the text lists by name.
const NAMED_MAX: usize = 8;

/// Which nodes of a run that did not complete were compensated, and which were not. A node in neither list is being
/// compensated, or is about to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Undo {
    /// The compensated nodes, in order of compensation.
    pub undone: Vec<Name>,
    /// The nodes that were not compensated, and why: their compensation failed, or the run was terminated before. The
    /// compensating nodes are in the run's view, named `undo:<node>`; each can be retried. There are none when the run
    /// was terminated before compensation started.
    pub failed: Vec<(Name, Failure)>,
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let undone = self.undone.iter().map(ToString::to_string).collect();
        let failed = self.failed.iter().map(|(node, failure)| format!("{node} ({failure})")).collect();
        let parts = [("undone", list(undone)), ("not undone", list(failed))];
        let told = parts.iter().filter_map(|(what, nodes)| nodes.as_ref().map(|nodes| format!("{what}: {nodes}")));
        f.write_str(&told.collect::<Vec<_>>().join("; "))
    }
}

fn list(mut nodes: Vec<String>) -> Option<String> {
    let more = nodes.len().saturating_sub(NAMED_MAX);
    nodes.truncate(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!nodes.is_empty()).then(|| nodes.join(", ") + &more)
}

impl RunState {
    /// What has been compensated so far, and what failed. `None` when there was nothing to compensate, and for runs
    /// that are not ending or have completed.
    #[must_use]
    pub fn undo(&self) -> Option<Undo> {
        let mut undo = Undo::default();
        let Some(first) = self.undo_from else {
            let left = self.undoable.iter().rev().filter(|_| matches!(self.outcome, Some(Outcome::Terminated(_))));
            undo.failed = left.map(|id| (self.name(*id).clone(), not_compensated())).collect();
            return (!undo.failed.is_empty()).then_some(undo);
        };
        for (undone, by) in self.undone.iter().zip(first.0..) {
            let (name, by) = (self.name(*undone).clone(), self.node(NodeId(by)));
            match by.status {
                NodeStatus::Completed => undo.undone.push(name),
                NodeStatus::Failed => {
                    undo.failed.push((name, by.last_failure.as_ref().map_or_else(not_compensated, shortened)));
                }
                NodeStatus::Cancelled => undo.failed.push((name, not_compensated())),
                _ => {}
            }
        }
        Some(undo)
    }
}

fn not_compensated() -> Failure {
    Failure::permanent(FailureKind::Terminated, "the run was terminated before this node was compensated")
}

fn shortened(failure: &Failure) -> Failure {
    let message: String = failure.message.chars().take(MESSAGE_CHARS_MAX).collect();
    Failure { message, detail: None, backtrace: None, ..failure.clone() }
}
