//! Hostile texts: they get a short answer, and soon.

use orkestra_core::model::limits::{DATA_BYTES_MAX, NODES_MAX};
use orkestra_core::model::{PlanError, SpecErrorKind, WorkflowSpec};

fn workflow(nodes: &str) -> String {
    format!("{{\"name\": \"w\", \"nodes\": [{nodes}]}}")
}

#[test]
fn a_text_over_the_limit_is_not_parsed() {
    let error = WorkflowSpec::from_json(&" ".repeat(DATA_BYTES_MAX + 1)).expect_err("too long");
    assert_eq!((error.kind(), error.place()), (&SpecErrorKind::TooLarge, None));
    assert_eq!(
        error.to_string(),
        "cannot read the workflow: the text has 1048577 bytes, more than the 1048576 allowed"
    );
}

#[test]
fn depth_is_limited_everywhere() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("{\"not\":", "}")] {
        for place in ["input", "when", "join"] {
            let deep = format!("{}1{}", open.repeat(50_000), close.repeat(50_000));
            let text = workflow(&format!("{{\"name\": \"a\", \"task\": \"t\", \"{place}\": {deep}}}"));
            let error = WorkflowSpec::from_json(&text).expect_err("too deep");
            assert_eq!(error.kind(), &SpecErrorKind::TooLarge, "{error}");
            assert!(error.to_string().ends_with("the value nests deeper than 64 levels"), "{error}");
        }
    }
}

#[test]
fn a_condition_has_its_own_depth_limit() {
    let deep = format!("{}{{\"is\":\"present\"}}{}", "{\"not\":".repeat(16), "}".repeat(16));
    let text = workflow(&format!("{{\"name\": \"a\", \"task\": \"t\", \"when\": {deep}}}"));
    let error = WorkflowSpec::from_json(&text).expect_err("too deep").to_string();
    assert!(error.ends_with("the condition nests deeper than 16 levels"), "{error}");
}

#[test]
fn ten_thousand_nodes_are_read_and_one_more_is_refused() {
    let nodes = |count: usize| {
        let node = |number: usize| format!("{{\"name\":\"n{number}\",\"task\":\"t\"}}");
        workflow(&(0..count).map(node).collect::<Vec<_>>().join(",\n"))
    };
    assert_eq!(WorkflowSpec::from_json(&nodes(NODES_MAX)).expect("this many fit").nodes.len(), NODES_MAX);
    let error = WorkflowSpec::from_json(&nodes(NODES_MAX + 1)).expect_err("too many");
    assert_eq!(error.kind(), &SpecErrorKind::Plan(PlanError::TooLarge));
}

#[test]
fn a_line_of_a_million_values_is_read_in_one_go() {
    let values = vec!["1"; 500_000].join(",");
    let text = workflow(&format!("{{\"name\": \"a\", \"task\": \"t\", \"input\": [{values}]}}"));
    let spec = WorkflowSpec::from_json(&text).expect("a long line is read");
    let input = spec.nodes[0].input.as_ref().expect("an input");
    assert_eq!(input.as_json().len(), values.len() + 2);
}

#[test]
fn errors_are_short_and_printable() {
    let long = "x".repeat(100_000);
    for field in ["\\u001b[2J\\u0007", "\\u202eevil", &long] {
        let error = WorkflowSpec::from_json(&workflow(&format!("{{\"{field}\": 1}}"))).expect_err("an unknown field");
        let shown = error.to_string();
        assert!(shown.chars().count() < 600, "{} characters", shown.chars().count());
        assert!(!shown.chars().any(|c| c.is_control() || c == '\u{202e}'), "{shown:?}");
    }
}

#[test]
fn payloads_stay_unchanged() {
    for input in ["null", "[1,  2]", "1.10", "123456789012345678901234567890", "{\"b\":1, \"a\":\"\\u00e4\"}", "-0"] {
        let text = workflow(&format!("{{\"name\": \"a\", \"task\": \"t\", \"input\": {input}}}"));
        let spec = WorkflowSpec::from_json(&text).expect("a payload is any JSON");
        assert_eq!(spec.nodes[0].input.as_ref().map(|input| input.as_json().to_owned()), Some(input.to_owned()));
        let again = serde_json::to_string(&spec).expect("it serialises");
        assert_eq!(WorkflowSpec::from_json(&again).expect("it reads back"), spec);
    }
    let text = workflow("{\"name\": \"a\", \"task\": \"t\"}");
    assert_eq!(WorkflowSpec::from_json(&text).expect("a node").nodes[0].input, None);
}
