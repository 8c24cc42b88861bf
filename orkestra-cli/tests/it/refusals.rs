//! A command that fails prints an error, has its exit code, and changes nothing.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use super::support::{Done, LOCAL_DEMO, Place, done};

fn assert_refused(done: &Done, code: i32, parts: &[&str]) {
    assert_eq!(done.code, code, "{done:?}");
    assert!(done.out.is_empty(), "errors go to stderr: {done:?}");
    for part in parts {
        assert!(done.err.contains(part), "{part:?}: {done:?}");
    }
    assert!(!done.err.contains("panicked"), "{done:?}");
}

#[test]
fn an_invalid_command_line_prints_an_error() {
    let place = Place::new();
    for (arguments, parts) in [
        (&["run", ""][..], &["the objective is empty"][..]),
        (&["run", " \n"], &["the objective is empty"]),
        (&["run"], &["<OBJECTIVE>"]),
        (&["run", "x", "--tasks", "backend,devops"], &["no such agent: \"devops\"", "planner, backend, frontend, qa"]),
        (&["run", "x", "--budget", "5"], &["--budget is not supported yet"]),
        (&["run", "x", "--sandbox", "chroot"], &["chroot", "--sandbox", "docker:RUNTIME", "or local"]),
        (&["run", "x", "--sandbox", "docker:"], &["--sandbox", "docker:runsc"]),
        (&["run", "x", "--network", "internet"], &["--network", "none, registries, open"]),
        (&["run", "x", "--sandbox", "local", "--network", "registries"], &["--network", "use --sandbox docker"]),
        (&["run", "x", "--allow-host", "https://a.example/x"], &["--allow-host", "give a host such as"]),
        (&["run", "x", "--allow-host", "10.0.0.1"], &["--allow-host", "give a name"]),
        (&["run", "x", "--allow-host", "a.example", "--network", "open"], &["--allow-host", "--network registries"]),
        (&["run", "x", "--allow-host", "a.example", "--sandbox", "local"], &["--allow-host", "--sandbox docker"]),
        (&["walk", "x"], &["walk"]),
        (&[], &["Usage"]),
    ] {
        assert_refused(&place.done(arguments), 2, parts);
    }
    assert!(!place.path().join(".orkestra").exists(), "nothing was made");
    let project = [&["run", "x", "--project", "../up"], &LOCAL_DEMO[..]].concat();
    assert_refused(&place.done(&project), 2, &["invalid project id \"../up\""]);
    assert!(place.good(&["ls"]).out.is_empty(), "no run was made");
}

#[test]
fn the_server_mode_is_refused() {
    let place = Place::new();
    let refused = done(place.aios(&["ls"]).env("AIOS_API_URL", "http://127.0.0.1:8001"));
    assert_refused(&refused, 2, &["AIOS_API_URL", "unset it"]);
}

#[test]
fn a_model_without_its_key_is_refused_before_there_is_a_run() {
    let place = Place::new();
    let refused = place.done(&["run", "x", "--model", "gpt-4o", "--sandbox", "local"]);
    assert_refused(&refused, 1, &["OPENAI_API_KEY"]);
    assert!(place.good(&["ls"]).out.is_empty(), "no run was made");
}

#[test]
fn the_local_sandbox_needs_python() {
    let place = Place::new();
    let arguments = [&["run", "x"], &LOCAL_DEMO[..]].concat();
    let refused = done(place.aios(&arguments).env("PATH", place.path()));
    let expected = "aios: cannot run commands in the local sandbox: it needs python3, which is not on PATH; install it or use \
                    --sandbox docker\n";
    assert_refused(&refused, 1, &[expected]);
    assert!(!place.path().join(".orkestra").exists(), "nothing was made");
}

#[test]
fn a_damaged_store_is_left_as_it_is() {
    let place = Place::new();
    place.good(&[&["run", "Build a shop", "--tasks", "planner"], &LOCAL_DEMO[..]].concat());
    let log = place.path().join(".orkestra/store/wal.0");
    let whole = fs::read(&log).expect("the store has a log");
    let mut torn = whole.clone();
    torn[..512].fill(0x5a);
    fs::write(&log, &torn).expect("it can be written");
    let before = contents(&place.path().join(".orkestra/workspace"));
    for arguments in [&["ls"][..], &["resume"], &["run", "x", "--sandbox", "local"]] {
        assert_refused(&place.done(arguments), 1, &["damaged", ".orkestra/workspace", "move .orkestra/store away"]);
    }
    assert!(before.iter().any(|path| path.ends_with("plan.md")), "{before:?}");
    assert_eq!(contents(&place.path().join(".orkestra/workspace")), before, "no file came or went");
    fs::write(&log, &whole).expect("it can be written");
    assert!(place.good(&["ls"]).out.contains("completed"), "put back, it is whole");
}

fn contents(directory: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut left = vec![directory.to_owned()];
    while let Some(directory) = left.pop() {
        for entry in fs::read_dir(&directory).expect("it can be listed") {
            let path = entry.expect("it can be listed").path();
            found.push(path.display().to_string());
            if path.is_dir() {
                left.push(path);
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_named_like_the_data_directory_is_kept() {
    let place = Place::new();
    fs::write(place.path().join(".orkestra"), "mine").expect("it can be written");
    for arguments in [&["ls"][..], &["run", "x", "--sandbox", "local"]] {
        assert_refused(&place.done(arguments), 1, &[".orkestra"]);
    }
    assert_eq!(fs::read_to_string(place.path().join(".orkestra")).expect("it is there"), "mine");
}

#[test]
fn a_directory_without_permission_is_named() {
    let place = Place::new();
    let program = place.path().join("aios");
    fs::copy(env!("CARGO_BIN_EXE_aios"), &program).expect("the program can be copied");
    fs::set_permissions(place.path(), Permissions::from_mode(0o555)).expect("it is ours");
    let mut command = place.aios(&["run", "x", "--sandbox", "local"]);
    // Root may write everywhere, so the test then runs as user nobody, with a copy of the program that nobody can read.
    if fs::metadata(place.path()).is_ok_and(|_| fs::File::create(place.path().join("probe")).is_ok()) {
        let mut as_nobody = std::process::Command::new(&program);
        as_nobody.args(command.get_args()).current_dir(place.path()).uid(65_534).gid(65_534);
        command = as_nobody;
    }
    let refused = done(&mut command);
    fs::set_permissions(place.path(), Permissions::from_mode(0o755)).expect("it is ours");
    assert_refused(&refused, 1, &[".orkestra", "ermission"]);
}
