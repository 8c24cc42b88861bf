//! What a child process reported as acknowledged, compared with a store.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::model::{RunId, Seq, Timestamp};
use orkestra_core::store::{LetterId, Store, StoreError};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;

use super::fill;

/// What a store must contain.
#[derive(Default)]
pub(crate) struct Acknowledged {
    /// The last acknowledged position of each run.
    pub(crate) runs: BTreeMap<String, u64>,
    /// Whether letter ids of a recreated run start at 1 again, as in Postgres: then an id does not identify one life of
    /// the run.
    letters_begin_anew: bool,
    /// When a run was created, if it was reported. It tells a run from an earlier one with the same id.
    born: BTreeMap<String, u64>,
    /// Letters that wait, by run, and letters that were removed.
    waiting: BTreeMap<String, BTreeSet<u64>>,
    pub(crate) gone: BTreeMap<String, BTreeSet<u64>>,
    /// Letters and blobs of runs being deleted.
    leaving: BTreeMap<String, Leaving>,
    /// Deleted runs.
    deleted: BTreeSet<String>,
    /// The numbers of stored blobs, by run.
    kept: BTreeMap<String, BTreeSet<usize>>,
    /// Blobs that are overwritten repeatedly: the number in the newest one, by run and key.
    blobs: BTreeMap<(String, String), u64>,
    /// The number in the newest such blob that was deleted with its run.
    blobs_gone: BTreeMap<(String, String), u64>,
    /// The version of the counter.
    counted: u64,
    /// The number in each small value.
    values: BTreeMap<String, u64>,
}

/// What is deleted with a run.
#[derive(Default)]
struct Leaving {
    letters: BTreeSet<u64>,
    blobs: BTreeMap<(String, String), u64>,
}

impl Acknowledged {
    #[cfg(feature = "postgres")]
    pub(crate) fn where_letters_begin_anew() -> Self {
        Self { letters_begin_anew: true, ..Self::default() }
    }

    pub(crate) fn hear(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let number = |word: &str| word.parse::<u64>().unwrap_or_else(|_| panic!("unknown report `{line}`"));
        match words[..] {
            // A batch that is about to be written is for `history.rs`.
            ["opened"] | ["batch", ..] => {}
            ["ack", run, last] => {
                self.runs.insert(run.to_owned(), number(last));
            }
            // The run may be there or not until its first commit is acknowledged.
            ["creating", run, born] => {
                self.creating(run);
                self.born.insert(run.to_owned(), number(born));
            }
            // It may have been reported after a deletion that did not happen, so it is unknown which run is there.
            ["creating", run] => {
                self.creating(run);
                self.born.remove(run);
            }
            // The run may be gone or not until the deletion is acknowledged.
            ["deleting", run] => self.deleting(run),
            ["deleted", run] => self.deleted(run),
            ["sent", run, id] => {
                self.waiting.entry(run.to_owned()).or_default().insert(number(id));
            }
            // The letter may be gone from here on, and must be once that is reported.
            ["taking", run, id] => {
                self.waiting.entry(run.to_owned()).or_default().remove(&number(id));
            }
            ["gone", run, id] => {
                self.gone.entry(run.to_owned()).or_default().insert(number(id));
            }
            ["kept", run, number] => {
                self.kept.entry(run.to_owned()).or_default().insert(number.parse().expect("a blob's number"));
            }
            ["blob", run, key, stamp] => {
                self.blobs.insert((run.to_owned(), key.to_owned()), number(stamp));
            }
            ["counted", version] => self.counted = number(version),
            ["value", key, stamp] => {
                self.values.insert(key.to_owned(), number(stamp));
            }
            _ => panic!("unknown report `{line}`"),
        }
    }

    fn creating(&mut self, run: &str) {
        self.deleted.remove(run);
        if self.letters_begin_anew {
            self.gone.remove(run);
        }
    }

    fn deleting(&mut self, run: &str) {
        self.runs.remove(run);
        self.born.remove(run);
        self.kept.remove(run);
        let leaving = self.leaving.entry(run.to_owned()).or_default();
        leaving.letters.extend(self.waiting.remove(run).unwrap_or_default());
        leaving.blobs.extend(self.blobs.extract_if(.., |(of, _), _| of == run));
    }

    fn deleted(&mut self, run: &str) {
        self.deleted.insert(run.to_owned());
        let leaving = self.leaving.remove(run).unwrap_or_default();
        self.gone.entry(run.to_owned()).or_default().extend(leaving.letters);
        self.blobs_gone.extend(leaving.blobs);
    }

    pub(crate) async fn must_be_in(&self, store: &dyn Store, round: usize) {
        self.compare(store).await.unwrap_or_else(|why| panic!("round {round}: {why}"));
    }

    /// Describes the first thing that the store does not contain.
    pub(crate) async fn compare(&self, store: &dyn Store) -> Result<(), String> {
        self.compare_runs(store).await?;
        self.compare_letters(store).await?;
        self.compare_blobs(store).await?;
        self.compare_values(store).await
    }

