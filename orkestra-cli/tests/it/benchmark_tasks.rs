//! Tasks of the user's own, and requests that are refused.

use std::fs;
use std::path::{Path, PathBuf};

use orkestra_bench::task::Suite;

use super::benchmark::{has_docker, is_solved, read_result, trials};
use super::benchmark_endpoint::Endpoint;
use super::support::Place;

const TASK: &str = r#"
title = "Shout"
difficulty = "trivial"
objective = "The file greeting.txt has a line. Write shout.txt: the same line in capital letters."

[[checks]]
type = "file_exists"
path = "shout.txt"

[[checks]]
type = "file_contains"
path = "shout.txt"
pattern = '^[A-Z ]+'

[strict]
tests = ["shouts"]

[[wrong]]
name = "lower"
why = "it copies the line"

[[wrong]]
name = "missing"
why = "it has no file"
removed = ["shout.txt"]

[[wrong]]
name = "fake"
why = "it shouts something else"
base = "empty"
text_only = true
"#;

const GRADER: &str = r#"
from grading import main, program, test


@test
def shouts():
    assert program.read("shout.txt") == program.read("greeting.txt").upper(), program.files()


main()
"#;

/// A directory of tasks below `place`.
struct Tasks {
    directory: PathBuf,
}

impl Tasks {
    fn new(place: &Place) -> Self {
        Self { directory: place.path().join("tasks") }
    }

    /// A good task of this name.
    fn add(&self, name: &str) -> &Self {
        self.write(name, "task.toml", TASK).write(name, "grader.py", GRADER).write(
            name,
            "start/greeting.txt",
            "hello\n",
        );
        self.write(name, "oracle/shout.txt", "HELLO\n").write(name, "wrong/lower/shout.txt", "hello\n");
        self.write(name, "wrong/fake/shout.txt", "GOOD MORNING\n")
    }

    fn write(&self, name: &str, path: &str, content: &str) -> &Self {
        let path = self.directory.join(name).join(path);
        fs::create_dir_all(path.parent().expect("it has one")).expect("made");
        fs::write(path, content).expect("written");
        self
    }

    /// Replaces a text of the definition.
    fn replace(&self, name: &str, old: &str, new: &str) -> &Self {
        assert!(TASK.contains(old), "{old}");
        self.write(name, "task.toml", &TASK.replace(old, new))
    }
}

#[test]
fn own_tasks_are_listed_and_proved() {
    let place = Place::new();
    Tasks::new(&place).add("shout").add("shout-again");
    let list = place.good(&["benchmark", "--list", "--tasks-dir", "tasks"]).out;
    assert_eq!(list, "shout        trivial  Shout\nshout-again  trivial  Shout\n");
    let done = place.good(&["benchmark", "check", "tasks/shout", "--grade-locally"]);
    assert!(done.out.contains("5 solutions of 1 tasks are judged as they should be"), "{done:?}");
    let built_in = place.good(&["benchmark", "--list"]).out;
    assert_eq!(built_in.lines().count(), 10, "{built_in}");
    assert!(built_in.contains("hello_world") && built_in.contains("docker_compose"), "{built_in}");
}

#[test]
fn a_task_that_judges_wrongly_is_found() {
    let place = Place::new();
    let tasks = Tasks::new(&place);
    tasks.add("a-oracle").write("a-oracle", "oracle/shout.txt", "HELO\n");
    tasks.add("b-wrong").write("b-wrong", "wrong/lower/shout.txt", "HELLO\n");
    tasks.add("c-text").write("c-text", "wrong/fake/shout.txt", "1\n");
    let done = place.done(&["benchmark", "check", "tasks", "--grade-locally"]);
    assert_eq!(done.code, 1, "{done:?}");
    for text in [
        "the oracle does not pass the hidden tests",
        "the hidden tests do not find what is wrong with it",
        "it is made for the text checks, but has 5.0 points",
    ] {
        assert_eq!(done.out.matches(text).count(), 1, "{text}: {done:?}");
    }
    assert!(done.err.contains("3 of 15 solutions are not judged as they should be"), "{done:?}");
}

#[test]
fn everything_that_is_wrong_with_tasks_is_named_at_once() {
    let place = Place::new();
    let tasks = Tasks::new(&place);
    tasks.add("good").add("toml").write("toml", "task.toml", "title = \n");
    tasks.add("field").replace("field", "title =", "colour = \"red\"\ntitle =");
    tasks.add("pattern").replace("pattern", "'^[A-Z ]+'", "'^[A-Z '");
    let wrong = tasks.add("several").replace("several", "tests = [\"shouts\"]", "tests = [\"shouts\", \"whispers\"]");
    wrong.write("several", "wrong/unknown/shout.txt", "?\n");
    for arguments in [
        &["benchmark", "check", "tasks"][..],
        &["benchmark", "--list", "--tasks-dir", "tasks"],
        &["benchmark", "--tasks-dir", "tasks", "--model", "demo", "--out", "out"],
    ] {
        let done = place.done(arguments);
        assert_eq!((done.code, done.out.as_str()), (2, ""), "{done:?}");
        for text in [
            "task toml: task.toml: ",
            "task field: task.toml: ",
            "unknown field `colour`",
            "task pattern: ",
            "invalid pattern \"^[A-Z \"",
            "task several: ",
            "strict.tests has whispers, which grader.py does not define",
            "wrong/unknown/shout.txt belongs to no [[wrong]] solution",
        ] {
            assert!(done.err.contains(text), "{text}: {done:?}");
        }
        assert!(!done.err.contains("task good"), "{done:?}");
    }
    assert!(!place.path().join("out").exists(), "nothing was created");
}

