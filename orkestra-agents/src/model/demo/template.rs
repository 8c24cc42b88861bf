//! The files of a demo project, from templates and its subject.

use serde_json::{Map, Value, json};

use super::subject::Subject;

pub(super) const PLAN: &str = include_str!("templates/plan.md");
pub(super) const CONTRACT: &str = include_str!("templates/contract.json");
pub(super) const SERVICE: &str = include_str!("templates/service.py");
pub(super) const TEST_BACKEND: &str = include_str!("templates/test_backend.py");
pub(super) const PAGE: &str = include_str!("templates/index.html");
pub(super) const SCRIPT: &str = include_str!("templates/app.js");
pub(super) const TEST_FRONTEND: &str = include_str!("templates/test_frontend.py");
pub(super) const TEST_END_TO_END: &str = include_str!("templates/test_end_to_end.py");
pub(super) const TEST_CONTRACT: &str = include_str!("templates/test_contract.py");
pub(super) const REPORT: &str = include_str!("templates/qa_report.md");

/// Fills a template with the values of the subject, then with those of `more`.
pub(super) fn fill(template: &str, subject: &Subject, more: &[(&str, &str)]) -> String {
    let mut text = template.to_owned();
    for (name, value) in subject_values(subject) {
        text = text.replace(&format!("@{name}@"), &value);
    }
    // NOTE: last, so that placeholders in an outside value (an objective, a command's output) are not filled.
    for (name, value) in more {
        text = text.replace(&format!("@{name}@"), value);
    }
    text
}

fn subject_values(subject: &Subject) -> [(&'static str, String); 10] {
    let required = subject.fields.first().cloned().unwrap_or_default();
    let list: Vec<String> = subject.fields.iter().map(|field| format!("`{field}`")).collect();
    let mut properties = vec!["\"id\": {\"type\": \"integer\"}".to_owned()];
    properties.extend(subject.fields.iter().map(|field| format!("\"{field}\": {{\"type\": \"string\"}}")));
    let example: Map<String, Value> =
        subject.fields.iter().map(|field| (field.clone(), json!(format!("a {field}")))).collect();
    let inputs = subject.fields.iter().enumerate().map(|(position, field)| {
        let required = if position == 0 { " required" } else { "" };
        format!("    <label>{field} <input name=\"{field}\"{required}></label>")
    });
    [
        ("PROJECT", subject.project.clone()),
        ("RESOURCE", subject.plural.clone()),
        ("SINGULAR", subject.singular.clone()),
        ("SCHEMA", subject.schema()),
        ("REQUIRED", required),
        ("FIELDS", json!(subject.fields).to_string()),
        ("FIELD_LIST", list.join(", ")),
        ("PROPERTIES", properties.join(", ")),
        ("EXAMPLE", Value::Object(example).to_string()),
        ("INPUTS", inputs.collect::<Vec<_>>().join("\n")),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_placeholder_is_filled_and_the_contract_is_json() {
        let subject = Subject::of_objective("Build a REST API for a blog");
        for template in [CONTRACT, TEST_BACKEND, PAGE, SCRIPT, TEST_FRONTEND, TEST_END_TO_END, TEST_CONTRACT] {
            let text = fill(template, &subject, &[]);
            let unfilled =
                text.split('@').skip(1).find(|rest| rest.starts_with(|first: char| first.is_ascii_uppercase()));
            assert_eq!(unfilled, None);
        }
        let contract: Value = serde_json::from_str(&fill(CONTRACT, &subject, &[])).expect("it is JSON");
        assert_eq!(contract["endpoints"][2]["status"], 201);
        assert_eq!(contract["schemas"]["Post"]["required"][0], "title");
    }

    #[test]
    fn placeholders_in_outside_values_are_not_filled() {
        let subject = Subject::of_objective("a blog");
        let text = fill(PLAN, &subject, &[("OBJECTIVE", "say @RESOURCE@"), ("AGENTS", "qa")]);
        assert!(text.contains("say @RESOURCE@"), "{text}");
    }

    /// Writes a demo project whose POST returns the status `created`, and runs all its tests with plain Python.
    fn run_project(objective: &str, created: &str) -> Option<(bool, String)> {
        let subject = Subject::of_objective(objective);
        let root = tempfile::tempdir().expect("a directory");
        for (path, template) in [
            ("contract.json", CONTRACT),
            ("backend/service.py", SERVICE),
            ("frontend/index.html", PAGE),
            ("frontend/app.js", SCRIPT),
            ("tests/test_backend.py", TEST_BACKEND),
            ("tests/test_frontend.py", TEST_FRONTEND),
            ("tests/test_end_to_end.py", TEST_END_TO_END),
            ("tests/test_contract.py", TEST_CONTRACT),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            std::fs::write(path, fill(template, &subject, &[("CREATED", created)])).expect("a file");
        }
        let mut command = std::process::Command::new("python3");
        command.args(["-m", "unittest", "discover", "-s", "tests"]).current_dir(root.path());
        match command.output() {
            Ok(output) => Some((output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())),
            Err(error) => {
                assert!(std::env::var("CI").as_deref() != Ok("true"), "CI needs python3: {error}");
                eprintln!("SKIPPED, LOUDLY: python3 is missing: {error}");
                None
            }
        }
    }

    #[test]
    fn the_project_passes_its_own_tests_and_the_mistake_fails_them() {
        for objective in ["Build a REST API for a blog", "Build it", "an inventory", "a shop with quotes: \"'"] {
            let Some((passed, output)) = run_project(objective, "CREATED") else {
                return;
            };
            assert!(passed, "{objective}: {output}");
        }
        let Some((passed, output)) = run_project("Build a REST API for a blog", "OK") else {
            return;
        };
        assert!(!passed && output.contains("FAIL: test_create_answers_201_with_the_new_post"), "{output}");
    }
}
