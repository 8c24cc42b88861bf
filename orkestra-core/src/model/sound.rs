//! The one check at every door: what a node that was made in Rust can hold, and no journal, or no run could follow. Workflows,
//! data and growth all come by here.
//!
//! It must never be asked of what a journal holds: what was accepted once is read for ever.

use super::condition::Condition;
use super::json_text::pointer_mistake;
use super::limits::PAYLOAD_BYTES_MAX;
use super::node::NodeSpec;
use super::plan_error::PlanError;
use super::slot::{SlotBy, SlotSpec};
use super::workflow::Growth;

impl NodeSpec {
    /// # Errors
    /// [`PlanError::Field`], the first mistake.
    pub(super) fn check(&self) -> Result<(), PlanError> {
        let (field, what) = if let Some(what) = self.when.as_ref().and_then(Condition::mistake) {
            ("when", what)
        } else if let Some((field, what)) = self.retry.mistake() {
            (field, what.to_owned())
        } else if let Some(what) = self.limits.iter().find_map(limit_mistake) {
            ("limits", what)
        } else if let Some(what) = self.input.as_ref().and_then(|input| input.mistake(PAYLOAD_BYTES_MAX)) {
            ("input", what)
        } else {
            return Ok(());
        };
        Err(PlanError::Field { node: self.name.clone(), field, what })
    }
}

impl Growth {
    /// # Errors
    /// [`PlanError::Field`], the first mistake of its nodes.
    pub(crate) fn check(&self) -> Result<(), PlanError> {
        self.nodes.iter().try_for_each(NodeSpec::check)
    }
}

fn limit_mistake(limit: &SlotSpec) -> Option<String> {
    match limit.by.as_ref()? {
        SlotBy::Input(pointer) => pointer_mistake(pointer),
        SlotBy::Label(key) => label_mistake(key),
        SlotBy::Key(_) => None,
    }
}

/// Why a run has no label of this name.
pub(crate) fn label_mistake(key: &str) -> Option<String> {
    key.is_empty().then(|| "a label has a name: it is empty".to_owned())
}
