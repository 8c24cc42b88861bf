//! The schema of a tool as a server wrote it, on its way to a model and a validator. Pure.
//!
//! References are resolved here, within a budget, so that what is left has none: no reference is fetched, none makes a validator
//! run for ever, and the size that a model and a validator see is the size that was checked.

use serde_json::{Map, Value};

use crate::limits::{MCP_SCHEMA_BYTES_MAX, MCP_SCHEMA_DEPTH_MAX};
use crate::web::untrusted::clean;

/// Keywords whose value maps names to schemas.
const NAMED: [&str; 5] = ["properties", "patternProperties", "$defs", "definitions", "dependentSchemas"];
/// Keywords whose value is data.
const DATA: [&str; 4] = ["const", "enum", "default", "examples"];
/// Keywords that a model and a validator do without.
const DROPPED: [&str; 7] = ["$schema", "$id", "$anchor", "$comment", "$defs", "definitions", "title"];

/// The schema with its references resolved, or why it cannot be used.
pub(super) fn usable(schema: &Map<String, Value>) -> Result<Value, String> {
    let whole = Value::Object(schema.clone());
    let mut left = Resolving { whole: &whole, bytes: MCP_SCHEMA_BYTES_MAX, open: Vec::new() };
    let Value::Object(mut schema) = left.schema(&whole, 0)? else { return Err("is not an object".to_owned()) };
    match schema.get("type") {
        None => drop(schema.insert("type".to_owned(), "object".into())),
        Some(Value::String(kind)) if kind == "object" => {}
        Some(_) => return Err("is not of the type `object`".to_owned()),
    }
    // Several providers require the key.
    schema.entry("properties").or_insert_with(|| Value::Object(Map::new()));
    let schema = Value::Object(schema);
    jsonschema::validator_for(&schema).map_err(|error| {
        let why: String = clean(&error.to_string()).chars().take(200).collect();
        format!("does not compile: {why}")
    })?;
    Ok(schema)
}

struct Resolving<'a> {
    whole: &'a Value,
    bytes: usize,
    /// The references that are being resolved, outermost first.
    open: Vec<&'a str>,
}

impl<'a> Resolving<'a> {
    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.bytes = self
            .bytes
            .checked_sub(bytes)
            .ok_or_else(|| format!("is larger than {MCP_SCHEMA_BYTES_MAX} bytes with its references resolved"))?;
        Ok(())
    }

    fn schema(&mut self, value: &'a Value, depth: usize) -> Result<Value, String> {
        if depth > MCP_SCHEMA_DEPTH_MAX {
            return Err(format!("is deeper than {MCP_SCHEMA_DEPTH_MAX} levels"));
        }
        match value {
            Value::Object(fields) => self.object(fields, depth),
            Value::Array(values) => {
                self.spend(2)?;
                values.iter().map(|value| self.schema(value, depth + 1)).collect::<Result<_, _>>().map(Value::Array)
            }
            Value::String(text) => {
                self.spend(text.len() + 3)?;
                Ok(Value::String(clean(text)))
            }
            other => {
                self.spend(8)?;
                Ok(other.clone())
            }
        }
    }

    fn object(&mut self, fields: &'a Map<String, Value>, depth: usize) -> Result<Value, String> {
        self.spend(2)?;
        if fields.contains_key("$dynamicRef") || fields.contains_key("$recursiveRef") {
            return Err("has a dynamic reference".to_owned());
        }
        let mut resolved = Map::new();
        for (key, value) in fields {
            if DROPPED.contains(&key.as_str()) || key == "$ref" {
                continue;
            }
            self.spend(key.len() + 4)?;
            plain(key)?;
            let value = match value {
                Value::Object(names) if NAMED.contains(&key.as_str()) => self.named(names, depth + 1)?,
                data if DATA.contains(&key.as_str()) => self.data(data)?,
                value => self.schema(value, depth + 1)?,
            };
            resolved.insert(key.clone(), value);
        }
        match fields.get("$ref") {
            None => Ok(Value::Object(resolved)),
            Some(Value::String(reference)) => self.reference(reference, resolved, depth),
            Some(_) => Err("has a reference that is not a text".to_owned()),
        }
    }

    fn named(&mut self, names: &'a Map<String, Value>, depth: usize) -> Result<Value, String> {
        let mut resolved = Map::new();
        for (name, value) in names {
            self.spend(name.len() + 4)?;
            plain(name)?;
            resolved.insert(name.clone(), self.schema(value, depth + 1)?);
        }
        Ok(Value::Object(resolved))
    }

    fn data(&mut self, value: &Value) -> Result<Value, String> {
        let text = value.to_string();
        self.spend(text.len())?;
        // NOTE: in JSON control characters are escaped, and hidden ones are not.
        if has_hidden(value) {
            Err("has hidden or control characters in a value".to_owned())
        } else {
            Ok(value.clone())
        }
    }

    fn reference(&mut self, reference: &'a str, beside: Map<String, Value>, depth: usize) -> Result<Value, String> {
        let shown = || clean(reference).chars().take(80).collect::<String>();
        let target = reference.strip_prefix('#').and_then(|pointer| self.whole.pointer(pointer));
        let target =
            target.ok_or_else(|| format!("refers to `{}`, which is not in it; nothing is fetched", shown()))?;
        if self.open.contains(&reference) {
            // A schema within itself: what is deeper is checked by the server alone.
            return Ok(Value::Object(beside));
        }
        self.open.push(reference);
        let resolved = self.schema(target, depth + 1)?;
        self.open.pop();
        if beside.is_empty() {
            return Ok(resolved);
        }
        let mut beside = beside;
        match resolved {
            // What stands beside a reference mostly describes it.
            Value::Object(fields) if fields.keys().all(|key| !beside.contains_key(key) || key == "description") => {
                for (key, value) in fields {
                    beside.entry(key).or_insert(value);
                }
                Ok(Value::Object(beside))
            }
            resolved => {
                let mut all = match beside.remove("allOf") {
                    Some(Value::Array(all)) => all,
                    _ => Vec::new(),
                };
                all.push(resolved);
                beside.insert("allOf".to_owned(), Value::Array(all));
                Ok(Value::Object(beside))
            }
        }
    }
}

fn plain(name: &str) -> Result<(), String> {
    if clean(name) == name { Ok(()) } else { Err("has hidden or control characters in a name".to_owned()) }
}

fn has_hidden(value: &Value) -> bool {
    match value {
        Value::String(text) => clean(text) != *text,
        Value::Array(values) => values.iter().any(has_hidden),
        Value::Object(fields) => fields.iter().any(|(name, value)| clean(name) != *name || has_hidden(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
