//! The demo backend: writes the service with one mistake, reads what its validator found, and fixes it.

use serde_json::Value;

use super::{
    scene::{Scene, bare, read, run, write},
    template::{self, fill},
};
use crate::model::{AssistantMessage, say};

const SERVICE: &str = "backend/service.py";
const TESTS: &str = "tests/test_backend.py";
const TEST_COMMAND: &str = "python3 -m unittest -v tests/test_backend.py";

pub(super) fn turn(scene: &Scene) -> AssistantMessage {
    if let Some(debug_info) = &scene.debug_info {
        return fix(scene, debug_info, scene.turn);
    }
    if scene.has_seen("list_files", SERVICE) {
        return go_on(scene);
    }
    first(scene)
}

/// The first attempt. It checks only that the service starts, which is its mistake.
fn first(scene: &Scene) -> AssistantMessage {
    match scene.turn {
        0 => scene.act(
            "I read the contract: it decides.",
            vec![bare("list_files"), read("plan.md"), read("contract.json")],
        ),
        1 => scene.act(
            &format!(
                "A service for {} with the standard library: nothing to install, and it starts at once.",
                scene.subject.plural
            ),
            vec![write(SERVICE, service(scene, "OK"))],
        ),
        2 => scene.act(
            "Now its tests: each drives the service through HTTP and compares with the contract.",
            vec![write(TESTS, fill(template::TEST_BACKEND, &scene.subject, &[]))],
        ),
        3 => scene.act(
            "A quick look whether it can be imported and started.",
            vec![run("python3 -c \"from backend.service import make_server; make_server().server_close(); print('it starts')\"")],
        ),
        _ => say("The service and its tests are written and the service starts. I think that it is done."),
    }
}

/// The attempt after the validator refused the work.
fn fix(scene: &Scene, debug_info: &Value, turn: usize) -> AssistantMessage {
    match turn {
        0 => {
            let failed: Vec<&str> =
                debug_info["failed_tests"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let failed = if failed.is_empty() { "its check".to_owned() } else { failed.join(", ") };
            let text =
                format!("I said done too early: the validator ran the tests, and {failed} failed. I read both sides.");
            scene.act(&text, vec![read(SERVICE), read(TESTS), read("contract.json")])
        }
        1 => {
            let text = "The contract wants 201 Created for POST and I answered 200 OK. The test is right, the service is wrong.";
            let mut calls = vec![write(SERVICE, service(scene, "CREATED"))];
            if debug_info.is_null() {
                // NOTE: a lost attempt may have ended before it wrote its tests.
                calls.push(write(TESTS, fill(template::TEST_BACKEND, &scene.subject, &[])));
            }
            scene.act(text, calls)
        }
        2 => scene.act("This time I run the tests myself.", vec![run(TEST_COMMAND)]),
        3 => scene.act("I read what they said.", vec![bare("read_test_output")]),
        _ => say(verdict(scene)),
    }
}

/// The workspace has a service already: the project is continued, or an earlier attempt was lost.
fn go_on(scene: &Scene) -> AssistantMessage {
    match scene.turn {
        1 => {
            scene.act("A service is there already. I build on it, and first see whether it holds.", vec![read(SERVICE)])
        }
        2 => scene.act("Its tests say more than I could guess.", vec![run(TEST_COMMAND)]),
        _ if scene.turn == 3 && scene.tests_passed() => {
            say("The service holds its contract; nothing had to be rewritten.")
        }
        turn => fix(scene, &Value::Null, turn - 3),
    }
}

fn service(scene: &Scene, created: &str) -> String {
    fill(template::SERVICE, &scene.subject, &[("CREATED", created)])
}

fn verdict(scene: &Scene) -> String {
    if scene.tests_passed() {
        "POST answers 201 now, and all tests of the backend pass.".to_owned()
    } else {
        "I changed what the validator found, but the tests do not all pass here: the output above says why.".to_owned()
    }
}
