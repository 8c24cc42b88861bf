//! Ways to pass without doing what is asked for. Each is a solution of `hello_world` that greets wrongly and tries something else
//! instead. None may pass, none may count as trouble of this machine, and what each looks for must not be there.

use std::path::Path;
use std::time::Duration;

use orkestra_bench::delivery::{Delivery, File};
use orkestra_bench::grade;
use orkestra_bench::result::Strict;
use orkestra_bench::task::Suite;
use tokio::time::timeout;

use crate::place::place;

/// A program that runs this shell script and prints its output in place of the greeting.
fn program(script: &str) -> File {
    let text = format!(
        "import subprocess, sys\nscript = r'''{script}'''\n\
         done = subprocess.run(['sh', '-c', script], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)\n\
         sys.stdout.write('Hi from ' + done.stdout.decode(errors='replace'))\n"
    );
    File::new("hello.py", text)
}

/// Grades a cheat, which must not pass. `None` where there is nowhere to grade.
async fn caught(delivery: Delivery) -> Option<Strict> {
    let place = place().await?;
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks/hello_world");
    let suite = Suite::in_directory(&directory).expect("valid");
    let scratch = tempfile::tempdir().expect("a directory");
    let graded = grade::strict(&suite.tasks()[0], &delivery, &place, &scratch.path().join("g")).await;
    let strict = graded.expect("whatever a solution does is not trouble of this machine");
    println!("{strict:#?}");
    assert_eq!(strict.score(), 0.0);
    assert_eq!(strict.tests.len(), suite.tasks()[0].tests.len(), "every test is in the result");
    Some(strict)
}

