//! Damaged files: repaired where nothing can be lost, otherwise reported as damage, and never a panic.

use std::fs;
use std::path::{Path, PathBuf};

use orkestra_core::model::Seq;
use orkestra_core::store::{Store, StoreError, StoreErrorKind};
use orkestra_store::{SledOptions, SledStore};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;
use tempfile::TempDir;

const RUNS: usize = 40;

/// A store that was opened a few times, and its runs.
async fn store() -> (TempDir, Vec<SampleRun>) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut runs: Vec<_> = (0..RUNS).map(|number| SampleRun::new(&format!("r{number}"))).collect();
    for round in 0..4 {
        let store = options().open(directory.path()).expect("the store opens");
        for run in &mut runs {
            let append = if round == 0 { run.create() } else { run.report(2_000 * round) };
            assert_eq!(store.append(vec![append]).await, [Ok(())]);
        }
    }
    (directory, runs)
}

fn options() -> SledOptions {
    // Small enough that most writes are soon in sled, and some are not.
    SledStore::options().with_cache_bytes(8 * 1024 * 1024).with_write_ahead_bytes(50_000)
}

fn snapshot(directory: &Path) -> PathBuf {
    let entries = fs::read_dir(directory).expect("the directory is there").map(|entry| entry.expect("an entry").path());
    let is_snapshot = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap."));
    entries.filter(is_snapshot).max().expect("there is a snapshot")
}

async fn all_there(store: &SledStore, runs: &[SampleRun]) {
    for run in runs {
        let journal = store.read(run.id(), Seq(1), usize::MAX).await.expect("it reads");
        assert_eq!(journal.last().map(|commit| commit.last), Some(run.last()), "run {}", run.id());
    }
}

#[tokio::test]
async fn a_torn_snapshot_is_moved_aside_and_nothing_is_lost() {
    let (directory, runs) = store().await;
    let garble: fn(&mut Vec<u8>) = |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x40;
    };
    let harms: [fn(&mut Vec<u8>); 5] =
        [|bytes| bytes.truncate(bytes.len() / 2), |bytes| bytes.truncate(5), Vec::clear, garble, |bytes| bytes.fill(0)];
    for (number, harm) in harms.into_iter().enumerate() {
        let path = snapshot(directory.path());
        let mut bytes = fs::read(&path).expect("it reads");
        harm(&mut bytes);
        fs::write(&path, &bytes).expect("it writes");
        let store = options().open(directory.path()).unwrap_or_else(|error| panic!("harm {number}: {error}"));
        let report = store.report();
        assert_eq!(report.runs_checked, Some(RUNS as u64));
        let [aside] = &report.set_aside[..] else { panic!("one should be moved aside: {report:?}") };
        assert_eq!(fs::read(aside).expect("it is kept"), bytes);
        assert!(!aside.with_file_name("db").exists(), "the copy of the log was removed");
        all_there(&store, &runs).await;
        drop(store);
        let store = options().open(directory.path()).expect("it opens");
        assert_eq!(store.report().set_aside, Vec::<PathBuf>::new());
    }
}

#[tokio::test]
async fn an_unfinished_snapshot_is_removed() {
    let (directory, runs) = store().await;
    let unfinished = directory.path().join("snap.00000000FFFFFFFF.generating");
    fs::write(&unfinished, b"half").expect("it writes");
    let store = options().open(directory.path()).expect("it opens");
    assert!(!unfinished.exists());
    assert_eq!(store.report().set_aside, Vec::<PathBuf>::new());
    all_there(&store, &runs).await;
}

fn open_refused(path: &Path) -> StoreError {
    match options().open(path) {
        Ok(_) => panic!("{} should not open", path.display()),
        Err(error) => error,
    }
}

#[tokio::test]
async fn a_damaged_configuration_is_reported_and_can_be_removed() {
    let (directory, runs) = store().await;
    let conf = directory.path().join("conf");
    let mut chance = Chance::new(3);
    for length in [9, 60, 5_000] {
        let bytes: Vec<u8> = (0..length).map(|_| chance.next_u64().to_le_bytes()[0]).collect();
        fs::write(&conf, bytes).expect("it writes");
        let error = open_refused(directory.path());
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.to_string().contains("`conf`"), "{error}");
    }
    fs::remove_file(&conf).expect("it can be removed");
    all_there(&options().open(directory.path()).expect("it opens"), &runs).await;
}

