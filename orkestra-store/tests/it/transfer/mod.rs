//! Exports and imports: round trips, refusals, hostile lines, and engines that continue moved runs.

pub(crate) mod engine;
mod hostile;
mod refused;
mod round;
mod salvage;

use std::io::Cursor;
use std::sync::Arc;

use orkestra_core::Clock;
use orkestra_core::journal::{Replayer, Written};
use orkestra_core::model::{Epoch, RunId, Seq, Timestamp, WorkerId};
use orkestra_core::store::{Append, MemoryStore, RunRecord, Store};
use orkestra_store::Durability;
use orkestra_store::transfer::{ExportOptions, Exported, ImportOptions, Imported, TransferError, export, import};
use orkestra_testkit::{Chance, differential, fuzz};
use tempfile::TempDir;

use crate::support::backend::{BACKENDS, Backend, Opened, Options};

/// A clock that stands still.
#[derive(Clone, Copy)]
struct FixedClock(u64);

impl Clock for FixedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0)
    }
}

fn worker(name: &str) -> WorkerId {
    WorkerId::new(name).expect("a worker's name")
}

fn id(run: &str) -> RunId {
    RunId::new(run).expect("a run's id")
}

pub(crate) fn options() -> ExportOptions {
    ExportOptions::new(worker("export")).with_clock(FixedClock(1_000))
}

/// Everything in a store that is not in use.
pub(crate) async fn lines_of(store: &dyn Store) -> Vec<u8> {
    exported(store, &options()).await.expect("it is exported").0
}

async fn exported(store: &dyn Store, options: &ExportOptions) -> Result<(Vec<u8>, Exported), TransferError> {
    let mut lines = Vec::new();
    let exported = export(store, &mut lines, options).await?;
    Ok((lines, exported))
}

pub(crate) async fn imported(store: &dyn Store, lines: &[u8]) -> Result<Imported, TransferError> {
    import(store, &mut Cursor::new(lines), ImportOptions::default()).await
}

async fn merged(store: &dyn Store, lines: &[u8]) -> Result<Imported, TransferError> {
    import(store, &mut Cursor::new(lines), ImportOptions::default().with_merge(true)).await
}

/// The store of `backend` in a directory. It can be reopened.
fn opened(backend: Backend, directory: &TempDir) -> Opened {
    let options = Options { durability: Durability::Process, ..Options::default() };
    backend.open_with(directory.path().join("store"), options).expect("the store opens")
}

pub(crate) fn text(lines: &[u8]) -> String {
    String::from_utf8_lossy(lines).into_owned()
}

/// The result of 500 random calls: runs with commits of all sizes, records with all kinds of wake-up times, letters,
/// blobs and values, and deleted runs.
pub(crate) async fn random_calls(seed: u64) -> MemoryStore {
    let store = MemoryStore::new();
    let same = differential::compare(seed, 500, &MemoryStore::new(), &store).await;
    assert_eq!(same, Ok(()));
    store.drop_leases();
    store
}

/// Adds a run as the fuzzer builds it, using every verb and ending anywhere: it sleeps, waits for signals, children or
/// slots, is paused, or has ended.
pub(crate) async fn add_real_run(store: &dyn Store, number: u64) {
    let mut chance = Chance::new(number);
    let bytes: Vec<u8> = (0..200).map(|_| chance.next_u64().to_le_bytes()[0]).collect();
    let journal = fuzz::journal_of(&bytes);
    let bodies: Vec<&[u8]> = journal.split(|byte| *byte == b'\n').filter(|body| !body.is_empty()).collect();
    let keep = if chance.one_in(3) { bodies.len() } else { chance.below(bodies.len()) + 1 };
    let run = id(&format!("real-{number}"));
    let mut replayer = Replayer::new(run.clone());
    let mut first = Seq(1);
    for body in bodies.into_iter().take(keep) {
        let value: serde_json::Value = serde_json::from_slice(body).expect("a commit is JSON");
        let events = value["events"].as_array().map_or(0, Vec::len) as u64;
        let last = first.plus(events - 1);
        let commit = Written { run: run.clone(), first, last, epoch: Epoch(number), body: Arc::from(body) };
        replayer.add(&commit).expect("it replays");
        let record = RunRecord::of(replayer.state().expect("it began"));
        let answers = store.append(vec![Append { commit, record: Some(record), taken: Vec::new() }]).await;
        assert_eq!(answers, [Ok(())]);
        first = last.plus(1);
    }
}
