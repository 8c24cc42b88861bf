//! This test binary, run again as another process: to be killed, to be traced, to be another user.
//!
//! A test calls [`command`] with the name of a part; the process plays it in [`child_process_entry_point`] and tells what
//! happens line by line.

use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use super::{fill, parts};

const PART: &str = "ORKESTRA_TEST_PART";

/// Not a test of its own: what a child process does. Without a part to play there is nothing to do.
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
        other => panic!("`{other}` is no part"),
    }
}

/// The command that plays `part` in another process. `before` comes first: `strace -f`, `setpriv …`.
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

/// A process that plays a part, and what it says.
pub(crate) struct Playing {
    pub(crate) child: Child,
    lines: io::Lines<BufReader<ChildStdout>>,
}

impl Playing {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stderr(Stdio::inherit()).spawn().expect("the child process starts");
        let lines = BufReader::new(child.stdout.take().expect("its output is piped")).lines();
        Self { child, lines }
    }

    /// The next thing it says; `None` when it has ended.
    pub(crate) fn next(&mut self) -> Option<String> {
        self.lines.by_ref().map_while(Result::ok).find_map(|line| said(&line))
    }

    /// Kills it as nothing else would: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("the child can be killed");
    }
}

/// What a line of a child says, if it says anything. What libtest prints goes before it. A line that a kill has cut has no end
/// mark.
pub(crate) fn said(line: &str) -> Option<String> {
    Some(line.split_once("> ")?.1.strip_suffix(" <")?.to_owned())
}

/// Says something to the parent.
pub(crate) fn tell(what: impl std::fmt::Display) {
    println!("> {what} <");
}

/// Runs to its end, and gives what it said.
pub(crate) fn run(mut command: Command) -> Vec<String> {
    let output = command.stdin(Stdio::null()).output().expect("the child process starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "the child failed: {}\n{text}\n{errors}", output.status);
    text.lines().filter_map(said).collect()
}

/// Whether `program` is there. Without it a test is skipped loudly, and in CI it fails.
pub(crate) fn have(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| is_program(&directory.join(program))));
    if !found {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "`{program}` is missing, and this is CI");
        eprintln!("\n=== SKIPPED: `{program}` is missing, this test shows nothing ===\n");
    }
    found
}

fn is_program(path: &Path) -> bool {
    path.is_file()
}
