//! What became of undoing: which of a run's completed nodes were undone when it ended before all of them were done.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Failure, FailureKind, Name, NodeId};

use super::state::RunState;
use super::status::{NodeStatus, Outcome};

/// The longest message of a failure that is kept here, in characters: the whole one is in the node that failed.
const MESSAGE_CHARS_MAX: usize = 300;

/// How many nodes a text names.
const NAMED_MAX: usize = 8;

/// What was undone of a run that did not complete, and what was not. A node that is in neither list is being undone, or
/// waits for that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Undo {
    /// The nodes that were undone, in the order in which they were.
    pub undone: Vec<Name>,
    /// The nodes that were not, and why: undoing them failed, or the run was terminated before. The nodes that tried are in
    /// the run's view, named `undo:<node>`; each can be retried. There are none when the run was terminated before it undid
    /// anything.
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
    /// What was undone so far and what was not; none when there was nothing to undo, or the run goes on or completed.
    #[must_use]
    pub fn undo(&self) -> Option<Undo> {
        let mut undo = Undo::default();
        let Some(first) = self.undo_from else {
            let left = self.undoable.iter().rev().filter(|_| matches!(self.outcome, Some(Outcome::Terminated(_))));
            undo.failed = left.map(|id| (self.name(*id).clone(), never())).collect();
            return (!undo.failed.is_empty()).then_some(undo);
        };
        for (undone, by) in self.undone.iter().zip(first.0..) {
            let (name, by) = (self.name(*undone).clone(), self.node(NodeId(by)));
            match by.status {
                NodeStatus::Completed => undo.undone.push(name),
                NodeStatus::Failed => undo.failed.push((name, by.last_failure.as_ref().map_or_else(never, short))),
                NodeStatus::Cancelled => undo.failed.push((name, never())),
                _ => {}
            }
        }
        Some(undo)
    }
}

fn never() -> Failure {
    Failure::permanent(FailureKind::Terminated, "the run was terminated before it was undone")
}

fn short(failure: &Failure) -> Failure {
    let message: String = failure.message.chars().take(MESSAGE_CHARS_MAX).collect();
    Failure { message, detail: None, backtrace: None, ..failure.clone() }
}
