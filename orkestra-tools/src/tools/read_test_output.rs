//! `read_test_output`: the result of this agent's last `run_command`, also after a restart. `data` is that of `run_command`, or
//! null if there was none.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{blocking, run_command::describe};
use crate::error::ToolError;
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {}

pub(crate) struct ReadTestOutput;

#[async_trait]
impl TypedTool for ReadTestOutput {
    type Arguments = Arguments;
    const NAME: &'static str = "read_test_output";
    const DESCRIPTION: &'static str = "Read the output of your last run_command call again.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, _: Arguments) -> Result<ToolOutput, ToolError> {
        let artifacts = scope.artifacts().clone();
        let Some(last) = blocking(move || artifacts.last()).await? else {
            let text = "You have not run a command yet; use run_command first.".to_owned();
            return Ok(ToolOutput::new(text, Value::Null));
        };
        let data = json!({
            "command": last.command, "exit_code": last.result.exit_code, "timed_out": last.result.timed_out,
            "duration_ms": last.result.duration_ms, "whole": last.result.whole,
        });
        Ok(ToolOutput::new(describe(&last.command, &last.result), data))
    }
}
