//! `start_process`, `read_process` and `stop_process`: a dev server that the agent reaches from its next commands and that ends
//! with the run. `data` is `{id, running, exit_code, whole, duration_ms}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::error::ToolError;
use crate::limits::PROCESS_ID_BYTES_MAX;
use crate::sandbox::{ProcessStart, ProcessState};
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartArguments {
    /// The command for `sh -c`, such as `python3 -m http.server 8000`.
    #[schemars(length(min = 1))]
    command: String,
    /// Directory to run it in, relative to the workspace.
    #[serde(default)]
    #[schemars(with = "String")]
    cwd: Option<String>,
    /// A name to read and stop it by, such as `server`.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = PROCESS_ID_BYTES_MAX))]
    name: Option<String>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct IdArguments {
    /// The name or id that start_process answered with.
    #[schemars(length(min = 1))]
    id: String,
}

pub(crate) struct StartProcess;
pub(crate) struct ReadProcess;
pub(crate) struct StopProcess;

#[async_trait]
impl TypedTool for StartProcess {
    type Arguments = StartArguments;
    const NAME: &'static str = "start_process";
    const DESCRIPTION: &'static str = "Start a shell command that keeps running, such as a dev server on 127.0.0.1, and return after about a second. \
        Your next run_command can reach it. It ends with stop_process or with the run.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: StartArguments) -> Result<ToolOutput, ToolError> {
        let artifacts = scope.artifacts().clone();
        let whole = blocking(move || artifacts.next_output()).await?;
        let mut start = ProcessStart::new(owner(scope), arguments.command).with_whole(whole);
        (start.cwd, start.name) = (arguments.cwd, arguments.name);
        Ok(describe(&scope.sandbox().start_process(start).await?))
    }
}

#[async_trait]
impl TypedTool for ReadProcess {
    type Arguments = IdArguments;
    const NAME: &'static str = "read_process";
    const DESCRIPTION: &'static str =
        "Read whether a process from start_process still runs, and the end of its output.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: IdArguments) -> Result<ToolOutput, ToolError> {
        Ok(describe(&scope.sandbox().read_process(&owner(scope), &arguments.id).await?))
    }
}

#[async_trait]
impl TypedTool for StopProcess {
    type Arguments = IdArguments;
    const NAME: &'static str = "stop_process";
    const DESCRIPTION: &'static str =
        "Stop a process from start_process with everything that it started, and read the end of its output.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: IdArguments) -> Result<ToolOutput, ToolError> {
        Ok(describe(&scope.sandbox().stop_process(&owner(scope), &arguments.id).await?))
    }
}

/// An agent is known by its directory of artifacts, which no two share.
fn owner(scope: &ToolScope) -> String {
    scope.artifacts_path().display().to_string()
}

fn describe(state: &ProcessState) -> ToolOutput {
    let ProcessState { id, line, running, exit_code, lost, output, left_out, whole, duration_ms } = state;
    let seconds = *duration_ms as f64 / 1000.0;
    let now = match (running, exit_code, lost) {
        (true, ..) => format!("running for {seconds:.1} s; read_process and stop_process know it as `{id}`"),
        (false, Some(137), _) => format!("stopped after {seconds:.1} s (killed, exit code 137)"),
        (false, Some(code), _) => {
            format!("ended by itself after {seconds:.1} s with exit code {code}; nothing of it runs")
        }
        (false, None, lost) => format!("lost: {}; start it again", lost.as_deref().unwrap_or("it is gone")),
    };
    let before = if *left_out > 0 {
        format!("[... {left_out} bytes of output before this left out; the whole output is kept as an artifact ...]\n")
    } else {
        String::new()
    };
    let output = if output.is_empty() { "[no output yet]" } else { output };
    let text = format!("[{id}] $ {line}\n{now}\n{before}{output}");
    let data = json!({
        "id": id, "running": running, "exit_code": exit_code, "whole": whole, "duration_ms": duration_ms,
    });
    ToolOutput::new(text, data)
}