#[tokio::test]
async fn a_lost_log_is_damage_not_an_empty_store() {
    for harm in ["removed", "emptied", "shortened", "zeroed"] {
        let (directory, _) = store().await;
        let db = directory.path().join("db");
        let length = fs::metadata(&db).expect("it is there").len();
        let file = fs::File::options().write(true).open(&db).expect("it opens");
        match harm {
            "removed" => fs::remove_file(&db).expect("it can be removed"),
            "emptied" => file.set_len(0).expect("it can be cut"),
            "shortened" => file.set_len(1_000).expect("it can be cut"),
            _ => fs::write(&db, vec![0; usize::try_from(length).expect("it is small")]).expect("it writes"),
        }
        for _ in 0..2 {
            let error = open_refused(directory.path());
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "{harm}: {error}");
        }
    }
}

#[test]
fn other_formats_and_databases_are_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let format = directory.path().join("FORMAT");
    for (text, kind) in [
        ("orkestra-store sled 5\n", StoreErrorKind::Version),
        ("orkestra-store sled 999 whatever\n", StoreErrorKind::Version),
        ("orkestra-store sled one", StoreErrorKind::Damaged),
        ("", StoreErrorKind::Damaged),
    ] {
        fs::write(&format, text).expect("it writes");
        let error = open_refused(directory.path());
        assert_eq!(error.kind(), kind, "{text:?}: {error}");
        assert!(!directory.path().join("db").exists(), "nothing was created");
    }
    fs::remove_file(&format).expect("it can be removed");
    fs::write(directory.path().join("db"), b"somebody's").expect("it writes");
    let error = open_refused(directory.path());
    assert_eq!(error.kind(), StoreErrorKind::Invalid, "{error}");
    assert_eq!(fs::read(directory.path().join("db")).expect("it is there"), b"somebody's");
}

#[tokio::test]
async fn an_interrupted_creation_is_repeated() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    fs::write(directory.path().join("FORMAT"), "orkestra-store sled 1 unfinished\n").expect("it writes");
    fs::write(directory.path().join("conf"), b"").expect("it writes");
    let store = options().open(directory.path()).expect("it opens");
    assert!(store.report().created);
    assert_eq!(store.append(vec![SampleRun::new("r").create()]).await, [Ok(())]);
}

/// A corrupted log leads to an error, or to no loss if the bytes were unused.
async fn garbled(directory: &Path, runs: &[SampleRun], seed: u64) -> &'static str {
    let store = match options().open(directory) {
        Err(error) => {
            assert_eq!(error.kind(), StoreErrorKind::Damaged, "seed {seed}: {error}");
            return "refused";
        }
        Ok(store) => store,
    };
    if let Err(error) = store.check().await {
        assert_eq!(error.kind(), StoreErrorKind::Damaged, "seed {seed}: {error}");
        return "found";
    }
    for run in runs {
        let journal = store.read(run.id(), Seq(1), usize::MAX).await.expect("a checked store reads");
        let replayed = SampleRun::resume(run.id(), &journal);
        let last = replayed.map(|replayed| replayed.last());
        assert!(matches!(last, Ok(last) if last == run.last()), "seed {seed}: silently lost: {last:?}");
    }
    "whole"
}

#[tokio::test]
async fn a_corrupted_log_is_damage_and_never_panics() {
    let (directory, runs) = store().await;
    let whole: Vec<_> =
        fs::read_dir(directory.path()).expect("it is there").map(|entry| entry.expect("an entry").path()).collect();
    let seeds = if std::env::var_os("ORKESTRA_LONG").is_some() { 400 } else { 24 };
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in 0..seeds {
        let copy = tempfile::tempdir().expect("a directory for a test");
        for path in whole.iter().filter(|path| path.is_file()) {
            fs::copy(path, copy.path().join(path.file_name().expect("a file's name"))).expect("it copies");
        }
        let mut chance = Chance::new(seed);
        let db = copy.path().join(*chance.pick(&["db", "db", "wal.0", "wal.1"]));
        let mut bytes = fs::read(&db).expect("it reads");
        let (from, length) = (chance.below(bytes.len()), 1 + chance.below(20_000));
        let end = (from + length).min(bytes.len());
        bytes[from..end].fill_with(|| chance.next_u64().to_le_bytes()[0]);
        fs::write(&db, bytes).expect("it writes");
        *outcomes.entry(garbled(copy.path(), &runs, seed).await).or_insert(0) += 1;
    }
    println!("{seeds} corrupted logs: {outcomes:?}");
    assert!(outcomes.contains_key("refused") || outcomes.contains_key("found"), "{outcomes:?}");
}
