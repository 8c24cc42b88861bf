//! `aios tools`: lists the tools of agents, from the code. Needs no store.

use orkestra_tools::{Effect, ToolReference, ToolSet};

use super::print;
use crate::args::ToolsArguments;
use crate::exit::{Exit, Failure};

/// The width of a line of the description.
const WIDTH: usize = 100;

pub(super) fn perform(arguments: &ToolsArguments) -> Result<Exit, Failure> {
    let tools = ToolSet::builtin().reference();
    if arguments.json {
        let text = serde_json::to_string_pretty(&tools);
        let text = text.map_err(|error| Failure::failed(format!("cannot print the tools as JSON: {error}")))?;
        return print(&format!("{text}\n"));
    }
    let text: Vec<String> = tools.iter().map(describe).collect();
    print(&text.join("\n"))
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
