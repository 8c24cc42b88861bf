//! The JSON Schema of a workflow, written by hand: a schema derived from the types would lack the descriptions that
//! models and editors need, and every embedder would compile the generator. Tests compare it with the types.

use serde_json::{Map, Value, json};

use crate::model::limits::{NAME_BYTES_MAX, NODE_LIMITS_MAX, NODES_MAX};

pub(super) fn workflow() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Orkestra workflow",
        "description": "Named nodes, each a task or a gate, and the nodes that each comes after.",
        "type": "object",
        "required": ["name", "nodes"],
        "additionalProperties": false,
        "properties": {
            "name": described(name(), "The workflow's name."),
            "version": text("The version that its author gave it."),
            "nodes": {
                "description": "The nodes. Listed in order of declaration; `after` gives the edges.",
                "type": "array",
                "minItems": 1,
                "maxItems": NODES_MAX,
                "items": {"$ref": "#/$defs/node"},
            },
        },
        "$defs": {
            "name": {
                "type": "string",
                "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.:/-]*$",
                "maxLength": NAME_BYTES_MAX,
            },
            "node": node(),
            "join": join(),
            "retry": retry(),
            "condition": condition(),
            "test": test(),
            "limit": limit(),
        },
    })
}

fn node() -> Value {
    json!({
        "description": "One node: either `task` or `gate`.",
        "type": "object",
        "required": ["name"],
        "oneOf": [{"required": ["task"]}, {"required": ["gate"]}],
        "additionalProperties": false,
        "properties": {
            "name": described(name(), "The node's name, unique in its workflow."),
            "task": described(name(), "The registered task that it runs."),
            "gate": described(name(), "The signal that it waits for; the signal's payload is its output."),
            "after": {
                "description": "The nodes right before it. Their outputs are its input, in this order.",
                "type": "array",
                "items": name(),
            },
            "join": described(reference("join"), "How it waits for them."),
            "when": described(reference("condition"), "The node is skipped when this condition does not hold."),
            "retry": described(reference("retry"), "How often it is tried. Once by default."),
            "timeout_ms": millis("How long one attempt may take, in milliseconds; for a gate, how long it waits."),
            "total_timeout_ms": millis("How long all attempts and the delays between them may take, in milliseconds."),
            "heartbeat_timeout_ms": millis("How long its task may go without a sign of life, in milliseconds."),
            "on_failure": {
                "description": "What happens when its last attempt has failed: the run fails; the nodes that need it \
                                are skipped; the nodes after it start with `null`; the run is paused.",
                "enum": ["fail", "skip", "continue", "pause"],
                "default": "fail",
            },
            "compensate": described(name(), "The task that undoes it when the run fails or is cancelled later."),
            "compensate_retry": described(reference("retry"), "How often the compensation is tried. Five times by default."),
            "compensate_timeout_ms": millis("How long one attempt of the compensation may take, in milliseconds."),
            "priority": {
                "description": "Its priority among the nodes that are ready to start: higher goes first.",
                "type": "integer",
                "minimum": i32::MIN,
                "maximum": i32::MAX,
                "default": 0,
            },
            "limits": {
                "description": "The limits that apply to its attempts.",
                "type": "array",
                "maxItems": NODE_LIMITS_MAX,
                "items": {"$ref": "#/$defs/limit"},
            },
            "input": {"description": "Its input. By default the outputs of the nodes before it, or the run's input."},
            "version": text("The version of its code."),
            "takes": text("The type of its input, for the upgrade report."),
            "gives": text("The type of its output, for the upgrade report."),
        },
    })
}

fn join() -> Value {
    json!({
        "description": "When the node starts: all nodes before it are done, the first is, all have ended, or this \
                        many are done.",
        "default": "all",
        "oneOf": [
            {"enum": ["all", "any", "settled"]},
            one("at_least", json!({"type": "integer", "minimum": 1, "maximum": NODES_MAX})),
        ],
    })
}

fn retry() -> Value {
    json!({
        "type": "object",
        "required": ["attempts_max"],
        "additionalProperties": false,
        "properties": {
            "attempts_max": {
                "description": "The maximum number of attempts, including the first.",
                "type": "integer",
                "minimum": 1,
                "maximum": u32::MAX,
            },
            "initial_ms": delay("The delay after the first failed attempt, in milliseconds.", 0),
            "factor": {
                "description": "What the delay is multiplied by after each further failure.",
                "type": "number",
                "minimum": 1,
                "default": 1,
            },
            "delay_ms_max": delay("The longest delay, in milliseconds.", 3_600_000),
            "jitter": {
                "description": "The random share of the delay.",
                "type": "number",
                "minimum": 0,
                "maximum": 1,
                "default": 0,
            },
        },
    })
}

fn condition() -> Value {
    let several = json!({"type": "array", "items": reference("condition")});
    json!({
        "description": "A condition on the run's input or on the output of a node right before.",
        "oneOf": [
            {
                "type": "object",
                "required": ["is"],
                "additionalProperties": false,
                "properties": {
                    "node": described(name(), "The node whose output is tested; the run's input by default."),
                    "pointer": {
                        "description": "The place to test: a JSON pointer, empty for the whole value.",
                        "type": "string",
                        "pattern": "^(/|$)",
                    },
                    "is": reference("test"),
                },
            },
            one("all", several.clone()),
            one("any", several),
            one("not", reference("condition")),
        ],
    })
}

fn test() -> Value {
    json!({
        "description": "The test of that place.",
        "oneOf": [
            {"enum": ["present", "absent", "truthy"]},
            one("equals", json!({})),
            one("not_equals", json!({})),
            one("at_least", json!({"type": "number"})),
            one("at_most", json!({"type": "number"})),
        ],
    })
}

fn limit() -> Value {
    json!({
        "type": "object",
        "required": ["limit"],
        "additionalProperties": false,
        "properties": {
            "limit": described(name(), "The limit, as it was defined on the engine's builder."),
            "by": {
                "description": "What the limit counts separately by: a label of the run, a place in the node's input (a JSON \
                                pointer), or a fixed text.",
                "oneOf": [
                    one("label", json!({"type": "string"})),
                    one("input", json!({"type": "string"})),
                    one("key", json!({"type": "string"})),
                ],
            },
        },
    })
}

fn name() -> Value {
    reference("name")
}

fn reference(definition: &str) -> Value {
    json!({"$ref": format!("#/$defs/{definition}")})
}

fn described(schema: Value, description: &str) -> Value {
    let mut described = Map::from_iter([("description".to_owned(), description.into())]);
    if let Value::Object(own) = schema {
        described.extend(own);
    }
    Value::Object(described)
}

/// An object with exactly this one entry.
fn one(key: &str, value: Value) -> Value {
    json!({
        "type": "object",
        "required": [key],
        "additionalProperties": false,
        "properties": Map::from_iter([(key.to_owned(), value)]),
    })
}

fn text(description: &str) -> Value {
    json!({"description": description, "type": "string"})
}

fn millis(description: &str) -> Value {
    json!({"description": description, "type": "integer", "minimum": 1, "maximum": u64::MAX})
}

fn delay(description: &str, default: u64) -> Value {
    json!({"description": description, "type": "integer", "minimum": 0, "maximum": u64::MAX, "default": default})
}
