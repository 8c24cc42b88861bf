//! The part of a process that opens what a power failure has left, and reports what is wrong with it.

use std::path::Path;
use std::process::Output;

use orkestra_testkit::sample::SampleRun;

use crate::support::acknowledged::Acknowledged;
use crate::support::backend::{Backend, Options};
use crate::support::child::{command, parse_report, report_line};

use super::disk::text;

/// The verdict on a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Whole,
    /// Something acknowledged is missing, or something deleted exists.
    Lost,
    /// It does not open.
    Refused,
    /// The process that opened it panicked or hung.
    Died,
}

/// `judge <backend> <path> <file of reports> <whether to write>`: opens the store, compares it with the reports, writes
/// to it if requested, and reports `whole`, or `refused` or `lost` with a reason.
pub(super) async fn judge(words: &[&str]) {
    let (backend, path) = (Backend::named(words[0]), Path::new(words[1]));
    let lines = std::fs::read_to_string(words[2]).expect("the reports exist");
    let mut acknowledged = Acknowledged::default();
    lines.lines().for_each(|line| acknowledged.hear(line));
    let turns = if words[3] == "true" { 2 } else { 1 };
    for turn in 0..turns {
        // A store that was never completely opened may be created again.
        let store = match backend.open_with(path, Options { check: true, ..Options::default() }) {
            Ok(store) => store,
            Err(error) => return report_line(format!("refused {:?}: {}", error.kind(), line(&error.to_string()))),
        };
        if let Err(why) = acknowledged.compare(&*store).await {
            return report_line(format!("lost {}", line(&why)));
        }
        if turn + 1 < turns {
            let mut run = SampleRun::new("judge");
            store.delete(run.id()).await.expect("it deletes");
            assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
            assert_eq!(store.append(vec![run.report(9_000)]).await, [Ok(())]);
            acknowledged.hear(&format!("ack judge {}", run.last()));
        }
    }
    report_line("whole");
}

fn line(text: &str) -> String {
    text.replace('\n', " ")
}

/// Lets another process judge the store at `path`.
pub(super) fn judged(backend: Backend, path: &Path, acknowledged: &Path, go_on: bool) -> (Verdict, String) {
    // The time limit detects one that hangs.
    let words = [&backend.name(), text(path), text(acknowledged), &go_on.to_string()];
    let output = command(&["timeout", "--signal=KILL", "60"], "judge", &words).output().expect("a process starts");
    let lines = String::from_utf8_lossy(&output.stdout);
    let verdict = lines.lines().filter_map(parse_report).next_back().unwrap_or_default();
    match verdict.split_once(' ') {
        None if verdict == "whole" && output.status.success() => (Verdict::Whole, String::new()),
        Some(("refused", why)) => (Verdict::Refused, why.to_owned()),
        Some(("lost", why)) => (Verdict::Lost, why.to_owned()),
        _ => (Verdict::Died, last_words(&output)),
    }
}

fn last_words(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<_> = errors.lines().filter(|line| !line.trim().is_empty()).take(6).collect();
    format!("{}: {}", output.status, lines.join(" | "))
}
