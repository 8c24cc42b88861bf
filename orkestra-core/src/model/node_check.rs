//! The checks of a node made in Rust: whether a journal can hold it and a run can follow it. Every way into a plan
//! (workflows, data, growth) calls them.
//!
//! Never applied to a journal's content: what was once accepted must stay readable.

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

/// Why `key` cannot be the name of a label.
pub(crate) fn label_mistake(key: &str) -> Option<String> {
    key.is_empty().then(|| "the name of a label must not be empty".to_owned())
}