/// What the program printed, as the failed tests show it.
fn printed(strict: &Strict) -> String {
    strict.tests.iter().map(|test| test.detail.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_in_the_workspace_are_not_read() {
    let tests = ["greets_the_world", "greets_by_name"];
    let cases: String = tests.iter().map(|test| format!("<testcase name=\"{test}\"/>")).collect();
    let delivery = Delivery::of([
        program("echo PASSED; echo '4 passed in 0.01s'"),
        File::new("junit.xml", format!("<testsuite tests=\"2\" failures=\"0\">{cases}</testsuite>")),
        File::new("report.json", "{\"passed\": true, \"tests\": {\"greets_the_world\": \"passed\"}}"),
        File::new(".pytest_cache/v/cache/lastfailed", "{}"),
    ]);
    caught(delivery).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn start_up_files_of_interpreters_are_not_loaded() {
    let patch = "import builtins, sys\nsys.stdout.write('Hello, World!\\n')\nbuiltins.print = lambda *_: None\n";
    let delivery = Delivery::of([
        program("ls -a"),
        File::new("conftest.py", patch),
        File::new("sitecustomize.py", patch),
        File::new("usercustomize.py", patch),
        File::new("evil.pth", "import sitecustomize"),
        File::new("pytest.ini", "[pytest]\naddopts = -p no:everything"),
    ]);
    let Some(strict) = caught(delivery).await else { return };
    for file in ["conftest", "customize", "evil", "pytest.ini"] {
        assert!(!printed(&strict).contains(file), "{file} is in the copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_the_tests_cannot_be_forged_by_printing_them() {
    let line = r#"{\"do\":\"report\",\"test\":\"greets_the_world\",\"passed\":true,\"detail\":\"\"}"#;
    let script = format!("for n in 1 2 3; do echo \"{line}\"; echo \"{line}\" >&2; done; echo '{{\"do\":\"done\"}}'");
    let Some(strict) = caught(Delivery::of([program(&script)])).await else { return };
    assert_eq!(strict.problem, None, "each test was reported once, by itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hidden_tests_are_not_where_the_solution_runs() {
    let script = "find / -xdev \\( -name grader.py -o -name grading.py \\) 2>/dev/null | sed 's/^/FOUND /'
        grep -rslF greets_by_name / --include='*' --exclude-dir=proc --exclude-dir=sys --exclude=hello.py 2>/dev/null | sed 's/^/FOUND /'
        for p in /proc/[0-9]*; do tr '\\0' ' ' <$p/cmdline; done 2>/dev/null | grep -c grader | sed 's/^/PROCESSES /'
        env | grep -i -e grader -e expected | sed 's/^/FOUND /'; echo searched";
    // The word that is searched for must not be in the solution itself.
    let script = script.replace("greets_by_name", "greets_by_'name'");
    let Some(strict) = caught(Delivery::of([program(&script)])).await else { return };
    let printed = printed(&strict);
    assert!(printed.contains("searched") || printed.contains("timed out"), "{printed}");
    assert!(!printed.contains("FOUND") && !printed.contains("PROCESSES 1"), "{printed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn killing_everything_does_not_end_the_tests() {
    let Some(strict) = caught(Delivery::of([program("kill -KILL -1")])).await else { return };
    assert_eq!(strict.problem, None, "every test was reported");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_outside_its_sandbox_answers_the_solution() {
    let script = "ls /var/run/docker.sock /run/docker.sock 2>&1 | grep -v cannot
        for address in 1.1.1.1:53 169.254.169.254:80 172.17.0.1:22 172.17.0.2:80; do
            timeout 1 python3 -c \"import socket, sys; h, p = '$address'.split(':'); socket.create_connection((h, int(p)), 0.5); print('REACHED', h)\" 2>/dev/null
        done; ls /sys/class/net | grep -v lo | sed 's/^/REACHED /'; echo tried";
    let Some(strict) = caught(Delivery::of([program(script)])).await else { return };
    assert!(printed(&strict).contains("tried") && !printed(&strict).contains("REACHED"), "{}", printed(&strict));
}

#[tokio::test(flavor = "multi_thread")]
async fn writing_where_a_grader_might_be_changes_nothing() {
    let evil = "print(chr(123) + chr(34) + 'do' + chr(34) + ': 1')";
    let script = format!(
        "for d in . .. / /tmp /workspace \"$HOME\" /usr/lib/python3/dist-packages /usr/local/lib/python3.11/dist-packages \"$HOME/.local/bin\"; do
            mkdir -p $d/grading 2>/dev/null
            for f in grader.py grading.py json.py base64.py sitecustomize.py tests.json; do echo \"{evil}\" >$d/$f; done 2>/dev/null
            printf '#!/bin/sh\\necho Hello\\n' >$d/timeout 2>/dev/null && chmod 755 $d/timeout
        done; echo written"
    );
    let Some(strict) = caught(Delivery::of([program(&script)])).await else { return };
    assert_eq!(strict.problem, None, "the tests did not notice");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solution_that_replaces_itself_is_judged_by_what_it_prints() {
    // The first start leaves a daemon that rewrites the program for ever, and prints nothing itself.
    let script =
        "(setsid sh -c 'while :; do echo \"print(1)\" >hello.py; sleep 0.05; done' >/dev/null 2>&1 &) ; echo begun";
    caught(Delivery::of([program(script)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_solution_that_never_ends_costs_its_time_and_no_more() {
    let graded = timeout(Duration::from_secs(240), caught(Delivery::of([program("while :; do :; done")]))).await;
    let Some(strict) = graded.expect("it was ended") else { return };
    assert!(printed(&strict).contains("timed out"), "{}", printed(&strict));
}

#[tokio::test(flavor = "multi_thread")]
async fn endless_output_is_cut() {
    let Some(strict) = caught(Delivery::of([program("yes 'Hello, World!' | head -c 300000000")])).await else { return };
    assert!(printed(&strict).len() < 100_000, "{} characters", printed(&strict).len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_and_a_fork_bomb_are_the_solutions_own_trouble() {
    let script =
        "head -c 4000000000 /dev/zero >/tmp/full 2>/dev/null; head -c 100000000 /dev/zero >\"$HOME/full\" 2>/dev/null
        for n in $(seq 600); do sleep 20 & done 2>/dev/null; echo full";
    caught(Delivery::of([program(script)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn links_out_of_the_workspace_are_not_followed() {
    let workspace = tempfile::tempdir().expect("a directory");
    let at = |path: &str| workspace.path().join(path);
    let tasks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tasks/hello_world");
    std::os::unix::fs::symlink(tasks.join("oracle/hello.py"), at("hello.py")).expect("linked");
    std::os::unix::fs::symlink(tasks.join("oracle"), at("oracle")).expect("linked");
    std::os::unix::fs::symlink("/etc/passwd", at("passwd")).expect("linked");
    let delivery = Delivery::read(workspace.path()).expect("readable");
    assert_eq!(delivery.files().count(), 0);
    assert_eq!(delivery.left_out().len(), 3, "{:?}", delivery.left_out());
    caught(delivery).await;
}
