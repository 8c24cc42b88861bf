//! Every error names its line, its column and its node.

use orkestra_core::model::{PlanError, SpecErrorKind, WorkflowSpec};

#[track_caller]
fn refuses(text: &str, words: &str) {
    let error = WorkflowSpec::from_json(text).expect_err(text);
    assert_eq!(error.to_string(), words, "{text}");
}

/// A workflow with this node on its third line.
fn with_node(node: &str) -> String {
    format!("{{\"name\": \"w\", \"nodes\": [\n{{\"name\": \"a\", \"task\": \"t\"}},\n{node}\n]}}")
}

#[track_caller]
fn refuses_node(node: &str, words: &str) {
    refuses(&with_node(node), words);
}

#[test]
fn syntax_errors_have_a_place() {
    refuses("", "line 1, column 1: invalid JSON: EOF while parsing a value");
    refuses("{\"name\": \"w\",\n  \"nodes\": [}", "line 2, column 13: invalid JSON: expected value");
    refuses("{\"name\": \"ä\", nodes}", "line 1, column 15: invalid JSON: key must be a string");
    refuses("{} x", "line 1, column 4: invalid JSON: trailing characters");
    refuses(r#"{"name": "\ud800"}"#, "line 1, column 10: invalid string: unexpected end of hex escape");
    refuses_node(
        r#"{"name": "b", "gate": "g", "when": {"is": {"at_most": 1e999}}}"#,
        "line 3, column 55, node `b`: `when.is.at_most`: the number is out of range",
    );
}

#[test]
fn the_document_must_be_a_workflow() {
    refuses("[]", "line 1, column 1: invalid type: sequence, expected struct WorkflowSpec");
    refuses("{\n}", "line 1, column 1: missing field `name`");
    refuses("{\"name\": \"w\",\n\"nodes\": {}}", "line 2, column 10: `nodes`: invalid type: map, expected a sequence");
    refuses(
        "{\"name\": \"w\",\n\"nodes\": [],\n \"node\": []}",
        "line 3, column 2: unknown field `node`, expected one of `name`, `version`, `nodes`",
    );
    refuses("{\"name\": \"w\",\n\"nodes\": []}", "line 2, column 10: workflow `w` has no nodes");
}

#[test]
fn errors_name_the_field_of_the_node() {
    refuses_node("7", "line 3, column 1, node number 2: invalid type: a number, expected struct NodeForm");
    refuses_node(
        r#"{"name": "b c", "task": "t"}"#,
        "line 3, column 10, node number 2: `name`: invalid name `b c`: use 1 to 128 letters, digits, `_`, `-`, `.`, `:` or \
         `/`, beginning with a letter, a digit or `_`",
    );
    refuses_node(r#"{"task": "t"}"#, "line 3, column 1, node number 2: missing field `name`");
    refuses_node(r#"{"name": "b"}"#, "line 3, column 1, node `b`: node `b` needs either `task` or `gate`");
    refuses_node(
        r#"{"name": "b", "task": "t", "gate": "g"}"#,
        "line 3, column 1, node `b`: node `b` needs either `task` or `gate`",
    );
    refuses_node(r#"{"name": "b", "task": "t", "task": "t"}"#, "line 3, column 28, node `b`: duplicate field `task`");
    refuses_node(
        r#"{"name": "b", "task": "t", "timeout_ms": "1s"}"#,
        "line 3, column 42, node `b`: `timeout_ms`: invalid type: string \"1s\", expected u64",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "timeout_ms": -1}"#,
        "line 3, column 42, node `b`: `timeout_ms`: invalid value: integer `-1`, expected u64",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "after": "a"}"#,
        "line 3, column 37, node `b`: `after`: invalid type: string \"a\", expected a sequence",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "retry": {"attempts_max": 2, "delay": 1}}"#,
        "line 3, column 57, node `b`: `retry`: unknown field `delay`, expected one of `attempts_max`, `initial_ms`, \
         `factor`, `delay_ms_max`, `jitter`",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "limits": [{"limit": "l"}, {"limit": "l", "by": {"label": 1}}]}"#,
        "line 3, column 86, node `b`: `limits[1].by.label`: invalid type: integer `1`, expected a string",
    );
}

