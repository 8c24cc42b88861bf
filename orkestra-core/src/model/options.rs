//! What a run is given beside its input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::id::{Incarnation, Name, RunId, Seq};
use super::time::Timestamp;

/// How a run is to be run, and where it comes from. The default has no limits, and nobody waits for it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// Which run of its id it is; none for a run that a version before began. Its driver gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// When the run times out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Its place among the runs that wait for the same slots: higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// What it may spend, by meter. Reaching one pauses the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budget: BTreeMap<Name, Amount>,
    /// The node that started it and waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Fork>,
}

/// Who waits for a child run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: Name,
    /// Which run of that id; none when a version before began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// The key of the wait, a step's; none when a version before began the run that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The event that asked for the child; none when a version before began the run that waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Seq>,
}

impl Parent {
    /// A node of a run, as versions before wrote it down.
    #[must_use]
    pub const fn new(run: RunId, node: Name) -> Self {
        Self { run, node, incarnation: None, step: None, request: None }
    }

    /// Whether the run that says of itself that it is `theirs` is the one that this request asked for. A version before
    /// wrote down no more than run and node.
    #[must_use]
    pub fn asked_for(&self, theirs: Option<&Self>) -> bool {
        let Some(theirs) = theirs else { return false };
        let by_an_old_version = self.incarnation.is_none() && theirs.request.is_none();
        let same_node = self.run == theirs.run && self.node == theirs.node;
        self == theirs || by_an_old_version && same_node && theirs.incarnation.is_none()
    }
}

/// Where a run was forked from another one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The other run.
    pub run: RunId,
    /// The node that both go different ways from.
    pub node: Name,
    /// The last event that both share.
    pub seq: Seq,
}

impl RunOptions {
    /// Whether nothing was asked for.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(value: &i32) -> bool {
    *value == 0
}
