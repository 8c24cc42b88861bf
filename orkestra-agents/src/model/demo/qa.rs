//! The demo qa: writes an end-to-end test, runs all tests, and reports their real results.

use super::{
    scene::{Scene, bare, read, run, write},
    template::{self, fill},
};
use crate::model::{AssistantMessage, say};

const TEST_COMMAND: &str = "python3 -m unittest discover -s tests -v";
/// The lines of output in the report, counted from the end.
const OUTPUT_LINES: usize = 40;

pub(super) fn turn(scene: &Scene) -> AssistantMessage {
    match scene.turn {
        0 => scene.act("I look at what the others left.", vec![bare("list_files"), read("contract.json")]),
        1 if scene.has_seen("list_files", "backend/service.py") => scene.act(
            "I test the whole as a user would: a real server on a free port, driven over HTTP.",
            vec![write("tests/test_end_to_end.py", fill(template::TEST_END_TO_END, &scene.subject, &[]))],
        ),
        1 => scene.act(
            "There is no service in this run to drive. I check that the contract agrees with itself.",
            vec![write("tests/test_contract.py", fill(template::TEST_CONTRACT, &scene.subject, &[]))],
        ),
        2 => scene.act("Everything together.", vec![run(TEST_COMMAND)]),
        3 => scene.act("I read what came out before I write it down.", vec![bare("read_test_output")]),
        4 => scene.act("The report says what the tests said.", vec![write("qa_report.md", report(scene))]),
        _ => say(format!("Tested: {}. The report is in qa_report.md.", result(scene))),
    }
}

fn result(scene: &Scene) -> &'static str {
    if scene.tests_passed() { "all tests pass" } else { "not all tests pass" }
}

fn report(scene: &Scene) -> String {
    let lines: Vec<&str> = scene.last_answer("run_command").lines().collect();
    let output = lines[lines.len().saturating_sub(OUTPUT_LINES)..].join("\n");
    fill(template::REPORT, &scene.subject, &[("COMMAND", TEST_COMMAND), ("RESULT", result(scene)), ("OUTPUT", &output)])
}
