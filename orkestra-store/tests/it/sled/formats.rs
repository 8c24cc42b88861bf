//! Stores of every older format, written by the versions of their time, are upgraded with all their content.

use std::fs;
use std::path::{Path, PathBuf};

use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{LetterId, Store, StoreErrorKind};
use orkestra_store::SledStore;
use orkestra_testkit::sample::SampleRun;
use tempfile::TempDir;

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/sled-{format}"))
}

fn copied(format: u32) -> TempDir {
    let directory = tempfile::tempdir().expect("a directory for a test");
    for entry in fs::read_dir(fixture(format)).expect("the fixture is there") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, directory.path().join(path.file_name().expect("a file's name"))).expect("it copies");
    }
    directory
}

/// The content of the fixtures: twelve runs, each created, with four reports and a last commit or another report; the
/// fifth was deleted. A long blob, a value written six times, and one letter where the format has letters.
async fn must_be_whole(store: &SledStore, format: u32) {
    for number in 0..12 {
        let id = RunId::new(format!("r{number}")).expect("an id");
        let journal = store.read(&id, Seq(1), usize::MAX).await.expect("it reads");
        assert_eq!(journal.len(), if number == 4 { 0 } else { 6 }, "format {format}, run {id}");
        if number != 4 {
            SampleRun::resume(&id, &journal).expect("a journal is a run's");
        }
    }
    let (first, second) = (RunId::new("r1").expect("an id"), RunId::new("r2").expect("an id"));
    assert_eq!(store.blob(&first, "blob").await, Ok(Some(vec![7; 20_000])));
    let value = store.get("counter").await.expect("it reads").expect("it is there");
    assert_eq!((value.version, &value.bytes[..]), (6, &b"value 5"[..]));
    let letters = store.letters(&second, LetterId::ZERO, 9).await.expect("it reads");
    assert_eq!(letters.len(), usize::from(format > 2), "format {format}");
    store.check().await.expect("it is whole");
}

#[tokio::test]
async fn stores_of_older_formats_are_upgraded() {
    for format in 1..=3 {
        let directory = copied(format);
        for turn in 0..2 {
            let store = SledStore::open(directory.path()).unwrap_or_else(|error| panic!("format {format}: {error}"));
            assert_eq!(store.report().runs_checked, (turn == 0).then_some(11), "checked once, when it is upgraded");
            assert!(!store.report().created && store.report().after_crash == (turn == 0));
            must_be_whole(&store, format).await;
        }
        let text = fs::read_to_string(directory.path().join("FORMAT")).expect("it reads");
        assert_eq!(text, "orkestra-store sled 4\n");
        assert!(directory.path().join("fallback").exists());
    }
}

#[tokio::test]
async fn an_interrupted_upgrade_is_repeated() {
    for format in 1..=3 {
        let directory = copied(format);
        // What the first upgrade had written by then. The format is written last.
        fs::write(directory.path().join("fallback"), [7; 5_000]).expect("it writes");
        let store = SledStore::open(directory.path()).unwrap_or_else(|error| panic!("format {format}: {error}"));
        must_be_whole(&store, format).await;
    }
}

/// A database damaged by an interrupted checkpoint of an older version is refused wherever the damage matters, because
/// there is no fallback to restore.
#[tokio::test]
async fn a_damaged_store_of_an_older_format_is_not_upgraded() {
    let mut refused = 0;
    for format in 1..=3 {
        for eighth in 1..8 {
            let directory = copied(format);
            let path = directory.path().join("db");
            let mut bytes = fs::read(&path).expect("it reads");
            let from = bytes.len() * eighth / 8;
            bytes[from..from + 4_000].fill(0x55);
            fs::write(&path, &bytes).expect("it writes");
            match SledStore::open(directory.path()) {
                Ok(store) => must_be_whole(&store, format).await,
                Err(error) => {
                    assert_eq!(error.kind(), StoreErrorKind::Damaged, "format {format}: {error}");
                    let text = fs::read_to_string(directory.path().join("FORMAT")).expect("it reads");
                    assert_eq!(text, format!("orkestra-store sled {format}\n"), "it is unchanged");
                    refused += 1;
                }
            }
        }
    }
    // No damage matters where the write-ahead files still contain everything.
    assert!(refused > 2, "{refused} of 21");
}

/// The power may fail while a store is created: nothing was acknowledged, and it is created again.
#[tokio::test]
async fn an_unfinished_store_is_created_again_whatever_it_contains() {
    for (name, bytes) in
        [("conf", &b"segment_size: 5242"[..]), ("db", &[3; 700_000]), ("snap.0000", b"half"), ("wal.1", b"x")]
    {
        let directory = tempfile::tempdir().expect("a directory for a test");
        fs::write(directory.path().join("FORMAT"), "orkestra-store sled 3 unfinished\n").expect("it writes");
        fs::write(directory.path().join(name), bytes).expect("it writes");
        let store = SledStore::open(directory.path()).unwrap_or_else(|error| panic!("half of `{name}`: {error}"));
        assert!(store.report().created && store.report().set_aside.is_empty());
        assert_eq!(store.append(vec![SampleRun::new("r").create()]).await, [Ok(())]);
    }
}
