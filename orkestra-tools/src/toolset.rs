//! A set of tools by name. It validates the arguments of every call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use crate::error::ToolError;
use crate::scope::ToolScope;
use crate::tool::{Tool, ToolOutput};
use crate::{arguments, tools};

/// Tools by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct ToolSet {
    entries: BTreeMap<String, Entry>,
}

#[derive(Clone)]
struct Entry {
    tool: Arc<dyn Tool>,
    /// The compiled schema, or why it does not compile: reported at the first call, so that `with` cannot fail.
    validator: Result<Arc<Validator>, String>,
}

impl ToolSet {
    /// An empty set.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every tool of this crate: `write_file`, `read_file`, `edit_file`, `list_files`, `run_command`, `read_test_output`,
    /// `start_process`, `read_process`, `stop_process`.
    #[must_use]
    pub fn builtin() -> Self {
        tools::builtin().into_iter().fold(Self::empty(), Self::with)
    }

    /// Adds a tool, replacing one of the same name.
    #[must_use]
    pub fn with(mut self, tool: Arc<dyn Tool>) -> Self {
        let validator = jsonschema::validator_for(tool.schema()).map(Arc::new).map_err(|error| error.to_string());
        self.entries.insert(tool.name().to_owned(), Entry { tool, validator });
        self
    }

    /// A set of only these tools.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] for the first name that is not in the set.
    pub fn select(&self, names: &[&str]) -> Result<Self, ToolError> {
        let mut entries = BTreeMap::new();
        for name in names {
            entries.insert((*name).to_owned(), self.entry(name)?.clone());
        }
        Ok(Self { entries })
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.entries.get(name).map(|entry| &entry.tool)
    }

    /// All tools, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.entries.values().map(|entry| &entry.tool)
    }

    /// Validates the arguments, then calls the tool.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] and [`ToolError::InvalidArguments`] before the tool is called; afterwards the tool's own
    /// errors.
    pub async fn call(&self, scope: &ToolScope, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        let (tool, arguments) = self.checked(name, arguments)?;
        tool.call(scope, arguments).await
    }

    /// Validates the arguments without calling the tool; returns them normalised, as the tool would get them.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] and [`ToolError::InvalidArguments`].
    pub fn validate(&self, name: &str, arguments: Value) -> Result<Value, ToolError> {
        self.checked(name, arguments).map(|(_, arguments)| arguments)
    }

    fn checked(&self, name: &str, arguments: Value) -> Result<(&Arc<dyn Tool>, Value), ToolError> {
        let Entry { tool, validator } = self.entry(name)?;
        let validator = validator
            .as_ref()
            .map_err(|error| ToolError::Internal(format!("the schema of tool `{name}` is not valid: {error}")))?;
        let arguments = arguments::tidy(tool.schema(), arguments);
        arguments::check(tool.as_ref(), validator, &arguments)?;
        Ok((tool, arguments))
    }

    fn entry(&self, name: &str) -> Result<&Entry, ToolError> {
        self.entries.get(name).ok_or_else(|| ToolError::UnknownTool {
            name: name.chars().take(100).collect(),
            known: self.entries.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

impl fmt::Debug for ToolSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.entries.keys()).finish()
    }
}
