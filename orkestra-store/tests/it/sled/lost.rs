//! Lost ends of the write-ahead files and of sled's log, and values that must not be stored outside the log.

use std::fs;
use std::path::Path;

use orkestra_core::model::Seq;
use orkestra_core::store::{Snapshot, Store, StoreErrorKind};
use orkestra_store::{Durability, SledOptions, SledStore};
use orkestra_testkit::sample::SampleRun;
use tempfile::TempDir;

fn options(durability: Durability) -> SledOptions {
    SledStore::options().with_durability(durability).with_write_ahead_bytes(20_000)
}

/// Restores the files that begin with `prefix`, and removes others that do.
fn put_back(directory: &Path, prefix: &str, kept: &[(String, Vec<u8>)]) {
    for entry in fs::read_dir(directory).expect("it is there") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix)) {
            fs::remove_file(path).expect("it can be removed");
        }
    }
    for (name, bytes) in kept.iter().filter(|(name, _)| name.starts_with(prefix)) {
        fs::write(directory.join(name), bytes).expect("it writes");
    }
}

fn keep(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(directory).expect("it is there").map(|entry| entry.expect("an entry").path());
    let files = entries.filter(|path| path.is_file());
    files
        .map(|path| {
            let name = path.file_name().expect("a file's name").to_string_lossy().into_owned();
            (name, fs::read(path).expect("it reads"))
        })
        .collect()
}

/// A store whose write-ahead files lack the last acknowledged commit.
async fn rewound(durability: Durability) -> (TempDir, SampleRun) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let open = || options(durability).open(directory.path()).expect("the store opens");
    let mut run = SampleRun::new("r");
    let store = open();
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    drop(store);
    let kept = keep(directory.path());
    let store = open();
    assert_eq!(store.append(vec![run.report(100)]).await, [Ok(())]);
    drop(store);
    put_back(directory.path(), "wal.", &kept);
    (directory, run)
}

async fn length(store: &SledStore, run: &SampleRun) -> usize {
    store.read(run.id(), Seq(1), usize::MAX).await.expect("it reads").len()
}

const LOST: &str = "group commit 4 was acknowledged, but the log ends with 2";

#[tokio::test]
async fn a_lost_end_of_the_log_is_damage_until_the_loss_is_accepted() {
    let (directory, run) = rewound(Durability::Fsync).await;
    for _ in 0..2 {
        let Err(error) = SledStore::open(directory.path()) else { panic!("an acknowledged commit is missing") };
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.to_string().contains(LOST), "{error}");
    }
    fs::remove_file(directory.path().join("mark")).expect("it can be removed");
    let store = SledStore::open(directory.path()).expect("the loss is accepted");
    assert_eq!(length(&store, &run).await, 1);
}

#[tokio::test]
async fn a_lost_end_of_the_log_is_reported_under_process_durability() {
    let (directory, run) = rewound(Durability::Process).await;
    let store = SledStore::open(directory.path()).expect("it opens without the lost end");
    assert_eq!(store.report().lost.as_deref(), Some(LOST));
    assert_eq!(length(&store, &run).await, 1);
    drop(store);
    let store = SledStore::open(directory.path()).expect("it opens");
    assert_eq!(store.report().lost, None, "it is reported once");
}

/// sled has lost what a checkpoint wrote, so the records in the write-ahead files follow a gap.
#[tokio::test]
async fn records_after_an_accepted_loss_never_reappear() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let open = || options(Durability::Fsync).open(directory.path());
    let mut run = SampleRun::new("r");
    let store = open().expect("the store opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    drop(store);
    let kept = keep(directory.path());
    let store = open().expect("the store opens");
    for _ in 0..60 {
        assert_eq!(store.append(vec![run.report(2_000)]).await, [Ok(())]);
    }
    drop(store);
    put_back(directory.path(), "db", &kept);
    put_back(directory.path(), "snap.", &kept);
    put_back(directory.path(), "fallback", &kept);
    let error = open().err().expect("acknowledged commits are missing");
    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
    fs::remove_file(directory.path().join("mark")).expect("it can be removed");
    for round in 0..20 {
        let store = open().unwrap_or_else(|error| panic!("round {round}: the loss was accepted: {error}"));
        assert_eq!(length(&store, &run).await, 0, "round {round}: even its first record was in a reused file");
        let other = SampleRun::new(&format!("other-{round}")).create();
        assert_eq!(store.append(vec![other]).await, [Ok(())]);
        store.check().await.unwrap_or_else(|error| panic!("round {round}: {error}"));
    }
}

#[tokio::test]
async fn a_deleted_run_is_not_reported_as_lost() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let store = SledStore::open(directory.path()).expect("the store opens");
    let mut run = SampleRun::new("r");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    store.delete(run.id()).await.expect("it deletes");
    drop(store);
    SledStore::open(directory.path()).expect("nothing is missing");
}

