//! The reference of tools: what `docs/tools.md` and `aios tools` show, taken from the tools themselves.

use std::fmt::Write as _;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::tool::{Effect, Tool};
use crate::toolset::ToolSet;

/// One tool, described for people and programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ToolReference {
    /// Its name.
    pub name: String,
    /// Its line for the model.
    pub description: String,
    /// Whether a call can be repeated after a crash.
    pub effect: Effect,
    /// Its parameters, the required ones first.
    pub parameters: Vec<ParameterReference>,
    /// Its limits, each a phrase.
    pub limits: Vec<String>,
    /// The JSON schema of its arguments.
    pub schema: Value,
}

/// One parameter of a tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ParameterReference {
    /// Its name.
    pub name: String,
    /// Its JSON type and what it allows, such as `integer from 1 to 20`.
    pub kind: String,
    /// Whether a call must give it.
    pub required: bool,
    /// The value that it has otherwise, as JSON.
    pub default: Option<String>,
    /// What it means.
    pub description: String,
}

impl ToolReference {
    fn of(tool: &dyn Tool) -> Self {
        let schema = tool.schema().clone();
        let required = schema.get("required").and_then(Value::as_array).cloned().unwrap_or_default();
        let properties = schema.get("properties").and_then(Value::as_object);
        let mut parameters: Vec<ParameterReference> =
            properties.into_iter().flatten().map(|(name, property)| parameter(name, property, &required)).collect();
        // By name: the order in the map of the schema depends on a feature of serde_json that other crates may turn on.
        parameters.sort_by_key(|parameter| {
            let place = required.iter().position(|name| *name == parameter.name);
            (place.unwrap_or(usize::MAX), parameter.name.clone())
        });
        Self {
            name: tool.name().to_owned(),
            description: tool.description().to_owned(),
            effect: tool.effect(),
            parameters,
            limits: tool.limits(),
            schema,
        }
    }
}

impl ToolSet {
    /// The reference of every tool in the set, in the order of their names.
    ///
    /// ```
    /// let reference = orkestra_tools::ToolSet::builtin().reference();
    /// let read = reference.iter().find(|tool| tool.name == "read_file").expect("it is built in");
    /// assert_eq!((read.parameters[0].name.as_str(), read.parameters[0].required), ("path", true));
    /// ```
    #[must_use]
    pub fn reference(&self) -> Vec<ToolReference> {
        self.iter().map(|tool| ToolReference::of(tool.as_ref())).collect()
    }

    /// The reference as a page in Markdown.
    #[must_use]
    pub fn reference_page(&self) -> String {
        let tools = self.reference();
        let mut page = String::from(INTRODUCTION);
        for tool in &tools {
            let (name, effect) = (&tool.name, effect(tool.effect));
            let _ = writeln!(page, "| [`{name}`](#{name}) | {effect} | {} |", cell(&tool.description));
        }
        for tool in &tools {
            let _ = write!(page, "\n\n## {}\n\n{}\n\n", tool.name, tool.description);
            table(&mut page, &tool.parameters);
            for limit in &tool.limits {
                let _ = writeln!(page, "- {limit}");
            }
        }
        page.truncate(page.trim_end().len());
        page.push('\n');
        page
    }
}

const INTRODUCTION: &str = "\
# Tools

<!-- Generated from the code: cargo run -p orkestra-agents --example reference > docs/tools.md -->

What an agent can call. `aios tools` prints this list, `aios tools --json` with the schemas that a model receives. A tool that is
*read-only* is called again after a crash; the outcome of one that is *mutating* is then unknown, and the model learns that the call was
interrupted.

A run has those that it can use: `ask_human` where somebody answers, `web_search` with a network, the browser and everything of the web with a real
model. The tools of MCP servers come beside them: [mcp.md](mcp.md).

Paths are relative to the workspace and cannot leave it. A name with control characters, quotes, backslashes or bytes that are not UTF-8 is
written in double quotes with C escapes, as git does: `\"a\\nb\"`. All limits with their reasons are in `orkestra-tools/src/limits.rs`.

| tool | effect | description for the model |
|---|---|---|
";

fn table(page: &mut String, parameters: &[ParameterReference]) {
    if parameters.is_empty() {
        page.push_str("No parameters.\n\n");
        return;
    }
    page.push_str("| parameter | type | default | meaning |\n|---|---|---|---|\n");
    for ParameterReference { name, kind, required, default, description } in parameters {
        let default = match default {
            _ if *required => "required".to_owned(),
            Some(value) => format!("`{value}`"),
            None => "none".to_owned(),
        };
        let _ = writeln!(page, "| `{name}` | {} | {default} | {} |", cell(kind), cell(description));
    }
    page.push('\n');
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// How an effect is called in the reference.
fn effect(effect: Effect) -> &'static str {
    match effect {
        Effect::ReadOnly => "read-only",
        Effect::Mutating => "mutating",
    }
}

fn parameter(name: &str, property: &Value, required: &[Value]) -> ParameterReference {
    let text = |key: &str| property.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    ParameterReference {
        name: name.to_owned(),
        kind: property.as_object().map(kind).unwrap_or_default(),
        required: required.iter().any(|one| one == name),
        default: property.get("default").map(Value::to_string),
        description: text("description"),
    }
}

fn kind(property: &Map<String, Value>) -> String {
    let types = match property.get("type") {
        Some(Value::String(one)) => one.clone(),
        Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    };
    let mut text = match property.get("items").and_then(|items| items.get("type")?.as_str()) {
        Some(items) if types == "array" => format!("array of {items}"),
        _ => types,
    };
    if let Some(options) = property.get("enum").and_then(Value::as_array) {
        let options: Vec<String> = options.iter().map(Value::to_string).collect();
        text = format!("{text}: {}", options.join(", "));
    }
    let number = |key: &str| property.get(key).filter(|value| value.is_number()).map(Value::to_string);
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => text.push_str(&format!(" from {least} to {most}")),
        (Some(least), None) => text.push_str(&format!(" from {least}")),
        (None, Some(most)) => text.push_str(&format!(" up to {most}")),
        (None, None) => {}
    }
    if number("minLength").is_some() {
        text.push_str(", not empty");
    }
    text
}
