//! The schema agrees with the types.

use std::collections::BTreeSet;

use jsonschema::Validator;
use orkestra_core::model::WorkflowSpec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::cases;
use super::generate::workflows;

pub(super) fn validator() -> Validator {
    let schema = WorkflowSpec::json_schema();
    assert!(jsonschema::draft202012::meta::is_valid(&schema), "the schema is invalid");
    jsonschema::draft202012::new(&schema).expect("a schema")
}

/// The complaints of the schema about `value`.
pub(super) fn complaints(validator: &Validator, value: &Value) -> Vec<String> {
    validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect()
}

/// The fields that serde knows, from its error about an unknown one.
fn known_fields(text: &str) -> BTreeSet<String> {
    let error = WorkflowSpec::from_json(text).expect_err("an unknown field").to_string();
    let (_, list) = error.split_once("expected one of ").expect("the known fields");
    list.split(", ").map(|field| field.trim_matches('`').to_owned()).collect()
}

fn properties(schema: &Value) -> BTreeSet<String> {
    schema["properties"].as_object().expect("properties").keys().cloned().collect()
}

#[test]
fn the_schema_has_exactly_the_known_fields() {
    let schema = WorkflowSpec::json_schema();
    let definition = |name: &str| properties(&schema["$defs"][name]);
    assert_eq!(known_fields(r#"{"x": 1}"#), properties(&schema));
    let nodes = |node: &str| known_fields(&format!(r#"{{"nodes": [{node}]}}"#));
    assert_eq!(nodes(r#"{"x": 1}"#), definition("node"));
    assert_eq!(nodes(r#"{"retry": {"x": 1}}"#), definition("retry"));
    let alternatives = |name: &str| schema["$defs"][name]["oneOf"].as_array().expect("alternatives").clone();
    let condition: BTreeSet<_> = alternatives("condition").iter().flat_map(properties).collect();
    assert_eq!(nodes(r#"{"when": {"x": 1}}"#), condition);
}

#[test]
fn the_schema_has_exactly_the_known_words() {
    let schema = WorkflowSpec::json_schema();
    let words = |schema: &Value| {
        let mut words = BTreeSet::new();
        let alternatives = schema["oneOf"].as_array().cloned().unwrap_or_else(|| vec![schema.clone()]);
        for alternative in alternatives {
            for word in alternative["enum"].as_array().into_iter().flatten() {
                words.insert(word.as_str().expect("a word").to_owned());
            }
            words.extend(alternative["properties"].as_object().into_iter().flatten().map(|(key, _)| key.clone()));
        }
        words
    };
    let nodes = |node: &str| known_fields(&format!(r#"{{"nodes": [{node}]}}"#));
    let node = &schema["$defs"]["node"]["properties"];
    assert_eq!(nodes(r#"{"join": "x"}"#), words(&schema["$defs"]["join"]));
    assert_eq!(nodes(r#"{"on_failure": "x"}"#), words(&node["on_failure"]));
    assert_eq!(nodes(r#"{"when": {"is": "x"}}"#), words(&schema["$defs"]["test"]));
    assert_eq!(
        nodes(r#"{"limits": [{"limit": "l", "by": {"x": 1}}]}"#),
        words(&schema["$defs"]["limit"]["properties"]["by"])
    );
}

#[test]
fn the_schema_refuses_invalid_workflows() {
    let validator = validator();
    let node = |node: Value| json!({"name": "w", "nodes": [node]});
    for wrong in [
        json!([]),
        json!({"name": "w"}),
        json!({"name": "w", "nodes": []}),
        json!({"name": "w", "nodes": [], "extra": 1}),
        node(json!({"name": "a"})),
        node(json!({"name": "a", "task": "t", "gate": "g"})),
        node(json!({"name": "-a", "task": "t"})),
        node(json!({"name": "a".repeat(129), "task": "t"})),
        node(json!({"name": "a", "task": "t", "timeout_ms": 0})),
        node(json!({"name": "a", "task": "t", "retry": {"attempts_max": 0}})),
        node(json!({"name": "a", "task": "t", "retry": {"attempts_max": 1, "jitter": 2}})),
        node(json!({"name": "a", "task": "t", "join": {"at_least": 0}})),
        node(json!({"name": "a", "task": "t", "when": {"is": "present", "all": []}})),
        node(json!({"name": "a", "task": "t", "when": {"pointer": "x", "is": "present"}})),
        node(json!({"name": "a", "task": "t", "priority": 2_147_483_648_i64})),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
        assert!(WorkflowSpec::from_json(&wrong.to_string()).is_err(), "{wrong}");
    }
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn a_workflow_is_accepted_by_its_schema_and_reads_back_the_same(spec in workflows()) {
        let text = serde_json::to_string(&spec).expect("a workflow serialises");
        prop_assert_eq!(&WorkflowSpec::from_json(&text).expect("our own text"), &spec);
        let complaints = complaints(&validator(), &serde_json::from_str(&text).expect("JSON"));
        prop_assert!(complaints.is_empty(), "{complaints:?} in {text}");
        // The same workflow with other white space.
        let pretty = serde_json::to_string_pretty(&serde_json::value::to_raw_value(&spec).expect("JSON")).expect("JSON");
        prop_assert_eq!(&WorkflowSpec::from_json(&format!("\n {pretty}\n")).expect("our own text"), &spec);
        #[cfg(feature = "yaml")]
        {
            // JSON is valid YAML. Only the white space of its payloads is lost.
            let read = WorkflowSpec::from_yaml(&text).expect("JSON is YAML");
            let values = |spec: &WorkflowSpec| serde_json::to_value(spec).expect("a workflow serialises");
            prop_assert_eq!(values(&read), values(&spec));
        }
    }
}
