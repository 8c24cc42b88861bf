//! The demo frontend: a page, its script, and a test that both fit the contract.

use super::{
    scene::{Scene, bare, read, run, write},
    template::{self, fill},
};
use crate::model::{AssistantMessage, say};

const SCRIPT: &str = "frontend/app.js";
const TEST_COMMAND: &str = "python3 -m unittest -v tests/test_frontend.py";

pub(super) fn turn(scene: &Scene) -> AssistantMessage {
    let exists = scene.debug_info.is_none() && scene.has_seen("list_files", SCRIPT);
    match (exists, scene.turn) {
        (_, 0) => scene.act(
            "I read the contract: the page may call nothing else.",
            vec![bare("list_files"), read("contract.json")],
        ),
        (true, 1) => scene.act("The page is there already: I only check it.", vec![run(TEST_COMMAND)]),
        (true, _) => say(verdict(scene)),
        (false, 1) => scene.act(
            "The page: one form, one list, no build step.",
            vec![write("frontend/index.html", fill(template::PAGE, &scene.subject, &[]))],
        ),
        (false, 2) => scene.act(
            "Its script talks to the endpoints of the contract and shows the errors that they answer.",
            vec![write(SCRIPT, fill(template::SCRIPT, &scene.subject, &[]))],
        ),
        (false, 3) => scene.act(
            "A check that page, script and contract fit together, for the backend may not be ready yet.",
            vec![write("tests/test_frontend.py", fill(template::TEST_FRONTEND, &scene.subject, &[]))],
        ),
        (false, 4) => scene.act("I run it.", vec![run(TEST_COMMAND)]),
        (false, _) => say(verdict(scene)),
    }
}

fn verdict(scene: &Scene) -> String {
    if scene.tests_passed() {
        "The page calls only endpoints of the contract, and its checks pass.".to_owned()
    } else {
        "The page is written, but its checks do not pass here: the output above says why.".to_owned()
    }
}
