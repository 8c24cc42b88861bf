//! `aios tools`: lists the tools of agents, from the code, and those of the MCP servers that are named. Needs no store.

use orkestra_tools::mcp::McpTools;
use orkestra_tools::{Effect, ToolReference, ToolSource as _};

use super::print;
use crate::args::{Sandbox, ToolsArguments};
use crate::exit::{Exit, Failure};
use crate::mcp;

/// The width of a line of the description.
const WIDTH: usize = 100;

pub(super) async fn perform(arguments: &ToolsArguments) -> Result<Exit, Failure> {
    let mut tools = orkestra_agents::every_tool()?.reference();
    let mut approvals = String::new();
    if let Some(file) = &arguments.servers.mcp {
        let directory = tempfile::tempdir();
        let directory = directory
            .map_err(|error| Failure::failed(format!("cannot create a directory for the servers: {error}")))?;
        let (sandbox, runtime) = Sandbox::choice(arguments.sandbox.clone());
        let egress = orkestra_agents::egress_of_machine(directory.path(), "default");
        let mcp = mcp::connect(file, directory.path(), sandbox, runtime, egress).await?;
        tools.extend(mcp.tools().reference());
        approvals = approvals_of(&mcp);
        mcp.close().await;
    }
    if arguments.json {
        let text = serde_json::to_string_pretty(&tools);
        let text = text.map_err(|error| Failure::failed(format!("cannot print the tools as JSON: {error}")))?;
        return print(&format!("{text}\n"));
    }
    let mut text: Vec<String> = tools.iter().map(describe).collect();
    text.extend((!approvals.is_empty()).then_some(approvals));
    print(&text.join("\n"))
}

/// What an operator adds to the configuration of a server to consent to its tools as they are now.
fn approvals_of(mcp: &McpTools) -> String {
    let mut text = String::new();
    for (server, tools) in mcp.fingerprints() {
        let pairs: Vec<String> =
            tools.iter().map(|(tool, fingerprint)| format!("{tool:?} = {fingerprint:?}")).collect();
        text.push_str(&format!(
            "To approve the tools of {server} as they are: approved = {{ {} }}\n",
            pairs.join(", ")
        ));
    }
    text
}

fn describe(tool: &ToolReference) -> String {
    let effect = if tool.effect == Effect::ReadOnly { "read-only" } else { "mutating" };
    let parameters: Vec<String> = tool
        .parameters
        .iter()
        .map(|parameter| format!("{}{}", parameter.name, if parameter.required { "" } else { "?" }))
        .collect();
    let mut text = format!("{}({})  {effect}\n", tool.name, parameters.join(", "));
    for line in wrapped(&tool.description) {
        text.push_str(&format!("    {line}\n"));
    }
    let width = tool.parameters.iter().map(|parameter| parameter.name.len()).max().unwrap_or(0);
    for parameter in &tool.parameters {
        let default = parameter.default.as_ref().map(|value| format!(" [{value}]")).unwrap_or_default();
        text.push_str(&format!("      {:width$}  {}{default}\n", parameter.name, parameter.kind));
    }
    for limit in &tool.limits {
        text.push_str(&format!("    limit: {limit}\n"));
    }
    text
}

fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        match &mut lines[last] {
            line if line.is_empty() => line.push_str(word),
            line if line.len() + word.len() < WIDTH => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
