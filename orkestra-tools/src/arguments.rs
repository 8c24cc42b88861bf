//! Checks the arguments of a tool call against the tool's schema, with errors worded so that a language model can correct
//! itself: every wrong argument is listed by name. Pure. A call with invalid arguments never reaches the tool.

use jsonschema::error::{TypeKind, ValidationErrorKind};
use jsonschema::{ValidationError, Validator};
use serde_json::Value;

use crate::error::ToolError;
use crate::limits::{ARGUMENT_PROBLEM_BYTES_MAX, ARGUMENT_PROBLEMS_MAX, ARGUMENTS_BYTES_MAX};
use crate::tool::Tool;

/// Refuses arguments that are too large to be validated.
pub(crate) fn check_size(tool: &str, arguments: &Value) -> Result<(), ToolError> {
    if has_at_most(arguments, ARGUMENTS_BYTES_MAX) {
        return Ok(());
    }
    let message = format!(
        "{tool} was not called: its arguments have more than {ARGUMENTS_BYTES_MAX} bytes, which is the limit. Call it again with less, \
         for example one part of a file after the other."
    );
    Err(ToolError::InvalidArguments { tool: tool.to_owned(), message })
}

/// What a value counts for besides its text, so that a million zeros count too: about its size in memory, which depends on features
/// of serde_json that other crates may turn on.
const VALUE_BYTES: usize = 32;

/// Whether a value has at most this many bytes.
fn has_at_most(value: &Value, limit: usize) -> bool {
    let mut left = limit;
    let mut values = vec![value];
    while let Some(value) = values.pop() {
        let own = match value {
            Value::String(text) => text.len(),
            Value::Array(items) => {
                values.extend(items);
                VALUE_BYTES
            }
            Value::Object(fields) => {
                values.extend(fields.values());
                fields.keys().map(|key| key.len() + VALUE_BYTES).sum()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => VALUE_BYTES,
        };
        match left.checked_sub(own) {
            Some(rest) => left = rest,
            None => return false,
        }
    }
    true
}

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
    let schema = tool.schema();
    let mut problems: Vec<String> = Vec::new();
    let mut count = 0;
    // NOTE: one error of the validator may be about several fields, but never are there more errors than values.
    for error in validator.iter_errors(arguments) {
        for problem in problems_of(&error, schema) {
            count += 1;
            if problems.len() < ARGUMENT_PROBLEMS_MAX {
                problems.push(format!("- {}", cut(&problem)));
            }
        }
    }
    if problems.is_empty() {
        return Ok(());
    }
    if count > problems.len() {
        problems.push(format!("- and {} more", count - problems.len()));
    }
    let message = format!(
        "{name} was not called because its arguments are invalid:\n{problems}\nIt takes: {expected}\nCall it again with corrected arguments.",
        name = tool.name(),
        problems = problems.join("\n"),
        expected = signature(schema),
    );
    Err(ToolError::InvalidArguments { tool: tool.name().to_owned(), message })
}

/// What one error of the validator says, one text for each field.
fn problems_of(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    let place = place(&error.instance_path().to_string());
    let at = |what: String| match place.as_str() {
        "" => vec![what],
        place => vec![format!("argument `{place}`: {what}")],
    };
    match error.kind() {
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            let is_top = place.is_empty();
            let described = is_top.then(|| schema.pointer("/properties")?.get(name)).flatten().map(describe);
            let described = described.map(|text| format!("; give {text}")).unwrap_or_default();
            vec![format!("argument `{}` is missing{described}", below(&place, name))]
        }
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            let hint = |name: &String| match suggestion(name, schema).filter(|_| place.is_empty()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "leave it out".to_owned(),
            };
            let line =
                |name: &String| format!("argument `{}` is unknown; {}", below(&place, &printable(name)), hint(name));
            unexpected.iter().map(line).collect()
        }
        ValidationErrorKind::Type { kind } => {
            at(format!("must be {}, not {}", expected_types(kind), actual(error.instance())))
        }
        ValidationErrorKind::Minimum { limit } => {
            at(format!("must be at least {limit}, not {}", actual(error.instance())))
        }
        ValidationErrorKind::Maximum { limit } => {
            at(format!("must be at most {limit}, not {}", actual(error.instance())))
        }
        ValidationErrorKind::MinLength { limit: 1 } => at("must not be empty".to_owned()),
        ValidationErrorKind::Enum { options } => {
            at(format!("must be one of {}, not {}", cut(&options.to_string()), actual(error.instance())))
        }
        _ => at(printable(&cut(&error.to_string()))),
    }
}

