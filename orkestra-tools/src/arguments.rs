//! Checks the arguments of a tool call against the tool's schema, with errors worded so that a language model can correct
//! itself. Pure. A call with invalid arguments never reaches the tool.

use jsonschema::Validator;
use serde_json::Value;

use crate::error::ToolError;
use crate::limits::{ARGUMENT_PROBLEM_BYTES_MAX, ARGUMENT_PROBLEMS_MAX};
use crate::tool::Tool;

/// Normalises what models often send: drops `null` for an optional argument, and turns `null` arguments into an empty object.
pub(crate) fn tidy(schema: &Value, arguments: Value) -> Value {
    let mut arguments = if arguments.is_null() { Value::Object(serde_json::Map::new()) } else { arguments };
    if let Some(object) = arguments.as_object_mut() {
        let required = schema.get("required").and_then(Value::as_array);
        let is_required = |key: &str| required.is_some_and(|names| names.iter().any(|name| name == key));
        let is_known = |key: &str| schema.pointer("/properties").is_some_and(|known| known.get(key).is_some());
        object.retain(|key, value| !value.is_null() || is_required(key) || !is_known(key));
    }
    arguments
}

pub(crate) fn check(tool: &dyn Tool, validator: &Validator, arguments: &Value) -> Result<(), ToolError> {
    let mut problems = Vec::new();
    for error in validator.iter_errors(arguments).take(ARGUMENT_PROBLEMS_MAX) {
        let place = error.instance_path().to_string();
        let place =
            if place.is_empty() { String::new() } else { format!("argument `{}`: ", place.trim_start_matches('/')) };
        problems.push(format!("- {place}{}", cut(&error.to_string())));
    }
    if problems.is_empty() {
        return Ok(());
    }
    let message = format!(
        "{name} was not called because its arguments are invalid:\n{problems}\nIt takes: {expected}\nCall it again with corrected arguments.",
        name = tool.name(),
        problems = problems.join("\n"),
        expected = signature(tool.schema()),
    );
    Err(ToolError::InvalidArguments { tool: tool.name().to_owned(), message })
}

/// `path: string, limit?: integer`, which a model understands better than a schema.
fn signature(schema: &Value) -> String {
    let required = schema.get("required").and_then(Value::as_array);
    let properties = schema.get("properties").and_then(Value::as_object);
    let Some(properties) = properties.filter(|properties| !properties.is_empty()) else {
        return "no arguments: {}".to_owned();
    };
    let describe = |(name, property): (&String, &Value)| {
        let optional = !required.is_some_and(|names| names.iter().any(|required| required == name));
        let kind = property.get("type").and_then(Value::as_str).unwrap_or("value");
        format!("{name}{}: {kind}", if optional { "?" } else { "" })
    };
    properties.iter().map(describe).collect::<Vec<_>>().join(", ")
}

fn cut(text: &str) -> String {
    if text.len() <= ARGUMENT_PROBLEM_BYTES_MAX {
        return text.to_owned();
    }
    // Keep both ends: validators put the value first and the problem last.
    let half = ARGUMENT_PROBLEM_BYTES_MAX / 2;
    let head = &text[..text.floor_char_boundary(half)];
    let tail = &text[text.ceil_char_boundary(text.len() - half)..];
    format!("{head} … {tail}")
}
