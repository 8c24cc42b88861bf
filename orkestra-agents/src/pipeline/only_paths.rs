//! A writing tool that is limited to a few paths: the planner writes its plan and its contract, and no code.
//!
//! The paths are in the schema, so a model whose provider enforces schemas cannot ask for another one.

use std::sync::Arc;

use async_trait::async_trait;
use orkestra_tools::{Effect, Tool, ToolError, ToolOutput, ToolScope};
use serde_json::{Value, json};

/// A tool with an argument `path`, limited to some paths.
pub(crate) struct OnlyPaths {
    inner: Arc<dyn Tool>,
    description: String,
    schema: Value,
}

impl OnlyPaths {
    /// Limits `inner` to `paths`.
    pub(crate) fn of(inner: &Arc<dyn Tool>, paths: &[&str]) -> Arc<dyn Tool> {
        let mut schema = inner.schema().clone();
        schema["properties"]["path"] = json!({"type": "string", "enum": paths, "description": "The file to write."});
        let description = format!("{} Only these files: {}.", inner.description(), paths.join(", "));
        Arc::new(Self { inner: Arc::clone(inner), description, schema })
    }
}

#[async_trait]
impl Tool for OnlyPaths {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn description(&self) -> &str {
        &self.description
    }

    fn schema(&self) -> &Value {
        &self.schema
    }

    fn effect(&self) -> Effect {
        self.inner.effect()
    }

    fn limits(&self) -> Vec<String> {
        self.inner.limits()
    }

    fn paths(&self, arguments: &Value) -> Option<Vec<String>> {
        Some(arguments["path"].as_str().map(str::to_owned).into_iter().collect())
    }

    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError> {
        // NOTE: the tool set has validated the arguments against our schema.
        self.inner.call(scope, arguments).await
    }
}

#[cfg(test)]
mod tests {
    use orkestra_tools::ToolSet;

    use super::*;

    #[test]
    fn other_paths_are_refused_before_the_tool_runs() {
        let tools = ToolSet::builtin();
        let write = OnlyPaths::of(tools.get("write_file").expect("it is builtin"), &["plan.md"]);
        let tools = ToolSet::empty().with(write);
        assert!(tools.validate("write_file", json!({"path": "plan.md", "content": "x"})).is_ok());
        let error = tools.validate("write_file", json!({"path": "src/main.py", "content": "x"})).expect_err("not that");
        assert!(error.is_for_model() && error.to_string().contains("plan.md"), "{error}");
    }
}