/// `/edits/0/path` as `edits.0.path`.
fn place(pointer: &str) -> String {
    printable(&pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~"))
}

fn below(place: &str, name: &str) -> String {
    if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") }
}

/// A text of the model as part of a line.
fn printable(text: &str) -> String {
    let shown: String = text.chars().take(ARGUMENT_PROBLEM_BYTES_MAX).flat_map(char::escape_debug).collect();
    shown.replace("\\\"", "\"").replace("\\'", "'")
}

fn expected_types(kind: &TypeKind) -> String {
    let named = |name: &str| if name.starts_with(['a', 'i', 'o']) { format!("an {name}") } else { format!("a {name}") };
    match kind {
        TypeKind::Single(one) => named(&one.to_string()),
        TypeKind::Multiple(several) => {
            several.iter().map(|one| named(&one.to_string())).collect::<Vec<_>>().join(" or ")
        }
    }
}

fn actual(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::String(text) if text.len() <= 60 => format!("the string {text:?}"),
        Value::String(text) => format!("a string of {} bytes", text.len()),
        Value::Array(items) => format!("an array of {} items", items.len()),
        Value::Object(_) => "an object".to_owned(),
    }
}

/// The known argument that an unknown one stands for: another spelling, or another tool's word for it.
fn suggestion<'a>(name: &str, schema: &'a Value) -> Option<&'a str> {
    const WORDS: [(&str, &[&str]); 8] = [
        ("path", &["file", "filename", "filepath", "targetfile", "name", "directory", "dir"]),
        ("content", &["text", "contents", "body", "data", "filetext"]),
        ("search", &["old", "oldstring", "oldstr", "find", "oldtext"]),
        ("replace", &["new", "newstring", "newstr", "replacement", "newtext"]),
        ("command", &["cmd", "script", "shell"]),
        ("pattern", &["query", "regex", "search", "glob"]),
        ("patch", &["diff", "input", "patchtext"]),
        ("timeout_s", &["timeout", "timeoutseconds", "timeoutms"]),
    ];
    let plain = |text: &str| -> String {
        text.chars().take(40).filter(char::is_ascii_alphanumeric).map(|one| one.to_ascii_lowercase()).collect()
    };
    let name = plain(name);
    let known = || schema.pointer("/properties").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
    let means = |known: &&String| {
        let word = WORDS.iter().find(|(word, _)| word == known);
        plain(known) == name || word.is_some_and(|(_, others)| others.contains(&name.as_str()))
    };
    let close = |known: &&String| distance(&plain(known), &name) <= 2 && name.len() > 3;
    known().find(means).or_else(|| known().find(close)).map(String::as_str)
}

/// How many letters have to be changed to turn one word into the other.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (index, one) in left.chars().enumerate() {
        let mut before = row[0];
        row[0] = index + 1;
        for (at, other) in right.iter().enumerate() {
            let replaced = before + usize::from(one != *other);
            before = row[at + 1];
            row[at + 1] = replaced.min(before + 1).min(row[at] + 1);
        }
    }
    row[right.len()]
}

/// `a string: Path of the file, …`.
fn describe(property: &Value) -> String {
    let kind = property.get("type").and_then(Value::as_str).unwrap_or("value");
    let kind = if kind.starts_with(['a', 'i', 'o']) { format!("an {kind}") } else { format!("a {kind}") };
    match property.get("description").and_then(Value::as_str) {
        Some(text) => format!("{kind}: {}", text.trim_end_matches('.')),
        None => kind,
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_size_of_arguments_is_the_sum_of_their_parts() {
        assert!(has_at_most(&json!({"path": "a", "content": "x".repeat(1000)}), 1100));
        assert!(!has_at_most(&json!({"path": "a", "content": "x".repeat(1000)}), 1000));
        assert!(!has_at_most(&json!(["x".repeat(600), "x".repeat(600)]), 1000));
        assert!(!has_at_most(&json!(vec![0; 1000]), 10_000));
        assert!(!has_at_most(&json!({ "x".repeat(1000): 1 }), 1000));
        // As deep as no parser would read it.
        let deep = (0..100_000).fold(json!(1), |inner, _| Value::Array(vec![inner]));
        assert!(!has_at_most(&deep, 1000));
        std::mem::forget(deep);
    }

    #[test]
    fn unknown_names_get_the_known_one() {
        let schema = json!({"properties": {"path": {}, "search": {}, "timeout_s": {}, "ignore_case": {}}});
        let table = [
            ("file_path", Some("path")),
            ("Path", Some("path")),
            ("pth", None),
            ("old_string", Some("search")),
            ("timeout", Some("timeout_s")),
            ("ignorecase", Some("ignore_case")),
            ("ignore_cas", Some("ignore_case")),
            ("mode", None),
            ("", None),
        ];
        for (name, expected) in table {
            assert_eq!(suggestion(name, &schema), expected, "{name}");
        }
    }
}
