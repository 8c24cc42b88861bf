//! The tree on a terminal. Python's `pty` module provides the terminal: the sandbox of these tests needs Python anyway.

use std::process::{Command, Stdio};

use super::support::{LOCAL_DEMO, Place, done};

const TERMINAL: &str = "import os, pty, sys; sys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";

#[test]
fn a_terminal_shows_a_tree() {
    let place = Place::new();
    let arguments = [&["run", "Build a shop", "--tasks", "backend"], &LOCAL_DEMO[..]].concat();
    let aios = place.aios(&arguments);
    let mut command = Command::new("python3");
    command.args(["-c", TERMINAL]).arg(aios.get_program()).args(aios.get_args());
    command.current_dir(place.path()).stdin(Stdio::null()).env("TERM", "xterm-256color");
    for (name, value) in aios.get_envs().filter(|(name, _)| *name != "TERM") {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let shown = done(&mut command);
    assert_eq!(shown.code, 0, "{shown:?}");
    for part in [
        "└ backend",
        "waits for planner",
        "✔ └ backend",
        "(2 attempts)",
        "VALIDATION FAILED on attempt 1",
        "failed test:",
        "+ backend/service.py",
        "Run the tests by hand",
        "\u{1b}[",
    ] {
        assert!(shown.out.contains(part), "{part:?}: {}", shown.out);
    }
}
