//! Workflows from JSON and YAML, and the JSON Schema of what they look like.
//!
//! ```text
//! JSON text --json::read--+                                                 +--> Plan::new, the checks of the engine
//!                         +--> Located tree --read::workflow--> WorkflowSpec-+
//! YAML text --yaml::read--+    (every value knows its place)                +--> check: the first mistake, with its place
//! ```
//!
//! Whatever the text is: an answer in bounded time and memory, never a panic. What a workflow *is* stands in the serde forms
//! of the model alone; nothing here knows the fields of a node but the schema, and a test compares the two.

mod check;
mod error;
mod json;
mod located;
mod read;
mod schema;
#[cfg(feature = "yaml")]
mod yaml;

pub use error::{Place, SpecError, SpecErrorKind};

use super::limits::DATA_BYTES_MAX;
use super::workflow::WorkflowSpec;

use error::Mistake;
use located::Located;

impl WorkflowSpec {
    /// Reads a workflow from JSON and checks it: what comes back makes a [`Plan`](super::Plan).
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// let spec = WorkflowSpec::from_json(r#"{"name": "digest", "nodes": [
    ///     {"name": "fetch", "task": "fetch"},
    ///     {"name": "approve", "gate": "approved", "after": ["fetch"]}
    /// ]}"#)?;
    /// assert_eq!(spec.nodes.len(), 2);
    ///
    /// let error = WorkflowSpec::from_json(r#"{"name": "digest", "nodes": [
    ///     {"name": "fetch", "task": "fetch", "after": ["login"]}
    /// ]}"#).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "line 2, column 50: node `fetch` comes after `login`, which is no node"
    /// );
    /// # Ok::<(), orkestra_core::model::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// [`SpecError`], the first mistake found, with its line and node. A text of more than [`DATA_BYTES_MAX`] bytes is
    /// not looked at.
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        workflow(text, json::read)
    }

    /// Reads a workflow from one document of YAML 1.2 and checks it, as [`WorkflowSpec::from_json`] does.
    ///
    /// Anchors and aliases mean what they say, within limits; tags other than those of JSON's own types mean nothing
    /// here and are refused.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// let spec = WorkflowSpec::from_yaml("
    /// name: digest
    /// nodes:
    ///   - {name: fetch, task: fetch, retry: &often {attempts_max: 5, initial_ms: 200}}
    ///   - {name: translate, task: translate, after: [fetch], retry: *often}
    /// ")?;
    /// assert_eq!(spec.nodes[1].retry.attempts_max, 5);
    /// # Ok::<(), orkestra_core::model::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// As [`WorkflowSpec::from_json`].
    #[cfg(feature = "yaml")]
    pub fn from_yaml(text: &str) -> Result<Self, SpecError> {
        workflow(text, yaml::read)
    }

    /// The JSON Schema (2020-12) of what [`WorkflowSpec::from_json`] reads, for editors and for models that write
    /// workflows. What only the whole workflow can tell, unknown names and cycles, is beyond a schema.
    #[must_use]
    pub fn json_schema() -> serde_json::Value {
        schema::workflow()
    }
}

fn workflow(text: &str, parse: fn(&str) -> Result<Located<'_>, Mistake>) -> Result<WorkflowSpec, SpecError> {
    if text.len() > DATA_BYTES_MAX {
        return Err(SpecError::too_large(text.len()));
    }
    let tree = parse(text).map_err(|mistake| mistake.in_text(text, None))?;
    let spec = read::workflow(&tree).map_err(|mistake| mistake.in_text(text, Some(&tree)))?;
    check::check(&spec, &tree).map_err(|mistake| mistake.in_text(text, Some(&tree)))?;
    Ok(spec)
}
