//! The part of a process that writes until the power fails. Most of what it writes is soon overwritten or deleted, so
//! that the backend's background threads are busy and reuse freed space.

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, RunQuery, Store};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;

use crate::support::acknowledged::stamped;
use crate::support::backend::{Backend, Options};
use crate::support::child::report_line;
use crate::support::load;

/// The most runs. Their ids are reused.
const RUNS: usize = 24;
/// A longer run is deleted before others: what is reopened repeatedly must not grow.
const EVENTS_MAX: u64 = 30;
const BLOB_KEYS: usize = 4;
const VALUES: usize = 12;
/// Stamps of one life are lower than those of the next.
const STAMPS: u64 = 1_000_000;

/// `churn <backend> <path> <gathered bytes> <seed> <life>`: writes under `Fsync` until it is killed. Reports what was
/// acknowledged, and what it is about to create or delete. `life` must be higher than that of earlier writers to this
/// store.
pub(super) async fn churn(words: &[&str]) {
    let gathered_bytes = words[2].parse().expect("a number of bytes");
    let life: u64 = words[4].parse().expect("a number");
    let store = Backend::named(words[0]).open_with(words[1], Options { gathered_bytes, ..Options::default() });
    let store = store.expect("the store opens");
    write(&*store, words[3].parse().expect("a seed"), life).await;
}

/// Writes to a store until the process is killed.
pub(super) async fn write(store: &dyn Store, seed: u64, life: u64) {
    report_line("opened");
    let (runs, chance) = (resume(store).await, Chance::new(seed));
    let mut writer = Writer { store, runs, chance, stamp: life * STAMPS };
    loop {
        match writer.chance.below(20) {
            0..9 => writer.append().await,
            9 | 10 => writer.delete().await,
            11 => writer.put().await,
            12..17 => writer.put_blobs().await,
            17 | 18 => writer.send().await,
            _ => writer.discard().await,
        }
    }
}

/// All runs of the store in their current state, and new runs for the other ids.
async fn resume(store: &dyn Store) -> Vec<SampleRun> {
    let query = RunQuery { limit: usize::MAX, ..RunQuery::default() };
    let mut runs: Vec<_> = (0..RUNS).map(|number| SampleRun::new(&format!("c{number}"))).collect();
    for record in store.list(&query).await.expect("it lists").items {
        let run = runs.iter_mut().find(|run| run.id() == &record.id).expect("a known run");
        *run = load(store, &record.id).await;
    }
    runs
}

struct Writer<'a> {
    store: &'a dyn Store,
    runs: Vec<SampleRun>,
    chance: Chance,
    stamp: u64,
}

impl Writer<'_> {
    fn next_stamp(&mut self) -> u64 {
        self.stamp += 1;
        self.stamp
    }

    /// A random existing run.
    fn some_run(&mut self) -> Option<usize> {
        let there: Vec<_> = (0..RUNS).filter(|run| self.runs[*run].last() > Seq::ZERO).collect();
        if there.is_empty() { None } else { Some(*self.chance.pick(&there)) }
    }

    /// A group commit of several runs. One of them takes the letters that wait for it.
    async fn append(&mut self) {
        let mut batch = Vec::new();
        for _ in 0..=self.chance.below(8) {
            let size = if self.chance.one_in(6) { self.chance.below(40_000) } else { self.chance.below(400) };
            let (number, born) = (self.chance.below(RUNS), self.next_stamp());
            let run = &mut self.runs[number];
            batch.push(match self.chance.below(30) {
                _ if run.ended() => continue,
                _ if run.last() == Seq::ZERO => {
                    *run = SampleRun::new(run.id().as_str()).at(born);
                    report_line(format!("creating {} {born}", run.id()));
                    run.create()
                }
                0 => run.complete_with(size),
                _ => run.report(size),
            });
        }
        let mut taken = Vec::new();
        if let Some(append) = batch.iter_mut().find(|append| append.commit.first > Seq(1)) {
            taken = self.leaving(&append.commit.run).await;
            append.taken = taken.iter().map(|(_, id)| *id).collect();
        }
        let places: Vec<_> = batch.iter().map(|append| (append.commit.run.clone(), append.commit.last)).collect();
        for ((run, last), answer) in places.iter().zip(self.store.append(batch).await) {
            answer.expect("the commit follows");
            report_line(format!("ack {run} {last}"));
        }
        taken.iter().for_each(|(run, id)| report_line(format!("gone {run} {id}")));
    }

    async fn delete(&mut self) {
        let grown = (0..RUNS).find(|run| self.runs[*run].last() > Seq(EVENTS_MAX) || self.runs[*run].ended());
        let Some(number) = grown.or_else(|| self.some_run()) else { return };
        let id = self.runs[number].id().clone();
        report_line(format!("deleting {id}"));
        self.store.delete(&id).await.expect("it deletes");
        report_line(format!("deleted {id}"));
        self.runs[number] = SampleRun::new(id.as_str());
    }

    async fn put(&mut self) {
        let (key, stamp) = (format!("value-{}", self.chance.below(VALUES)), self.next_stamp());
        let version = self.store.get(&key).await.expect("it reads").map_or(0, |value| value.version);
        let put = self.store.put(&key, version, &stamped(stamp)).await.expect("it writes");
        put.expect("no other writer");
        report_line(format!("value {key} {stamp}"));
    }

    /// Writes several at once, which share a group commit. Never two with the same key, whose order would be unknown.
    async fn put_blobs(&mut self) {
        let mut blobs = Vec::new();
        for slot in 0..3 {
            let Some(run) = self.some_run() else { return };
            blobs.push((
                self.runs[run].id().clone(),
                format!("key-{slot}-{}", self.chance.below(BLOB_KEYS)),
                self.next_stamp(),
            ));
        }
        let put = async |at: usize| {
            let (run, key, stamp) = &blobs[at];
            self.store.put_blob(run, key, &stamped(*stamp)).await.expect("it is kept");
        };
        tokio::join!(put(0), put(1), put(2));
        blobs.iter().for_each(|(run, key, stamp)| report_line(format!("blob {run} {key} {stamp}")));
    }

    async fn send(&mut self) {
        let Some(number) = self.some_run() else { return };
        let size = self.chance.below(7_000);
        let run = self.runs[number].id();
        let id = self.store.send(run, &vec![5; size]).await.expect("it is sent");
        report_line(format!("sent {run} {id}"));
    }

    async fn discard(&mut self) {
        let Some(number) = self.some_run() else { return };
        let run = self.runs[number].id().clone();
        let letters = self.leaving(&run).await;
        let ids: Vec<_> = letters.iter().map(|(_, id)| *id).collect();
        self.store.discard(&run, &ids).await.expect("they are discarded");
        letters.iter().for_each(|(run, id)| report_line(format!("gone {run} {id}")));
    }

    /// Letters of a run that are about to be removed. Each is reported.
    async fn leaving(&self, run: &RunId) -> Vec<(RunId, LetterId)> {
        let letters = self.store.letters(run, LetterId::ZERO, 3).await.expect("it reads");
        letters.iter().for_each(|letter| report_line(format!("taking {run} {}", letter.id)));
        letters.into_iter().map(|letter| (run.clone(), letter.id)).collect()
    }
}
