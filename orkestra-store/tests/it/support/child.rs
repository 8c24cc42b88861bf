//! Runs this test binary again as another process: to be killed, traced, or run as another user.
//!
//! A test calls [`command`] with the name of a part. The process plays the part in [`child_process_entry_point`] and
//! reports line by line.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{fill, parts};

const PART: &str = "ORKESTRA_TEST_PART";

/// Not a test of its own: the entry point of child processes. It does nothing when no part is set.
#[tokio::test]
async fn child_process_entry_point() {
    let Ok(words) = std::env::var(PART) else { return };
    let words: Vec<_> = words.split('\n').collect();
    let (part, words) = words.split_first().expect("a part has a name");
    match *part {
        "open" => parts::open(words),
        "hold" => parts::hold(words),
        "write" => parts::write(words).await,
        "storm" => parts::storm(words).await,
        "rounds" => parts::rounds(words).await,
        #[cfg(target_os = "linux")]
        "power" => crate::replay::play(words).await,
        #[cfg(all(feature = "postgres", unix))]
        "worker" => crate::postgres::work(words).await,
        "fill" => fill::fill(words).await,
        #[cfg(target_os = "linux")]
        "churn" | "judge" | "cut" | "churn-postgres" | "cut-postgres" => crate::power::play(part, words).await,
        other => panic!("unknown part `{other}`"),
    }
}

/// The command that plays `part` in another process. `before` is a prefix such as `strace -f` or `setpriv …`.
pub(crate) fn command(before: &[&str], part: &str, words: &[&str]) -> Command {
    let binary = std::env::current_exe().expect("a test knows its binary");
    let test = ["support::child::child_process_entry_point", "--exact", "--nocapture", "--test-threads=1"];
    let mut command = match before.split_first() {
        Some((first, rest)) => {
            let mut command = Command::new(first);
            command.args(rest).arg(binary);
            command
        }
        None => Command::new(binary),
    };
    let words = [&[part], words].concat().join("\n");
    command.args(test).env(PART, words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// A process that plays a part, and its output.
pub(crate) struct ChildPart {
    pub(crate) child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl ChildPart {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the child process starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        Self { child, lines }
    }

    /// The next report; `None` when the process has ended.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| parse_report(&line))
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
    }
}

/// The report in a line of a child's output, if there is one. libtest may print before it. A line truncated by a kill
/// has no end mark.
pub(crate) fn parse_report(line: &str) -> Option<String> {
    Some(line.split_once("> ")?.1.strip_suffix(" <")?.to_owned())
}

/// Reports to the parent.
pub(crate) fn report_line(what: impl std::fmt::Display) {
    println!("> {what} <");
}

/// Runs a child to its end. Returns its reports.
pub(crate) fn run(mut command: Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).output().expect("the child process starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed: {}\n{text}\n{errors}", output.status);
    text.lines().filter_map(parse_report).collect()
}

/// Whether `program` is installed. Without it a test is skipped with a note, and fails in CI.
pub(crate) fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| is_program(&directory.join(program))));
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "`{program}` is missing in CI");
        eprintln!("\n=== SKIPPED: `{program}` is missing, this test shows nothing ===\n");
    }
    found
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
