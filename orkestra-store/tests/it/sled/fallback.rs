//! What a power failure leaves of sled's file in the middle of a checkpoint: the store restores the state before it and
//! continues from there. And the errors when that state cannot be restored.
//!
//! A failure is simulated with two copies of the directory, before and after a checkpoint: of each sector that differs,
//! either version may be on the disk. That is more than any order of writes can leave.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use orkestra_core::model::Seq;
use orkestra_core::store::{Store, StoreError, StoreErrorKind};
use orkestra_store::{Durability, SledOptions, SledStore};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;
use tempfile::TempDir;

type Files = BTreeMap<String, Vec<u8>>;

const SECTOR: usize = 512;
/// A slot of the file `fallback`: a page of numbers and a segment.
const SLOT: usize = 4_096 + 512 * 1_024;

fn copy(directory: &Path) -> Files {
    let paths = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("an entry").path());
    let files = paths.filter(|path| path.is_file());
    let named = |path: &Path| path.file_name().expect("a file's name").to_string_lossy().into_owned();
    files.map(|path| (named(&path), fs::read(&path).expect("it reads"))).collect()
}

fn put(files: &Files) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory for a test");
    for (name, bytes) in files {
        fs::write(directory.path().join(name), bytes).expect("it writes");
    }
    directory
}

/// How often the fallback was written.
fn turn(fallback: &[u8]) -> u64 {
    let slot =
        |at: usize| fallback.get(at + 4..at + 12).map(|turn| u64::from_be_bytes(turn.try_into().expect("eight")));
    slot(0).max(slot(SLOT)).unwrap_or(0)
}

/// The number of the last group commit that it records for sled.
fn applied(fallback: &[u8]) -> u64 {
    let slot = usize::try_from(turn(fallback) % 2).expect("it is small") * SLOT;
    u64::from_be_bytes(fallback[slot + 12..slot + 20].try_into().expect("eight"))
}

/// The number of the first group commit in the current write-ahead file.
fn first_of_current(directory: &Path) -> u64 {
    let first = |name: &str| {
        let bytes = fs::read(directory.join(name)).expect("it reads");
        u64::from_be_bytes(bytes[8..16].try_into().expect("eight"))
    };
    first("wal.0").max(first("wal.1"))
}

/// Runs that are created, grow and are deleted.
struct Life {
    runs: Vec<SampleRun>,
    gone: Vec<SampleRun>,
    chance: Chance,
}

impl Life {
    async fn step(&mut self, store: &SledStore) {
        let number = self.runs.len() + self.gone.len();
        let mut batch = Vec::new();
        for run in self.runs.iter_mut().filter(|run| !run.ended()) {
            if self.chance.one_in(6) {
                let size = if self.chance.one_in(8) { self.chance.below(30_000) } else { self.chance.below(700) };
                batch.push(if self.chance.one_in(5) { run.complete_with(size) } else { run.report(size) });
            }
        }
        let mut run = SampleRun::new(&format!("r{}-{number}", self.chance.below(1_000)));
        batch.push(run.create());
        self.runs.push(run);
        assert!(store.append(batch).await.iter().all(Result::is_ok));
        if self.runs.len() > 60 {
            let run = self.runs.swap_remove(self.chance.below(50));
            store.delete(run.id()).await.expect("it deletes");
            self.gone.push(run);
        }
    }

    async fn must_be_in(&self, store: &SledStore, what: &str) {
        for run in &self.runs {
            let journal = store.read(run.id(), Seq(1), usize::MAX).await.expect("it reads");
            let last = journal.last().map(|commit| commit.last);
            assert_eq!(last, Some(run.last()), "{what}: run {} is incomplete", run.id());
        }
        for run in &self.gone {
            let journal = store.read(run.id(), Seq(1), 1).await.expect("it reads");
            assert!(journal.is_empty(), "{what}: run {} reappeared", run.id());
        }
        store.check().await.unwrap_or_else(|error| panic!("{what}: {error}"));
    }
}

/// With this size a checkpoint writes a few segments.
const FEW: u64 = 700_000;
/// With this size, so many that sled would reuse segments freed in the same checkpoint.
const MANY: u64 = 3_000_000;

