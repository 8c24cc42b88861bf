//! The relation between a run and its children: how a child is identified, and which abandoned children must be
//! cancelled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Name, NodeId, Parent, RunId, Seq};

use super::node::{ChildState, OpenWait};
use super::state::RunState;

/// A child run that is no longer waited for and must be cancelled. It may not exist yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Abandoned {
    /// The event that ended the wait.
    pub since: Seq,
    /// The workflow that it runs, or was to run.
    pub workflow: Name,
    pub(super) node: NodeId,
    pub(super) step: String,
    pub(super) request: Seq,
}

impl RunState {
    /// The identity of the request for `child`. The child gets it when created; only a run with this parent is accepted
    /// as the child.
    #[must_use]
    pub fn parent_of(&self, child: &RunId) -> Option<Parent> {
        let (node, step, request) = match (self.children.get(child), self.abandoned.get(child)) {
            (Some((node, step)), _) => {
                let wait = self.node(*node).waits.get(&Some(step.clone()))?;
                (*node, step, wait.since)
            }
            (None, Some(left)) => (left.node, &left.step, left.request),
            (None, None) => return None,
        };
        Some(Parent {
            run: self.id.clone(),
            node: self.name(node).clone(),
            incarnation: self.options.incarnation.clone(),
            step: Some(step.clone()),
            request: Some(request),
        })
    }

    /// Children that are no longer waited for and must still be cancelled.
    #[must_use]
    pub const fn abandoned(&self) -> &BTreeMap<RunId, Abandoned> {
        &self.abandoned
    }

    /// Whether the run that waits for this one must still be informed of its end.
    #[must_use]
    pub const fn owes_parent(&self) -> bool {
        self.owes_parent.is_some()
    }

    /// Marks a child as no longer waited for.
    pub(super) fn abandon(&mut self, node: NodeId, step: &str, wait: OpenWait, child: &ChildState) {
        self.children.remove(&child.run);
        let (workflow, step) = (child.workflow.clone(), step.to_owned());
        let left = Abandoned { since: self.last, workflow, node, step, request: wait.since };
        self.abandoned.insert(child.run.clone(), left);
    }
}
