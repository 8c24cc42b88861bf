//! Checks the page on workflows as data: its examples are valid, and its tables are complete.

use orkestra_core::model::WorkflowSpec;
use serde_json::Value;

use super::schema::{complaints, validator};

const PAGE: &str = include_str!("../../../../docs/workflows-as-data.md");

/// The code blocks of the page in this language, in order.
fn blocks(language: &str) -> Vec<&'static str> {
    let fence = format!("```{language}\n");
    let inside = PAGE.split(&*fence).skip(1);
    inside.map(|rest| rest.split("```").next().expect("a split gives something")).collect()
}

#[test]
fn every_json_example_is_valid_and_fits_the_schema() {
    let blocks = blocks("json");
    assert!(blocks.len() >= 2);
    for block in blocks {
        WorkflowSpec::from_json(block).unwrap_or_else(|error| panic!("{error} in {block}"));
        let value: Value = serde_json::from_str(block).expect("JSON");
        assert_eq!(complaints(&validator(), &value), [] as [String; 0], "{block}");
    }
}

#[cfg(feature = "yaml")]
#[test]
fn the_json_and_yaml_examples_are_equal() {
    let [yaml] = blocks("yaml")[..] else { panic!("one example") };
    let spec = WorkflowSpec::from_yaml(yaml).expect("a workflow");
    let json = WorkflowSpec::from_json(blocks("json")[0]).expect("a workflow");
    let values = |spec: &WorkflowSpec| serde_json::to_value(spec).expect("a workflow serialises");
    assert_eq!(values(&spec), values(&json));
    assert_eq!(complaints(&validator(), &values(&spec)), [] as [String; 0]);
}

#[test]
fn the_error_on_the_page_is_the_real_one() {
    let [wrong] = blocks("json5")[..] else { panic!("one wrong example") };
    let [words] = blocks("text")[..] else { panic!("its error") };
    let error = WorkflowSpec::from_json(wrong).expect_err("it is wrong");
    assert_eq!(error.to_string(), words.trim());
}

#[test]
fn every_field_is_in_a_table() {
    let schema = WorkflowSpec::json_schema();
    let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `")).collect();
    let definitions = schema["$defs"].as_object().expect("definitions").values().chain([&schema]);
    for definition in definitions {
        for (field, _) in definition["properties"].as_object().into_iter().flatten() {
            assert!(rows.iter().any(|row| row.starts_with(&format!("| `{field}` |"))), "`{field}` is in no table");
        }
    }
}

#[test]
fn the_example_uses_every_field_of_a_node() {
    let schema = WorkflowSpec::json_schema();
    let example: Value = serde_json::from_str(blocks("json")[0]).expect("JSON");
    let nodes = example["nodes"].as_array().expect("nodes");
    for (field, _) in schema["$defs"]["node"]["properties"].as_object().expect("fields") {
        assert!(nodes.iter().any(|node| node.get(field).is_some()), "the example has no `{field}`");
    }
}