fn options(durability: Durability, write_ahead_bytes: u64) -> SledOptions {
    SledStore::options().with_durability(durability).with_write_ahead_bytes(write_ahead_bytes)
}

fn reopened(directory: &Path) -> Result<SledStore, StoreError> {
    options(Durability::Fsync, FEW).open(directory)
}

/// An open store, its directory and its runs.
struct Scene {
    directory: TempDir,
    store: SledStore,
    life: Life,
}

impl Scene {
    fn new(options: SledOptions, seed: u64) -> Self {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let store = options.open(directory.path()).expect("it opens");
        Self { directory, store, life: Life { runs: Vec::new(), gone: Vec::new(), chance: Chance::new(seed) } }
    }

    /// Writes until one checkpoint has run. Returns the directory before and after its last part; `None` if two parts
    /// followed too quickly to be distinguished.
    async fn checkpoint(&mut self) -> Option<(Files, Files)> {
        let path = self.directory.path();
        let (mut before, first) = (copy(path), first_of_current(path));
        while first_of_current(path) == first {
            self.life.step(&self.store).await;
        }
        // No writes meanwhile, because the next one would reuse the write-ahead file.
        let done = applied(&before["fallback"]);
        loop {
            let now = copy(path);
            if turn(&now["fallback"]) == turn(&before["fallback"]) {
                std::thread::yield_now();
                continue;
            }
            if applied(&now["fallback"]) != done {
                return (turn(&now["fallback"]) == turn(&before["fallback"]) + 1).then_some((before, now));
            }
            before = now;
        }
    }
}

/// The database as a power failure may leave it: of each sector that differs, one version or the other.
fn mixed(before: &[u8], after: &[u8], chance: &mut Chance) -> Vec<u8> {
    let sector = |bytes: &[u8], at: usize| bytes.get(at..bytes.len().min(at + SECTOR)).unwrap_or_default().to_vec();
    let longest = before.len().max(after.len());
    let new_in_ten = chance.below(11);
    let mut mixed = Vec::with_capacity(longest);
    for at in (0..longest).step_by(SECTOR) {
        let (old, new) = (sector(before, at), sector(after, at));
        let mut chosen = if chance.below(10) < new_in_ten { new } else { old };
        // What lies beyond the end of that version was never written.
        chosen.resize(SECTOR.min(longest - at), 0);
        mixed.extend(chosen);
    }
    mixed
}

/// The directory after a power failure in the middle of the checkpoint: the record that it is complete is torn.
fn cut(before: &Files, after: &Files, chance: &mut Chance) -> Files {
    let mut files = after.clone();
    files.insert("db".into(), mixed(&before["db"], &after["db"], chance));
    let fallback = files.get_mut("fallback").expect("it is there");
    let slot = usize::try_from(turn(fallback) % 2).expect("it is small") * SLOT;
    fallback[slot + chance.below(200)] ^= 0x20;
    files
}

