//! Damaged and incomplete directories.

use std::fs;
use std::path::Path;

use orkestra_core::model::Seq;
use orkestra_core::store::{Snapshot, Store, StoreError, StoreErrorKind};
use orkestra_store::{Durability, FjallStore};
use orkestra_testkit::Chance;
use orkestra_testkit::sample::SampleRun;

const JOURNAL: &str = "data/0.jnl";

fn open(path: &Path) -> Result<FjallStore, StoreError> {
    FjallStore::options().with_check(true).open(path)
}

fn refused(path: &Path) -> (StoreErrorKind, String) {
    let error = open(path).err().expect("it should not open");
    (error.kind(), error.to_string())
}

/// A store whose journal lacks the last acknowledged commit.
async fn rewound(durability: Durability) -> (tempfile::TempDir, SampleRun) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let options = || FjallStore::options().with_durability(durability);
    let mut run = SampleRun::new("r");
    let store = options().open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    drop(store);
    let kept = fs::read(directory.path().join(JOURNAL)).expect("it reads");
    let store = options().open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.report(100)]).await, [Ok(())]);
    drop(store);
    fs::write(directory.path().join(JOURNAL), kept).expect("it writes");
    (directory, run)
}

const LOST: &str = "group commit 4 was acknowledged, but the log ends with 2";

#[tokio::test]
async fn a_lost_end_of_the_log_is_damage_until_the_loss_is_accepted() {
    let (directory, run) = rewound(Durability::Fsync).await;
    for _ in 0..2 {
        let (kind, message) = refused(directory.path());
        assert_eq!(kind, StoreErrorKind::Damaged);
        assert!(message.contains(LOST), "{message}");
    }
    fs::remove_file(directory.path().join("mark")).expect("it can be removed");
    let store = open(directory.path()).expect("the loss is accepted");
    assert_eq!(store.read(run.id(), Seq(1), 9).await.expect("it reads").len(), 1);
}

#[tokio::test]
async fn a_lost_end_of_the_log_is_reported_under_process_durability() {
    let (directory, run) = rewound(Durability::Process).await;
    let store = open(directory.path()).expect("it opens without the lost end");
    assert_eq!(store.report().lost.as_deref(), Some(LOST));
    assert_eq!(store.read(run.id(), Seq(1), 9).await.expect("it reads").len(), 1);
}

/// A snapshot is not synced: a power failure may lose it, which is no damage.
#[tokio::test]
async fn a_lost_snapshot_is_no_damage() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut run = SampleRun::new("r");
    let store = open(directory.path()).expect("the store opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    let kept = fs::read(directory.path().join(JOURNAL)).expect("it reads");
    let snapshot = Snapshot { last: run.last(), bytes: vec![1; 100].into() };
    store.put_snapshot(run.id(), &snapshot).await.expect("it writes");
    assert_eq!(store.snapshot(run.id()).await, Ok(Some(snapshot)));
    drop(store);
    fs::write(directory.path().join(JOURNAL), kept).expect("it writes");
    let store = open(directory.path()).expect("nothing is missing");
    assert_eq!(store.snapshot(run.id()).await, Ok(None));
    assert_eq!(store.read(run.id(), Seq(1), 9).await.expect("it reads").len(), 1);
}

#[tokio::test]
async fn a_lost_database_is_damage_not_an_empty_store() {
    for harm in ["data", "data/version", "data/keyspaces/1"] {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let store = open(directory.path()).expect("it opens");
        assert_eq!(store.append(vec![SampleRun::new("r").create()]).await, [Ok(())]);
        drop(store);
        let path = directory.path().join(harm);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.expect("it can be removed");
        for _ in 0..2 {
            let (kind, message) = refused(directory.path());
            assert_eq!(kind, StoreErrorKind::Damaged, "{harm}: {message}");
        }
    }
}

#[test]
fn other_formats_and_databases_are_refused_and_left_unchanged() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let format = directory.path().join("FORMAT");
    for (text, kind) in [
        ("orkestra-store fjall 2\n", StoreErrorKind::Version),
        ("orkestra-store sled 2\n", StoreErrorKind::Invalid),
        ("orkestra-store fjall one", StoreErrorKind::Damaged),
        ("", StoreErrorKind::Damaged),
    ] {
        fs::write(&format, text).expect("it writes");
        let (found, message) = refused(directory.path());
        assert_eq!(found, kind, "{text:?}: {message}");
        assert!(!directory.path().join("data").exists(), "nothing was created");
    }
    fs::remove_file(&format).expect("it can be removed");
    fs::create_dir(directory.path().join("data")).expect("it can be made");
    assert_eq!(refused(directory.path()).0, StoreErrorKind::Invalid);
}

#[tokio::test]
async fn an_interrupted_creation_is_repeated() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    fs::write(directory.path().join("FORMAT"), "orkestra-store fjall 1 unfinished\n").expect("it writes");
    fs::create_dir(directory.path().join("data")).expect("it can be made");
    fs::write(directory.path().join(JOURNAL), b"").expect("it writes");
    let store = open(directory.path()).expect("it opens");
    assert!(store.report().created);
    assert_eq!(store.append(vec![SampleRun::new("r").create()]).await, [Ok(())]);
}

/// Corrupted bytes are never read as data.
#[tokio::test]
async fn a_corrupted_journal_is_damage() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let mut run = SampleRun::new("r");
    let store = open(directory.path()).expect("it opens");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    for size in 1..60 {
        assert_eq!(store.append(vec![run.report(size * 20)]).await, [Ok(())]);
    }
    drop(store);
    let whole = fs::read(directory.path().join(JOURNAL)).expect("it reads");
    let written = whole.iter().rposition(|byte| *byte != 0).expect("something was written");
    let mut outcomes = std::collections::BTreeMap::new();
    for seed in 0..if std::env::var_os("ORKESTRA_LONG").is_some() { 400 } else { 24 } {
        let mut chance = Chance::new(seed);
        let mut bytes = whole.clone();
        let from = chance.below(written);
        let end = (from + 1 + chance.below(3_000)).min(written);
        bytes[from..end].fill_with(|| chance.next_u64().to_le_bytes()[0]);
        fs::write(directory.path().join(JOURNAL), bytes).expect("it writes");
        let (kind, message) = refused(directory.path());
        assert_eq!(kind, StoreErrorKind::Damaged, "seed {seed}: {message}");
        *outcomes.entry(message.contains("the end of the log is lost")).or_insert(0) += 1;
    }
    println!("corrupted journals, by whether their end counted as lost: {outcomes:?}");
}

/// The largest values that the trait allows.
#[tokio::test]
async fn large_values_are_kept() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let store = FjallStore::options().with_durability(Durability::Process).open(directory.path()).expect("it opens");
    let mut run = SampleRun::new("large");
    assert!(store.append(vec![run.create(), run.report(2_000_000)]).await.iter().all(Result::is_ok));
    let bytes = vec![7; 64 * 1024 * 1024];
    store.put_blob(run.id(), "b", &bytes).await.expect("it writes");
    drop(store);
    let store = open(directory.path()).expect("it opens again");
    assert!(store.blob(run.id(), "b").await.expect("it reads") == Some(bytes), "all of it is there");
    store.delete(run.id()).await.expect("it deletes");
    assert_eq!(store.blob(run.id(), "b").await, Ok(None));
    store.check().await.expect("it is whole");
}
