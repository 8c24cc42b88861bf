//! Whose a child run is: what a run that asked for another one says of itself, and what it remembers of those that it does
//! not wait for any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Name, NodeId, Parent, RunId, Seq};

use super::node::{ChildState, OpenWait};
use super::state::RunState;

/// Another run that nobody waits for any more, and that is to be cancelled: it may not be there yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Abandoned {
    /// The event since which nobody waits for it.
    pub since: Seq,
    /// The workflow that it runs, or was to run.
    pub workflow: Name,
    pub(super) node: NodeId,
    pub(super) step: String,
    pub(super) request: Seq,
}

impl RunState {
    /// Who asked for the run `child`: what it is told when it is created, and what it must say of itself to be taken over.
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

    /// Runs that nobody waits for any more and that are still to be cancelled.
    #[must_use]
    pub const fn abandoned(&self) -> &BTreeMap<RunId, Abandoned> {
        &self.abandoned
    }

    /// Whether the run that waits for this one is still to be told how it ended.
    #[must_use]
    pub const fn owes_parent(&self) -> bool {
        self.owes_parent.is_some()
    }

    /// Nobody waits for a child any more.
    pub(super) fn abandon(&mut self, node: NodeId, step: &str, wait: OpenWait, child: &ChildState) {
        self.children.remove(&child.run);
        let (workflow, step) = (child.workflow.clone(), step.to_owned());
        let left = Abandoned { since: self.last, workflow, node, step, request: wait.since };
        self.abandoned.insert(child.run.clone(), left);
    }
}
