//! What a run is given besides its input.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::amount::Amount;
use super::id::{Incarnation, Name, RunId, Seq};
use super::time::Timestamp;

/// Options of a run, and its origin. By default it has no limits and no parent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOptions {
    /// The incarnation of the run's id, set by its driver; `None` for a run that an older version started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// When the run times out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<Timestamp>,
    /// Its priority among the runs that wait for the same slots: higher goes first.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub priority: i32,
    /// How much the run may spend, by meter. Reaching a limit pauses the run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub budget: BTreeMap<Name, Amount>,
    /// How many processes in a row may be lost while an attempt runs and finishes no step. The last one pauses the run, so that a
    /// task that ends its process cannot do so at every start; when it is resumed, the count begins anew. An orderly shutdown
    /// does not count; that an engine at full capacity left the run to another one before its start counts once. `None` for no
    /// such limit: then the attempt fails after [`INTERRUPTIONS_MAX`](super::limits::INTERRUPTIONS_MAX).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost_processes_max: Option<NonZeroU32>,
    /// The node that started it and waits for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<Parent>,
    /// The run that it was forked from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<Fork>,
}

/// The node that waits for a child run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parent {
    /// The run.
    pub run: RunId,
    /// The node.
    pub node: Name,
    /// The incarnation of that run; `None` when an older version started it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incarnation: Option<Incarnation>,
    /// The key of the step that waits; `None` when an older version started the waiting run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// The event that requested the child; `None` when an older version started the waiting run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Seq>,
}

impl Parent {
    /// A node of a run, in the form that older versions wrote.
    #[must_use]
    pub const fn new(run: RunId, node: Name) -> Self {
        Self { run, node, incarnation: None, step: None, request: None }
    }

    /// Whether the run whose parent is `theirs` is the child of this request. Older versions recorded only run and
    /// node.
    #[must_use]
    pub fn asked_for(&self, theirs: Option<&Self>) -> bool {
        let Some(theirs) = theirs else { return false };
        let by_an_old_version = self.incarnation.is_none() && theirs.request.is_none();
        let same_node = self.run == theirs.run && self.node == theirs.node;
        self == theirs || by_an_old_version && same_node && theirs.incarnation.is_none()
    }
}

/// Where a run was forked from another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fork {
    /// The original run.
    pub run: RunId,
    /// The node at which the two runs diverge.
    pub node: Name,
    /// The last event that both runs share.
    pub seq: Seq,
}

impl RunOptions {
    /// Whether all options have their default values.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
const fn is_zero(value: &i32) -> bool {
    *value == 0
}