    async fn compare_runs(&self, store: &dyn Store) -> Result<(), String> {
        for (run, last) in &self.runs {
            let id = RunId::new(run).expect("a run's id");
            let commits =
                store.read(&id, Seq(1), usize::MAX).await.map_err(|error| unread("the journal", run, &error))?;
            let there = SampleRun::resume(run, &commits).map_err(|error| format!("the journal of {run}: {error}"))?;
            let there = there.last();
            must(there >= Seq(*last), || format!("run {run} was acknowledged up to {last}, but ends at {there}"))?;
            let Some(born) = self.born.get(run) else { continue };
            let record = store.record(&id).await.map_err(|error| unread("the record", run, &error))?;
            let there = record.map(|record| record.created_at);
            must(there == Some(Timestamp::from_millis(*born)), || {
                format!("run {run} was created at {born}, but the store has one created at {there:?}")
            })?;
        }
        for run in &self.deleted {
            let id = RunId::new(run).expect("a run's id");
            let journal = store.read(&id, Seq(1), 1).await.map_err(|error| unread("the journal", run, &error))?;
            let record = store.record(&id).await.map_err(|error| unread("the record", run, &error))?;
            must(journal.is_empty() && record.is_none(), || format!("run {run} was deleted but exists"))?;
        }
        Ok(())
    }

    async fn compare_letters(&self, store: &dyn Store) -> Result<(), String> {
        for (run, letters) in &self.waiting {
            let there = inbox(store, run).await?;
            must(there.is_superset(letters), || {
                format!("letters {letters:?} were sent to {run}, but only {there:?} exist")
            })?;
        }
        for (run, letters) in &self.gone {
            let there = inbox(store, run).await?;
            must(there.is_disjoint(letters), || {
                format!("letters {letters:?} of {run} were taken, but {there:?} exist")
            })?;
        }
        Ok(())
    }

    async fn compare_blobs(&self, store: &dyn Store) -> Result<(), String> {
        for (run, numbers) in &self.kept {
            for number in numbers {
                let there = blob(store, run, &format!("blob-{number}")).await?;
                let whole = there.as_deref() == Some(&fill::blob(*number));
                must(whole, || format!("blob {number} of {run} is not as it was written"))?;
            }
        }
        for ((run, key), number) in &self.blobs {
            let there = blob(store, run, key).await?.as_deref().and_then(stamp_of);
            must(there >= Some(*number), || format!("blob {key} of {run} should be number {number}, found {there:?}"))?;
        }
        for ((run, key), number) in &self.blobs_gone {
            let Some(bytes) = blob(store, run, key).await? else { continue };
            let there = stamp_of(&bytes);
            must(there > Some(*number), || {
                format!("blob {key} of {run}, number {number}, was deleted, but {there:?} exists")
            })?;
        }
        Ok(())
    }

    async fn compare_values(&self, store: &dyn Store) -> Result<(), String> {
        let read = async |key: &str| store.get(key).await.map_err(|error| unread("the value", key, &error));
        let counter = read("counter").await?.map_or(0, |value| value.version);
        must(counter >= self.counted, || format!("the counter should be {}, found {counter}", self.counted))?;
        for (key, number) in &self.values {
            let there = read(key).await?.and_then(|value| stamp_of(&value.bytes));
            must(there >= Some(*number), || format!("value {key} should be number {number}, found {there:?}"))?;
        }
        Ok(())
    }
}

fn must(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(otherwise()) }
}

fn unread(what: &str, of: &str, error: &StoreError) -> String {
    format!("cannot read {what} of {of}: {error}")
}

/// The letters waiting for `run`.
async fn inbox(store: &dyn Store, run: &str) -> Result<BTreeSet<u64>, String> {
    let id = RunId::new(run).expect("a run's id");
    let letters = store.letters(&id, LetterId::ZERO, usize::MAX).await;
    let letters = letters.map_err(|error| unread("the inbox", run, &error))?;
    Ok(letters.into_iter().map(|letter| letter.id.0).collect())
}

async fn blob(store: &dyn Store, run: &str, key: &str) -> Result<Option<Vec<u8>>, String> {
    let id = RunId::new(run).expect("a run's id");
    store.blob(&id, key).await.map_err(|error| unread(&format!("blob {key}"), run, &error))
}

/// Bytes that contain their number and reveal whether they are complete. Every second value is large.
pub(crate) fn stamped(number: u64) -> Vec<u8> {
    let most = if number.is_multiple_of(2) { 60_000 } else { 1_500 };
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(bytes.len() + Chance::new(number).below(most), number.to_le_bytes()[0]);
    bytes
}

/// The number in such bytes; `None` if they are not as written.
fn stamp_of(bytes: &[u8]) -> Option<u64> {
    let number = u64::from_be_bytes(*bytes.first_chunk()?);
    (bytes == stamped(number)).then_some(number)
}
