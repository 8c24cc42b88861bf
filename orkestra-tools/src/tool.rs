//! What a tool is. A tool acts only through the [`ToolScope`] it is given: no ambient paths, no environment, no clock.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ToolError;
use crate::scope::ToolScope;

/// What a crash in the middle of a call means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Changes nothing: after a crash the call is simply made again.
    ReadOnly,
    /// May have changed something: after a crash its outcome is unknown, and the model is told that it was interrupted.
    Mutating,
}

/// What a call answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// What the model reads; capped by the tool.
    pub text: String,
    /// The same facts for programs; its shape is documented by each tool.
    pub data: Value,
}

/// Something an agent can do. Built most easily from a [`TypedTool`] through [`typed`].
#[async_trait]
pub trait Tool: Send + Sync {
    /// Unique in its set; the word the model uses.
    fn name(&self) -> &str;
    /// One or two sentences for the model.
    fn description(&self) -> &str;
    /// JSON schema of the arguments, an object.
    fn schema(&self) -> &Value;
    /// What a crash in the middle of a call means.
    fn effect(&self) -> Effect;
    /// Does it. The arguments have been validated when the call comes through [`crate::ToolSet::call`].
    ///
    /// # Errors
    /// See [`ToolError::is_for_model`] for who can act on which.
    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError>;
}

/// A tool with typed arguments, from which name, schema and decoding follow.
///
/// ```
/// use orkestra_tools::{Effect, ToolError, ToolOutput, ToolScope, ToolSet, TypedTool, typed};
///
/// /// The doc comments of the fields become the descriptions in the schema.
/// #[derive(serde::Deserialize, schemars::JsonSchema)]
/// #[serde(deny_unknown_fields)]
/// struct Arguments {
///     /// What to repeat.
///     text: String,
/// }
///
/// struct Echo;
///
/// #[async_trait::async_trait]
/// impl TypedTool for Echo {
///     type Arguments = Arguments;
///     const NAME: &'static str = "echo";
///     const DESCRIPTION: &'static str = "Repeats a text.";
///     const EFFECT: Effect = Effect::ReadOnly;
///
///     async fn call(&self, _: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
///         Ok(ToolOutput { data: serde_json::Value::Null, text: arguments.text })
///     }
/// }
///
/// let tools = ToolSet::builtin().with(typed(Echo));
/// assert!(tools.get("echo").is_some());
/// ```
#[async_trait]
pub trait TypedTool: Send + Sync + 'static {
    /// The arguments. `#[serde(deny_unknown_fields)]` makes a misspelt argument an error instead of silence.
    type Arguments: DeserializeOwned + JsonSchema + Send;
    /// See [`Tool::name`].
    const NAME: &'static str;
    /// See [`Tool::description`].
    const DESCRIPTION: &'static str;
    /// See [`Tool::effect`].
    const EFFECT: Effect;
    /// See [`Tool::call`].
    ///
    /// # Errors
    /// As [`Tool::call`].
    async fn call(&self, scope: &ToolScope, arguments: Self::Arguments) -> Result<ToolOutput, ToolError>;
}

/// Makes a [`Tool`] of a [`TypedTool`].
pub fn typed<T: TypedTool>(tool: T) -> Arc<dyn Tool> {
    let mut schema = schemars::schema_for!(T::Arguments).to_value();
    if let Some(object) = schema.as_object_mut() {
        // Tokens in every request that tell a model nothing.
        for key in ["$schema", "title", "description"] {
            object.remove(key);
        }
        // A tool without arguments: several providers insist on the key.
        object.entry("properties").or_insert_with(|| Value::Object(serde_json::Map::new()));
    }
    Arc::new(Typed { tool, schema })
}

struct Typed<T> {
    tool: T,
    schema: Value,
}

#[async_trait]
impl<T: TypedTool> Tool for Typed<T> {
    fn name(&self) -> &str {
        T::NAME
    }

    fn description(&self) -> &str {
        T::DESCRIPTION
    }

    fn schema(&self) -> &Value {
        &self.schema
    }

    fn effect(&self) -> Effect {
        T::EFFECT
    }

    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let arguments = serde_json::from_value(arguments).map_err(|error| ToolError::InvalidArguments {
            tool: T::NAME.to_owned(),
            message: format!("{} was not called: {error}. Call it again with corrected arguments.", T::NAME),
        })?;
        self.tool.call(scope, arguments).await
    }
}
