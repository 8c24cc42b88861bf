//! A process that is killed at any moment loses nothing that it was told is written, and leaves nothing half-written.
//!
//! Long: `ORKESTRA_LONG=1 cargo test -p orkestra-store --test it kill` (nextest ends a test after three minutes).

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, Store};
use orkestra_store::OpenReport;
use orkestra_testkit::Chance;

use crate::support::backend::{Backend, Options};
use crate::support::child::{Playing, command};
use crate::support::load;

/// What a store must hold.
#[derive(Default)]
struct Told {
    /// The last acknowledged position of each run.
    runs: BTreeMap<String, u64>,
    /// Letters that wait, by run, and those that are gone.
    waiting: BTreeMap<String, BTreeSet<u64>>,
    gone: BTreeMap<String, BTreeSet<u64>>,
    /// Runs that are gone.
    deleted: BTreeSet<String>,
    /// The version of the counter.
    counted: u64,
}

impl Told {
    fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["opened"] => {}
            ["ack", run, last] => {
                self.runs.insert(run.to_owned(), last.parse().expect("a position"));
            }
            // It may be gone or not until the deletion is acknowledged.
            ["deleting", run] => {
                self.runs.remove(run);
                self.waiting.remove(run);
            }
            ["deleted", run] => {
                self.deleted.insert(run.to_owned());
            }
            ["sent", run, id] => {
                self.waiting.entry(run.to_owned()).or_default().insert(id.parse().expect("a letter's id"));
            }
            // As with runs: from here on it may be gone, and must be once that is told.
            ["taking", run, id] => {
                let id = id.parse().expect("a letter's id");
                self.waiting.entry(run.to_owned()).or_default().remove(&id);
            }
            ["gone", run, id] => {
                self.gone.entry(run.to_owned()).or_default().insert(id.parse().expect("a letter's id"));
            }
            ["counted", version] => self.counted = version.parse().expect("a version"),
            _ => panic!("the child says `{line}`"),
        }
    }

    async fn must_be_in(&self, store: &dyn Store, round: usize) {
        for (run, last) in &self.runs {
            let id = RunId::new(run).expect("a run's id");
            let there = load(store, &id).await.last();
            assert!(there >= Seq(*last), "round {round}: run {run} was acknowledged up to {last}, {there} is there");
        }
        for run in &self.deleted {
            let id = RunId::new(run).expect("a run's id");
            let journal = store.read(&id, Seq(1), 1).await.expect("it reads");
            let record = store.record(&id).await.expect("it reads");
            assert!(journal.is_empty() && record.is_none(), "round {round}: run {run} was deleted and is there again");
        }
        for (run, letters) in &self.waiting {
            let there = inbox(store, run).await;
            assert!(
                there.is_superset(letters),
                "round {round}: letters {letters:?} were sent to {run}, {there:?} are there"
            );
        }
        for (run, letters) in &self.gone {
            let there = inbox(store, run).await;
            assert!(
                there.is_disjoint(letters),
                "round {round}: letters {letters:?} of {run} were taken, {there:?} are there"
            );
        }
        let counter = store.get("counter").await.expect("it reads").map_or(0, |value| value.version);
        assert!(counter >= self.counted, "round {round}: counted to {}, {counter} is there", self.counted);
    }
}

/// The letters that wait for `run`.
async fn inbox(store: &dyn Store, run: &str) -> BTreeSet<u64> {
    let id = RunId::new(run).expect("a run's id");
    let letters = store.letters(&id, LetterId::ZERO, usize::MAX).await.expect("it reads");
    letters.into_iter().map(|letter| letter.id.0).collect()
}

/// Wastes a random while, without a clock.
fn dawdle(chance: &mut Chance) {
    for turn in 0..chance.below(4_000_000) {
        std::hint::black_box(turn);
    }
}

/// Cuts the newest snapshot of sled somewhere, as a crash while it was written would. Others have none.
fn tear_snapshot(directory: &Path, chance: &mut Chance) -> bool {
    let entries = std::fs::read_dir(directory).expect("the directory is there");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let is_snapshot = |path: &std::path::PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // One that is unfinished counts for nothing: it is removed, not put aside.
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

/// One life of a child. Gives the number of things it said.
fn storm(store: [&str; 3], seed: u64, chance: &mut Chance, told: &mut Told) -> usize {
    let mut child = Playing::start(command(&[], "storm", &[&store[..], &[&seed.to_string()]].concat()));
    let most = if chance.one_in(10) { 0 } else { chance.below(1_500) };
    let mut heard = 0;
    while heard < most {
        let Some(line) = child.next() else { break };
        told.hear(&line);
        heard += 1;
    }
    dawdle(chance);
    child.kill();
    // What it said before it was killed counts as well.
    while let Some(line) = child.next() {
        told.hear(&line);
        heard += 1;
    }
    child.child.wait().expect("it has ended");
    heard
}

async fn killed(backend: Backend, durability: &str) {
    let rounds = if std::env::var_os("ORKESTRA_LONG").is_some() { 200 } else { 5 };
    let directory = tempfile::tempdir().expect("a directory for a test");
    let path = directory.path().join("store");
    let text = path.to_str().expect("a plain path");
    let (mut chance, mut told, mut heard) = (Chance::new(20), Told::default(), 0);
    for round in 0..rounds {
        heard += storm([&backend.name(), text, durability], round as u64, &mut chance, &mut told);
        if !path.exists() {
            continue;
        }
        let torn = chance.one_in(3) && tear_snapshot(&path, &mut chance);
        let store = backend.open_with(&path, Options { check: true, ..Options::default() });
        let store = store.unwrap_or_else(|error| panic!("round {round}: {error}"));
        let report: &OpenReport = store.report();
        assert_eq!(!report.set_aside.is_empty(), torn, "round {round}: {report:?}");
        told.must_be_in(&*store, round).await;
    }
    let runs = told.runs.len();
    assert!(!told.gone.is_empty(), "no letter was taken");
    assert!(heard > 10 * rounds && runs > 5, "only {heard} things were told of {runs} runs");
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
