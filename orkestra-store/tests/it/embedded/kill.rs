//! A process that is killed at any moment loses nothing acknowledged and leaves nothing half-written.
//!
//! Long: `ORKESTRA_LONG=1 cargo test -p orkestra-store --test it kill` (nextest ends a test after three minutes).

use std::path::Path;

use orkestra_store::OpenReport;
use orkestra_testkit::Chance;

use crate::support::acknowledged::Acknowledged;
use crate::support::backend::{Backend, Options};
use crate::support::child::{ChildPart, command};
use crate::support::history::History;

/// Waits a random time without a clock.
fn wait_randomly(chance: &mut Chance) {
    for turn in 0..chance.below(4_000_000) {
        std::hint::black_box(turn);
    }
}

/// Truncates the newest snapshot of sled as a crash during its write would. Other backends have none.
fn tear_snapshot(directory: &Path, chance: &mut Chance) -> bool {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_snapshot = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // An unfinished one is removed, not moved aside.
        name.starts_with("snap.") && !name.ends_with(".generating")
    };
    let Some(newest) = paths.filter(is_snapshot).max() else {
        return false;
    };
    let file = std::fs::File::options().write(true).open(&newest).expect("the snapshot opens");
    let length = usize::try_from(file.metadata().expect("it has a length").len()).expect("it is small");
    file.set_len(chance.below(length.max(1)) as u64).expect("it can be cut");
    true
}

/// Runs one child until it is killed. Returns what it reported.
fn storm(store: [&str; 3], seed: u64, chance: &mut Chance) -> Vec<String> {
    let mut child = ChildPart::start(command(&[], "storm", &[&store[..], &[&seed.to_string()]].concat()));
    let most = if chance.one_in(10) { 0 } else { chance.below(1_500) };
    let mut said = Vec::new();
    while said.len() < most {
        let Some(line) = child.next() else { break };
        said.push(line);
    }
    wait_randomly(chance);
    child.kill();
    // Reports from before the kill count as well.
    said.extend(std::iter::from_fn(|| child.next()));
    child.child.wait().expect("it has ended");
    said
}

async fn killed(backend: Backend, durability: &str) {
    let rounds = if std::env::var_os("ORKESTRA_LONG").is_some() { 200 } else { 5 };
    let directory = tempfile::tempdir().expect("a directory for a test");
    let path = directory.path().join("store");
    let text = path.to_str().expect("a plain path");
    let (mut chance, mut acknowledged, mut history, mut heard) =
        (Chance::new(20), Acknowledged::default(), History::default(), 0);
    for round in 0..rounds {
        for line in storm([&backend.name(), text, durability], round as u64, &mut chance) {
            acknowledged.hear(&line);
            history.hear(&line);
            heard += 1;
        }
        if !path.exists() {
            continue;
        }
        let torn = chance.one_in(3) && tear_snapshot(&path, &mut chance);
        let store = backend.open_with(&path, Options { check: true, ..Options::default() });
        let store = store.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let report: &OpenReport = store.report();
        assert_eq!(!report.set_aside.is_empty(), torn, "round {round}: {report:?}");
        acknowledged.must_be_in(&*store, round).await;
        let seen = history.see(&*store).await.unwrap_or_else(|error| panic!("round {round}: {error}"));
        assert_eq!(history.missing(&seen), Ok(Vec::new()), "round {round}");
    }
    let runs = acknowledged.runs.len();
    assert!(!acknowledged.gone.is_empty(), "no letter was taken");
    assert!(heard > 10 * rounds && runs > 5, "only {heard} reports about {runs} runs");
    println!("{rounds} kills, {heard} acknowledgements, {runs} runs: all there");
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_with_fsync() {
    killed(Backend::Sled, "fsync").await;
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_for_the_process() {
    killed(Backend::Sled, "process").await;
}

#[cfg(feature = "fjall")]
#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_with_fsync_in_fjall() {
    killed(Backend::Fjall, "fsync").await;
}

#[cfg(feature = "fjall")]
#[tokio::test]
async fn a_killed_process_loses_nothing_acknowledged_for_the_process_in_fjall() {
    killed(Backend::Fjall, "process").await;
}