#[test]
fn own_tasks_are_worked_on_and_must_not_change_meanwhile() {
    if !has_docker() {
        return;
    }
    let place = Place::new();
    let tasks = Tasks::new(&place);
    tasks.add("shout");
    let endpoint = Endpoint::start(&Suite::in_directory(&tasks.directory).expect("valid"));
    endpoint.refuse_key(true);
    let url = endpoint.url();
    let model = ["--base-url", &url, "--model", "scripted"];
    let done = place.done(&[&["benchmark", "--tasks-dir", "tasks", "--out", "out"], &model[..]].concat());
    assert_eq!(done.code, 1, "{done:?}");
    endpoint.refuse_key(false);

    tasks.write("shout", "grader.py", &format!("{GRADER}# changed\n"));
    let done = place.done(&["benchmark", "resume", "out"]);
    assert_eq!(done.code, 1, "{done:?}");
    assert!(done.err.contains("the task shout") && done.err.contains("was changed since"), "{done:?}");
    fs::rename(place.path().join("tasks"), place.path().join("elsewhere")).expect("renamed");
    let done = place.done(&["benchmark", "resume", "out"]);
    assert_eq!(done.code, 2, "{done:?}");
    assert!(done.err.contains("tasks: cannot read the directory"), "{done:?}");
    assert_eq!(endpoint.asked().len(), 1, "nobody worked");

    fs::rename(place.path().join("elsewhere"), place.path().join("tasks")).expect("renamed");
    tasks.add("shout");
    place.good(&["benchmark", "resume", "out"]);
    let result = read_result(&place.path().join("out"));
    let [(_, trial)] = trials(&result)[..] else { panic!("one trial: {result:#}") };
    assert!(is_solved(trial), "{trial:#}");
    let changes = trial["changes"].as_array().expect("an array");
    let changed: Vec<&str> = changes.iter().filter_map(|change| change["path"].as_str()).collect();
    assert!(changed.contains(&"shout.txt") && !changed.contains(&"greeting.txt"), "{changed:?}");
}

#[test]
fn a_wrong_request_is_refused() {
    let place = Place::new();
    let full: &Path = &place.path().join("full");
    fs::create_dir(full).expect("made");
    fs::write(full.join("file"), "").expect("written");
    for (arguments, code, parts) in [
        (&["--trials", "0"][..], 2, &["--trials", "0"][..]),
        (&["--jobs", "0"], 2, &["--jobs"]),
        (&["--trials", "1000"], 2, &["10 tasks with 1000 trials each", "1 to 2000"]),
        (
            &["--tasks", "hello_world,hello_moon"],
            2,
            &["no such task: hello_moon", "the tasks are hello_world, calculator"],
        ),
        (&["--agent", "aider"], 2, &["--agent needs --base-url"]),
        (&["--agent", "aider", "--base-url", "http://127.0.0.1:9/v1"], 2, &["--agent needs --model"]),
        (&["--agent-image", "x"], 2, &["--agent"]),
        (&["--tasks-dir", "nowhere"], 2, &["nowhere", "cannot read the directory"]),
        (&["--tasks-dir", "full"], 2, &["full", "no tasks found", "task.toml"]),
        (&["resume"], 2, &["no benchmark was found in .orkestra/benchmark"]),
        (&["resume", "nowhere"], 2, &["no benchmark was found in nowhere"]),
        (&["resume", "full"], 2, &["no benchmark was found in full", "settings.json"]),
        (&["report", "nowhere"], 2, &["nowhere"]),
        (&["compare", "full", "full"], 2, &["result.json"]),
        (&["check", "nowhere"], 2, &["nowhere", "cannot read the directory"]),
        (&["check", "--tasks", "x"], 2, &["no such task: x"]),
        (&["resume", "full", "--trials", "3"], 2, &["--trials"]),
    ] {
        let done = place.done(&[&["benchmark"], arguments].concat());
        assert_eq!((done.code, done.out.as_str()), (code, ""), "{arguments:?}: {done:?}");
        for part in parts {
            assert!(done.err.contains(part), "{part:?}: {done:?}");
        }
    }
    if has_docker() {
        let done = place.done(&["benchmark", "--model", "demo", "--out", "full"]);
        assert_eq!(done.code, 2, "{done:?}");
        assert!(done.err.contains("full is not empty; use another directory"), "{done:?}");
    }
    let left: Vec<_> = fs::read_dir(place.path()).expect("read").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left, ["full"], "nothing was created");
}