/// A snapshot is not synced: a power failure may lose it, which is no damage.
#[tokio::test]
async fn a_lost_snapshot_is_no_damage() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut run = SampleRun::new("r");
    let store = options(Durability::Fsync).open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    let kept = keep(directory.path());
    let snapshot = Snapshot { last: run.last(), bytes: vec![1; 100].into() };
    store.put_snapshot(run.id(), &snapshot).await.expect("it writes");
    assert_eq!(store.snapshot(run.id()).await, Ok(Some(snapshot)));
    drop(store);
    put_back(directory.path(), "wal.", &kept);
    let store = options(Durability::Fsync).open(directory.path()).expect("nothing is missing");
    assert_eq!(store.snapshot(run.id()).await, Ok(None));
    assert_eq!(length(&store, &run).await, 1);
}

/// A store of format 1: everything is in sled.
#[tokio::test]
async fn a_store_without_write_ahead_files_is_upgraded() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut run = SampleRun::new("r");
    let store = options(Durability::Fsync).open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    for _ in 0..40 {
        assert_eq!(store.append(vec![run.report(3_000)]).await, [Ok(())]);
    }
    drop(store);
    // Format 1 has exactly what checkpoints wrote into sled. The format inside sled is only compared with the newest.
    fs::write(directory.path().join("FORMAT"), "orkestra-store sled 1\n").expect("it writes");
    for name in ["wal.0", "wal.1", "mark", "fallback"] {
        fs::remove_file(directory.path().join(name)).expect("it can be removed");
    }
    for _ in 0..2 {
        let store = SledStore::options().with_check(true).open(directory.path()).expect("it is upgraded");
        assert!(!store.report().created);
        // At least what the first checkpoint contained. How far later ones got depends on timing.
        assert!(length(&store, &run).await >= 6);
        let format = fs::read_to_string(directory.path().join("FORMAT")).expect("it reads");
        assert_eq!(format, "orkestra-store sled 4\n");
    }
}

/// A store of format 2: the same without letters.
#[tokio::test]
async fn a_store_without_letters_is_upgraded_and_its_write_ahead_files_are_read() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut run = SampleRun::new("r");
    let store = options(Durability::Fsync).open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.create(), run.report(10)]).await, [Ok(()), Ok(())]);
    drop(store);
    let format = directory.path().join("FORMAT");
    fs::write(&format, "orkestra-store sled 2\n").expect("it writes");
    let kept = fs::read(directory.path().join("wal.0")).expect("it reads");
    fs::remove_file(directory.path().join("wal.0")).expect("it can be removed");
    let error = SledStore::open(directory.path()).err().expect("what was acknowledged is missing");
    assert_eq!(error.kind(), StoreErrorKind::Damaged, "{error}");
    fs::write(directory.path().join("wal.0"), kept).expect("it writes");
    let store = SledStore::options().with_check(true).open(directory.path()).expect("it is upgraded");
    assert_eq!(length(&store, &run).await, 2);
    store.send(run.id(), b"letter").await.expect("it supports letters now");
    assert_eq!(fs::read_to_string(&format).expect("it reads"), "orkestra-store sled 4\n");
}

fn blobs(directory: &Path) -> usize {
    fs::read_dir(directory.join("blobs")).expect("sled makes it").count()
}

/// sled never syncs what it stores under `blobs/`. Pages full of the largest parts are the worst case.
#[tokio::test]
async fn no_value_is_stored_outside_the_log() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let store = options(Durability::Process).open(directory.path()).expect("it opens");
    let long = "r".repeat(190);
    for number in 0..60 {
        let mut run = SampleRun::new(&format!("{long}-{number}"));
        let mut batch = vec![run.create()];
        for size in [5_000, 4_900, 5_050, 80_000, 5_080] {
            batch.push(run.report(size));
        }
        batch.push(run.complete_with(4_700));
        assert!(store.append(batch).await.iter().all(Result::is_ok));
        let value = vec![7; 5_100];
        assert_eq!(store.put(&format!("{}{number}", "k".repeat(390)), 0, &value).await, Ok(Some(1)));
        store.put_blob(run.id(), &"b".repeat(400), &[8; 30_000]).await.expect("it writes");
        assert_eq!(blobs(directory.path()), 0, "after {number} runs");
    }
    let mut run = SampleRun::new("large");
    let batch = vec![run.create(), run.report(2_000_000), run.report(2_000_000), run.complete_with(2_000_000)];
    assert!(store.append(batch).await.iter().all(Result::is_ok));
    assert_eq!(blobs(directory.path()), 0);
    store.delete(run.id()).await.expect("it deletes");
    assert!(store.check().await.is_ok());
    assert_eq!(blobs(directory.path()), 0);
}
