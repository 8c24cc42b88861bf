//! The [`Tool`] trait. A tool acts only through the [`ToolScope`] that it gets: no ambient paths, no environment, no clock.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ToolError;
use crate::scope::ToolScope;

/// Whether a call can be repeated after a crash interrupted it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// Changes nothing: the call is repeated after a crash.
    ReadOnly,
    /// May change something: after a crash its outcome is unknown, and the model learns that it was interrupted.
    Mutating,
}

/// The result of a call.
///
/// ```
/// use orkestra_tools::ToolOutput;
///
/// let output = ToolOutput::new("done", serde_json::json!({"count": 1}));
/// assert!(output.images.is_empty());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ToolOutput {
    /// The text for the model; its length is limited by the tool.
    pub text: String,
    /// The same facts for programs; each tool documents the fields.
    pub data: Value,
    /// Pictures for models that see. Only their paths are here, so that a journal does not hold the pictures themselves.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub images: Vec<ToolImage>,
}

/// A picture that a tool kept as an artifact of its agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ToolImage {
    /// The file on the host, outside the workspace. It may be gone later: the oldest artifacts are deleted.
    pub path: PathBuf,
    /// Its type, such as `image/png`.
    pub media_type: String,
    /// Its size, bytes.
    pub bytes: u64,
    /// The SHA-256 of its content, hexadecimal: a later reader of the file can see that it is the same.
    pub sha256: String,
}

impl ToolImage {
    /// A picture of this type in a file, with its size in bytes and its SHA-256, hexadecimal.
    pub fn new(path: impl Into<PathBuf>, media_type: impl Into<String>, bytes: u64, sha256: impl Into<String>) -> Self {
        Self { path: path.into(), media_type: media_type.into(), bytes, sha256: sha256.into() }
    }
}

impl ToolOutput {
    /// A result without pictures.
    #[must_use]
    pub fn new(text: impl Into<String>, data: Value) -> Self {
        Self { text: text.into(), data, images: Vec::new() }
    }
}

/// A tool that an agent can call. Most easily built from a [`TypedTool`] with [`typed`].
#[async_trait]
pub trait Tool: Send + Sync {
    /// The name by which the model calls it, unique in its set.
    fn name(&self) -> &str;
    /// A description for the model, one or two sentences.
    fn description(&self) -> &str;
    /// The JSON schema of the arguments, an object.
    fn schema(&self) -> &Value;
    /// Whether a call can be repeated after a crash interrupted it.
    fn effect(&self) -> Effect;
    /// A hash of what a person consents to beyond the name, for tools whose description and schema others write: consent to
    /// one does not hold for another.
    fn fingerprint(&self) -> Option<&str> {
        None
    }
    /// Whether the operator consented to this fingerprint beforehand: where a policy asks once, nobody is asked.
    fn is_approved(&self) -> bool {
        false
    }
    /// Its limits for the reference of tools, each as a phrase such as "a file has at most 2 MiB".
    fn limits(&self) -> Vec<String> {
        Vec::new()
    }
    /// The paths that a call with these arguments uses, for the policy; arguments with the usual names (`path`, `file`, ...) and
    /// the headers of a `patch` are found without it. `None`: it does not say, and the policy treats every short text among its
    /// arguments as what may be a path.
    fn paths(&self, _arguments: &Value) -> Option<Vec<String>> {
        None
    }
    /// Performs a call. [`crate::ToolSet::call`] has validated the arguments.
    ///
    /// # Errors
    /// Any [`ToolError`]; [`ToolError::is_for_model`] says whether the model can act on it.
    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError>;
}

/// Tools that can change while agents work, such as those of an MCP server. [`ToolSet::current`](crate::ToolSet::current) asks
/// it.
pub trait ToolSource: Send + Sync {
    /// The tools as they are now. Called for each turn of an agent: it should return at once.
    fn tools(&self) -> crate::ToolSet;
}

/// A tool with typed arguments, from which its schema and their decoding are derived.
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
///         Ok(ToolOutput::new(arguments.text, serde_json::Value::Null))
///     }
/// }
///
/// let tools = ToolSet::builtin().with(typed(Echo));
/// assert!(tools.get("echo").is_some());
/// ```
#[async_trait]
pub trait TypedTool: Send + Sync + 'static {
    /// The arguments. With `#[serde(deny_unknown_fields)]` a misspelt argument is an error instead of being ignored.
    type Arguments: DeserializeOwned + JsonSchema + Send;
    /// See [`Tool::name`].
    const NAME: &'static str;
    /// See [`Tool::description`].
    const DESCRIPTION: &'static str;
    /// See [`Tool::effect`].
    const EFFECT: Effect;
    /// See [`Tool::limits`].
    fn limits(&self) -> Vec<String> {
        Vec::new()
    }
    /// See [`Tool::paths`].
    fn paths(&self, _arguments: &Self::Arguments) -> Option<Vec<String>> {
        None
    }
    /// See [`Tool::call`].
    ///
    /// # Errors
    /// As [`Tool::call`].
    async fn call(&self, scope: &ToolScope, arguments: Self::Arguments) -> Result<ToolOutput, ToolError>;
}

/// Turns a [`TypedTool`] into a [`Tool`].
pub fn typed<T: TypedTool>(tool: T) -> Arc<dyn Tool> {
    let mut schema = schemars::schema_for!(T::Arguments).to_value();
    if let Some(object) = schema.as_object_mut() {
        // They cost tokens in every request and tell a model nothing.
        for key in ["$schema", "title", "description"] {
            object.remove(key);
        }
        // For a tool without arguments: several providers require the key.
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

    fn limits(&self) -> Vec<String> {
        self.tool.limits()
    }

    fn paths(&self, arguments: &Value) -> Option<Vec<String>> {
        self.tool.paths(&T::Arguments::deserialize(arguments).ok()?)
    }

    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let arguments = serde_json::from_value(arguments).map_err(|error| ToolError::InvalidArguments {
            tool: T::NAME.to_owned(),
            message: format!("{} was not called: {error}. Call it again with corrected arguments.", T::NAME),
        })?;
        self.tool.call(scope, arguments).await
    }
}
