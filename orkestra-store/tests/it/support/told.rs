//! What a child process was told is written, and whether it is there.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, Store};

use super::{fill, load};

/// What a store must hold.
#[derive(Default)]
pub(crate) struct Told {
    /// The last acknowledged position of each run.
    pub(crate) runs: BTreeMap<String, u64>,
    /// Letters that wait, by run, and those that are gone.
    waiting: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) gone: BTreeMap<String, BTreeSet<u64>>,
    /// Runs that are gone.
    deleted: BTreeSet<String>,
    /// The numbers of blobs that were kept, by run.
    kept: BTreeMap<String, BTreeSet<usize>>,
    /// The version of the counter.
    counted: u64,
}

impl Told {
    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            // A batch that is about to be written is for `history.rs`.
            ["opened"] | ["batch", ..] => {}
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
            ["kept", run, number] => {
                self.kept.entry(run.to_owned()).or_default().insert(number.parse().expect("a blob's number"));
            }
            ["counted", version] => self.counted = version.parse().expect("a version"),
            _ => panic!("the child says `{line}`"),
        }
    }

    pub(crate) async fn must_be_in(&self, store: &dyn Store, round: usize) {
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
        for (run, numbers) in &self.kept {
            let id = RunId::new(run).expect("a run's id");
            for number in numbers {
                let there = store.blob(&id, &format!("blob-{number}")).await.expect("it reads");
                let whole = there.as_deref() == Some(&fill::blob(*number));
                assert!(whole, "round {round}: blob {number} was kept for {run}, it is not there as it was written");
            }
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