async fn cut_checkpoints(options: SledOptions, seed: u64) {
    let (rounds, cuts) = if std::env::var_os("ORKESTRA_LONG").is_some() { (60, 10) } else { (10, 2) };
    let mut scene = Scene::new(options.clone(), seed);
    let (mut chance, mut undone) = (Chance::new(seed + 1_000), [0_usize; 2]);
    for round in 0..rounds {
        let Some((before, after)) = scene.checkpoint().await else { continue };
        // Before that, the file is too short for segments to be reused.
        for number in (0..cuts).filter(|_| round > 3) {
            let what = format!("seed {seed}, checkpoint {round}, cut {number}");
            let directory = put(&cut(&before, &after, &mut chance));
            for undone in &mut undone {
                let store = options.clone().open(directory.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
                *undone += usize::from(store.report().checkpoint_undone);
                assert_eq!(store.report().lost, None, "{what}");
                scene.life.must_be_in(&store, &what).await;
            }
        }
    }
    // If all relevant sectors are unchanged there is nothing to undo. The second time, a page may be undone that a
    // reader was splitting when the checkpoint ended.
    assert!(undone[0] >= rounds / 2 && undone[1] < rounds / 2, "{undone:?} of {rounds} times {cuts} cuts were undone");
    let db = fs::metadata(scene.directory.path().join("db")).expect("it is there").len();
    assert!(db > 3 * 1024 * 1024, "{db} bytes are too few for segments to be reused");
}

#[tokio::test]
async fn an_interrupted_checkpoint_is_undone_and_repeated() {
    cut_checkpoints(options(Durability::Fsync, MANY), 1).await;
}

#[tokio::test]
async fn an_interrupted_checkpoint_is_undone_and_repeated_for_the_process() {
    cut_checkpoints(options(Durability::Process, FEW), 2).await;
}

/// Other damage during an interrupted checkpoint is reported, or nothing is missing.
#[tokio::test]
async fn other_damage_during_an_interrupted_checkpoint_is_reported() {
    let mut scene = Scene::new(options(Durability::Fsync, FEW), 3);
    for _ in 0..4 {
        drop(scene.checkpoint().await);
    }
    let (before, after) = scene.checkpoint().await.expect("it has one part");
    let (mut refused, seeds) = (0, if std::env::var_os("ORKESTRA_LONG").is_some() { 300 } else { 20 });
    for seed in 0..seeds {
        let mut chance = Chance::new(seed);
        let mut files = cut(&before, &after, &mut chance);
        let db = files.get_mut("db").expect("it is there");
        let (from, length) = (chance.below(db.len()), 1 + chance.below(3_000));
        let end = (from + length).min(db.len());
        db[from..end].fill_with(|| chance.next_u64().to_le_bytes()[0]);
        match reopened(put(&files).path()) {
            // No relevant write was interrupted, so only a check reads everything.
            Ok(store) if !store.report().checkpoint_undone => {}
            Ok(store) => scene.life.must_be_in(&store, &format!("seed {seed}")).await,
            Err(error) => {
                assert_eq!(error.kind(), StoreErrorKind::Damaged, "seed {seed}: {error}");
                refused += 1;
            }
        }
    }
    println!("{seeds} damaged databases: {refused} refused, the others intact");
    assert!(refused > 0);
}

#[tokio::test]
async fn a_database_that_does_not_match_the_fallback_is_refused_and_left_unchanged() {
    let mut scene = Scene::new(options(Durability::Fsync, FEW), 4);
    let (first, _) = scene.checkpoint().await.expect("it has one part");
    for _ in 0..4 {
        drop(scene.checkpoint().await);
    }
    let mut files = copy(scene.directory.path());
    files.insert("db".into(), first["db"].clone());
    let directory = put(&files);
    for _ in 0..2 {
        let error = reopened(directory.path()).err().expect("they do not belong together");
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
        assert!(error.to_string().contains("do not belong together"), "{error}");
        assert_eq!(copy(directory.path())["db"], first["db"], "nothing was written to it");
    }
}

#[tokio::test]
async fn a_damaged_fallback_is_refused_and_without_one_the_store_is_checked() {
    let mut scene = Scene::new(options(Durability::Fsync, FEW), 5);
    drop(scene.checkpoint().await);
    let mut files = copy(scene.directory.path());
    let fallback = files.get_mut("fallback").expect("it is there");
    fallback[100] ^= 1;
    fallback[SLOT + 100] ^= 1;
    let directory = put(&files);
    let error = reopened(directory.path()).err().expect("nothing says what sled must hold");
    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
    fs::remove_file(directory.path().join("fallback")).expect("it can be removed");
    let store = reopened(directory.path()).expect("it is whole");
    assert_eq!(store.report().runs_checked, Some(scene.life.runs.len() as u64));
    scene.life.must_be_in(&store, "without a fallback").await;
    drop(store);
    let store = reopened(directory.path()).expect("it opens");
    assert_eq!(store.report().runs_checked, None, "the fallback exists again");
}

/// sled splits and merges pages when they are read, and nothing would sync those writes.
#[tokio::test]
async fn reading_writes_nothing() {
    let mut scene = Scene::new(options(Durability::Fsync, FEW), 6);
    for round in 0..8 {
        let (_, after) = scene.checkpoint().await.expect("it has one part");
        scene.life.must_be_in(&scene.store, &format!("checkpoint {round}")).await;
        assert!(copy(scene.directory.path())["db"] == after["db"], "checkpoint {round}: reading wrote to the database");
    }
}
