//! Reads bytes as a workflow.

use orkestra_core::model::limits::DATA_BYTES_MAX;
use orkestra_core::model::{Plan, SpecError, WorkflowSpec};
use orkestra_core::projection::Graph;

/// Reads the bytes as JSON.
///
/// # Panics
/// When a workflow that was read has no plan, does not survive a round trip, or is read differently by plain serde, or when an
/// error does not point into the text.
pub fn workflow_json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match WorkflowSpec::from_json(text) {
        Ok(spec) => {
            let plain: WorkflowSpec = serde_json::from_str(text).expect("serde reads what we read");
            assert_eq!(plain, spec, "serde reads something else");
            check_spec(&spec);
        }
        Err(error) => check_error(text, &error),
    }
}

/// Reads the bytes as YAML.
///
/// # Panics
/// As [`workflow_json`].
#[cfg(feature = "yaml")]
pub fn workflow_yaml(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match WorkflowSpec::from_yaml(text) {
        Ok(spec) => check_spec(&spec),
        Err(error) => check_error(text, &error),
    }
}

fn check_spec(spec: &WorkflowSpec) {
    let plan = Plan::new(spec).expect("what was read can be run");
    let text = serde_json::to_string(spec).expect("a workflow serialises");
    if text.len() <= DATA_BYTES_MAX {
        let again = WorkflowSpec::from_json(&text).expect("what was written can be read");
        assert_eq!(again, *spec, "a workflow changed on its way");
    }
    let graph = Graph::of_plan(&plan);
    drop((graph.to_text(), graph.to_mermaid(), graph.to_dot(), graph.to_svg()));
}

fn check_error(text: &str, error: &SpecError) {
    let shown = error.to_string();
    assert!(!shown.is_empty() && !shown.chars().any(char::is_control), "{shown:?}");
    let places = error.place().into_iter().chain(error.cycle().iter().map(|(_, place)| *place));
    for place in places {
        let line = text.split('\n').nth(place.line - 1).unwrap_or_else(|| panic!("no line {}: {shown}", place.line));
        assert!(place.column <= line.chars().count() + 1, "no column {}: {shown}", place.column);
    }
}