#[test]
fn errors_list_the_known_words() {
    refuses_node(
        r#"{"name": "b", "task": "t", "join": "sometimes"}"#,
        "line 3, column 36, node `b`: `join`: unknown variant `sometimes`, expected one of `all`, `any`, `at_least`, \
         `settled`",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "join": "at_least"}"#,
        "line 3, column 36, node `b`: `join`: `at_least` needs a value: {\"at_least\": …}",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "join": {"any": 3}}"#,
        "line 3, column 44, node `b`: `join`: `any` takes no value",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "on_failure": ["skip"]}"#,
        "line 3, column 42, node `b`: `on_failure`: expected a word or an object with one entry",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "on_failure": "retry"}"#,
        "line 3, column 42, node `b`: `on_failure`: unknown variant `retry`, expected one of `fail`, `skip`, \
         `continue`, `pause`",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "when": {"all": [{"is": "maybe"}]}}"#,
        "line 3, column 52, node `b`: `when.all[0].is`: unknown variant `maybe`, expected one of `equals`, \
         `not_equals`, `at_least`, `at_most`, `present`, `absent`, `truthy`",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "when": {"any": [{"pointer": "x", "is": "present"}]}}"#,
        "line 3, column 45, node `b`: `when.any[0]`: invalid JSON pointer `x`: it must be empty or begin with `/`",
    );
}

#[test]
fn policies_out_of_range_are_refused() {
    for (retry, column, words) in [
        (r#"{"attempts_max": 0}"#, 54, "`retry.attempts_max`: it must be at least 1"),
        (r#"{"attempts_max": 2, "factor": 0.5}"#, 67, "`retry.factor`: it must be at least 1"),
        (r#"{"attempts_max": 2, "jitter": 1.5}"#, 67, "`retry.jitter`: it must be from 0 to 1"),
    ] {
        refuses_node(
            &format!(r#"{{"name": "b", "task": "t", "retry": {retry}}}"#),
            &format!("line 3, column {column}, node `b`: {words}"),
        );
    }
}

#[test]
fn graph_errors_have_a_place() {
    refuses_node(
        r#"{"name": "b", "task": "t", "after": ["a", "c"]}"#,
        "line 3, column 43: node `b` comes after `c`, but there is no such node",
    );
    refuses_node(r#"{"task": "t", "name": "a"}"#, "line 3, column 23: two nodes are named `a`");
    refuses_node(
        r#"{"name": "b", "task": "t", "when": {"node": "a", "is": "present"}}"#,
        "line 3, column 36: the condition of node `b` tests `a`, but `a` is not right before it; add it to `after`",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "after": ["a"], "join": {"at_least": 2}}"#,
        "line 3, column 52: node `b` waits for 2 of the nodes before it, but there are 1",
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "timeout_ms": 5, "total_timeout_ms": 0}"#,
        "line 3, column 65: node `b` has a timeout of zero; leave it out for no timeout",
    );
    let error = WorkflowSpec::from_json(&with_node(r#"{"name": "b", "task": "t", "after": ["c"]}"#)).expect_err("c");
    assert_eq!(error.node(), Some("b"));
    assert_eq!(error.place().map(|place| (place.line, place.column)), Some((3, 38)));
    assert!(matches!(error.kind(), SpecErrorKind::Plan(PlanError::UnknownNode { .. })));
}

#[test]
fn a_cycle_names_all_its_nodes_with_their_lines() {
    let text = r#"{"name": "w", "nodes": [
        {"name": "start", "task": "t"},
        {"name": "a", "task": "t", "after": ["start", "c"]},
        {"name": "b", "task": "t",
         "after": ["a"]},
        {"name": "c", "task": "t", "after": ["b"]}
    ]}"#;
    let error = WorkflowSpec::from_json(text).expect_err("a cycle");
    let shown = error.to_string();
    let lines: Vec<_> = error.cycle().iter().map(|(node, place)| (node.as_str(), place.line)).collect();
    let mut sorted = lines.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, [("a", 3), ("b", 5), ("c", 6)]);
    assert!(
        shown.contains("the workflow has a cycle: `a` (line 3) -> `b` (line 5) -> `c` (line 6) -> `a` (line 3)"),
        "{shown}"
    );
    refuses_node(
        r#"{"name": "b", "task": "t", "after": ["b"]}"#,
        "line 3, column 38: the workflow has a cycle: `b` (line 3) -> `b` (line 3)",
    );
}
