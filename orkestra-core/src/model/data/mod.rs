//! Workflows from JSON and YAML, and their JSON Schema.
//!
//! ```text
//! JSON text --json::read--+                                                 +--> Plan::new, the checks of the engine
//!                         +--> Located tree --read::workflow--> WorkflowSpec-+
//! YAML text --yaml::read--+    (every value knows its place)                +--> check: the first mistake, with its place
//! ```
//!
//! Every text gets an answer in bounded time and memory, and never causes a panic. The serde forms of the model alone
//! define what a workflow is. Only the schema repeats the fields of a node, and a test compares the two.

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
    /// Reads a workflow from JSON and checks it. A [`Plan`](super::Plan) can be made from the result.
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
    ///     "line 2, column 50: node `fetch` comes after `login`, but there is no such node"
    /// );
    /// # Ok::<(), orkestra_core::model::SpecError>(())
    /// ```
    ///
    /// # Errors
    /// [`SpecError`], the first mistake found, with its line and node. A text longer than [`DATA_BYTES_MAX`] bytes is
    /// not parsed.
    pub fn from_json(text: &str) -> Result<Self, SpecError> {
        workflow(text, json::read)
    }

    /// Reads a workflow from one document of YAML 1.2 and checks it, as [`WorkflowSpec::from_json`] does.
    ///
    /// Anchors and aliases are expanded, within limits. Tags other than those of JSON's own types are refused.
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

    /// The JSON Schema (2020-12) of what [`WorkflowSpec::from_json`] accepts, for editors and for models that write
    /// workflows. A schema cannot express unknown names and cycles.
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
