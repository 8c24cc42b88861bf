//! A server's list of tools, turned into what models may see: names, descriptions and schemas are the words of a stranger. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use rmcp::model::Tool;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};

use super::config::McpServer;
use super::schema;
use crate::limits::{MCP_DESCRIPTION_BYTES_MAX, MCP_TOOLS_MAX};
use crate::tool::Effect;
use crate::web::untrusted::{boundary, clean, one_line, without_mark};

/// Longest name of a tool that all providers of models accept.
const NAME_MAX: usize = 64;
/// Warnings about single tools; a list of 100,000 gives no more.
const WARNINGS_MAX: usize = 20;

/// One tool of a server, as a model may see it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Definition {
    /// `server__tool`.
    pub(super) name: String,
    /// The server's own name of it.
    pub(super) original: String,
    pub(super) description: String,
    pub(super) schema: Value,
    pub(super) effect: Effect,
    /// A hash of everything that the server said of it.
    pub(super) fingerprint: String,
}

/// What a list of tools became.
#[derive(Debug, Default)]
pub(super) struct Listed {
    pub(super) definitions: Vec<Definition>,
    pub(super) warnings: Vec<String>,
}

/// Turns a list into definitions. A tool that cannot be used is left out with a warning; the others stay.
pub(super) fn listed(server: &McpServer, tools: &[Tool]) -> Listed {
    let mut listed = Listed::default();
    let mut left_out = 0_usize;
    let mut warn = |listed: &mut Listed, tool: &str, why: &str| {
        left_out += 1;
        if left_out <= WARNINGS_MAX {
            let tool = one_line(tool, 80);
            listed.warnings.push(format!("the tool `{tool}` of the MCP server `{}` is left out: {why}", server.name));
        }
    };
    let mut found: BTreeMap<&str, &Tool> = BTreeMap::new();
    for tool in tools.iter().filter(|tool| server.gives(&tool.name)) {
        if found.contains_key(&*tool.name) {
            warn(&mut listed, &tool.name, "another tool of the server has its name");
        } else {
            found.insert(&*tool.name, tool);
        }
    }
    // Names that need no change come first, so that no other tool can take them.
    let (kept, changed): (Vec<&Tool>, Vec<&Tool>) =
        found.values().copied().partition(|tool| name_of(server, &tool.name).1);
    let mut names = BTreeSet::new();
    for tool in kept.into_iter().chain(changed) {
        let (name, _) = name_of(server, &tool.name);
        if listed.definitions.len() == MCP_TOOLS_MAX {
            warn(&mut listed, &tool.name, "the server has too many; choose some with `allow`");
        } else if !names.insert(name.clone()) {
            warn(&mut listed, &tool.name, "another tool of the server gets the same name");
        } else {
            match definition(server, name, tool) {
                Ok(definition) => listed.definitions.push(definition),
                Err(why) => warn(&mut listed, &tool.name, &format!("its schema {why}")),
            }
        }
    }
    if left_out > WARNINGS_MAX {
        let more = left_out - WARNINGS_MAX;
        listed.warnings.push(format!("{more} more tools of the MCP server `{}` are left out", server.name));
    }
    for name in server.allow.iter().flatten().chain(server.approved.keys()) {
        if !found.contains_key(name.as_str()) && listed.warnings.len() < 2 * WARNINGS_MAX {
            listed.warnings.push(format!("the MCP server `{}` has no tool `{}`", server.name, one_line(name, 80)));
        }
    }
    listed
}

fn definition(server: &McpServer, name: String, tool: &Tool) -> Result<Definition, String> {
    let description = without_mark(&clean(tool.description.as_deref().unwrap_or_default()));
    let description = description.trim();
    let end = boundary(description, MCP_DESCRIPTION_BYTES_MAX);
    let cut = if end < description.len() { " [cut]" } else { "" };
    let says_read_only = tool.annotations.as_ref().and_then(|hints| hints.read_only_hint) == Some(true);
    Ok(Definition {
        description: format!("[MCP server {}] {}{cut}", server.name, &description[..end]),
        schema: schema::usable(&tool.input_schema)?,
        effect: if server.trust_read_only && says_read_only { Effect::ReadOnly } else { Effect::Mutating },
        fingerprint: fingerprint(tool),
        original: tool.name.to_string(),
        name,
    })
}

/// The name for models, and whether it is the server's own one.
fn name_of(server: &McpServer, tool: &str) -> (String, bool) {
    let plain: String = tool
        .chars()
        .map(|one| if one.is_ascii_alphanumeric() || one == '_' || one == '-' { one } else { '_' })
        .collect();
    let name = format!("{}__{plain}", server.name);
    if plain == tool && !tool.is_empty() && name.len() <= NAME_MAX {
        return (name, true);
    }
    // NOTE: every changed name gets the hash, so that `a.b` and `a_b` are two tools and none looks like another.
    let suffix = format!("_{}", &hex(tool.as_bytes())[..8]);
    let kept = boundary(&name, NAME_MAX - suffix.len());
    (format!("{}{suffix}", &name[..kept]), false)
}

/// A hash of what a model and a person read of a tool.
fn fingerprint(tool: &Tool) -> String {
    let mut text = String::new();
    for part in [Some(&*tool.name), tool.title.as_deref(), tool.description.as_deref()] {
        canonical(&part.map_or(Value::Null, Into::into), &mut text);
    }
    canonical_map(&tool.input_schema, &mut text);
    let hints = tool.annotations.as_ref().and_then(|hints| serde_json::to_value(hints).ok());
    canonical(&hints.unwrap_or_default(), &mut text);
    hex(text.as_bytes())[..32].to_owned()
}

/// JSON with sorted names: the order of fields may differ from one start of a server to the next.
fn canonical(value: &Value, text: &mut String) {
    match value {
        Value::Object(fields) => canonical_map(fields, text),
        Value::Array(values) => {
            text.push('[');
            for value in values {
                canonical(value, text);
                text.push(',');
            }
            text.push(']');
        }
        other => {
            let _ = write!(text, "{other}");
        }
    }
    text.push(';');
}

fn canonical_map(fields: &Map<String, Value>, text: &mut String) {
    let sorted: BTreeMap<&String, &Value> = fields.iter().collect();
    text.push('{');
    for (name, value) in sorted {
        let _ = write!(text, "{}:", Value::from(name.as_str()));
        canonical(value, text);
    }
    text.push('}');
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
