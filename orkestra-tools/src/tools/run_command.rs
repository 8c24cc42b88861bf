//! `run_command`: runs a shell command in the sandbox. `data` is `{command, exit_code, timed_out, duration_ms, whole}`.
//!
//! A failing command is a result, not an error: the model should read its output.

use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::artifacts::LastCommand;
use crate::error::ToolError;
use crate::limits::{
    COMMAND_BYTES_MAX, COMMAND_TIMEOUT_DEFAULT, COMMAND_TIMEOUT_MAX, OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES,
    OUTPUT_WHOLE_BYTES_MAX,
};
use crate::sandbox::{Command, CommandResult};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// The command for `sh -c`, such as `python3 -m pytest -q`.
    #[schemars(length(min = 1))]
    command: String,
    /// Seconds after which it is killed.
    #[serde(default = "timeout_default")]
    #[schemars(range(min = 1, max = TIMEOUT_S_MAX))]
    timeout_s: u64,
    /// Directory to run it in, relative to the workspace.
    #[serde(default = "cwd_default")]
    cwd: String,
}

const TIMEOUT_S_MAX: u64 = COMMAND_TIMEOUT_MAX.as_secs();

fn timeout_default() -> u64 {
    COMMAND_TIMEOUT_DEFAULT.as_secs()
}

fn cwd_default() -> String {
    ".".to_owned()
}

pub(crate) struct RunCommand;

#[async_trait]
impl TypedTool for RunCommand {
    type Arguments = Arguments;
    const NAME: &'static str = "run_command";
    const DESCRIPTION: &'static str = "Execute a shell command in the workspace (pytest, npm, ...) and read its exit code and output. \
        It gets no input, and everything it leaves running in the background is killed when it returns.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let Arguments { command: line, timeout_s, cwd } = arguments;
        let artifacts = scope.artifacts().clone();
        let whole = blocking(move || artifacts.next_output()).await?;
        let command =
            Command::new(line.clone()).with_timeout(Duration::from_secs(timeout_s)).with_cwd(cwd).with_whole(whole);
        let result = scope.sandbox().execute(command, scope.observer().as_ref()).await?;
        let text = describe(&line, &result);
        let data = json!({
            "command": line, "exit_code": result.exit_code, "timed_out": result.timed_out,
            "duration_ms": result.duration_ms, "whole": result.whole,
        });
        let (artifacts, last) =
            (scope.artifacts().clone(), LastCommand { command: scope.secrets().masked(line), result });
        blocking(move || artifacts.record(&last)).await?;
        Ok(ToolOutput::new(text, data))
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("a command line has at most {} KiB", COMMAND_BYTES_MAX >> 10),
            format!(
                "an answer has the first {} KiB and the last {} KiB of the output, the artifact at most {} MiB",
                OUTPUT_HEAD_BYTES >> 10,
                OUTPUT_TAIL_BYTES >> 10,
                OUTPUT_WHOLE_BYTES_MAX >> 20
            ),
        ]
    }
}

/// The text for the model, with the exit code before the output, because long output is skimmed.
pub(super) fn describe(line: &str, result: &CommandResult) -> String {
    let seconds = result.duration_ms as f64 / 1000.0;
    let ended = if result.timed_out {
        format!(
            "timed out after {seconds:.1} s and was killed (exit code 124); use a larger timeout_s, or a command that ends by itself"
        )
    } else {
        format!("exit code {} after {seconds:.1} s", result.exit_code)
    };
    let output = if result.output.is_empty() { "[no output]" } else { &result.output };
    format!("$ {line}\n{ended}\n{output}")
}
