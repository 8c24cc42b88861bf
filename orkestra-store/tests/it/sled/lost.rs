//! A log that has lost its end, and values that would not be in the log at all.

use std::fs;
use std::path::Path;

use orkestra_core::model::Seq;
use orkestra_core::store::{Store, StoreErrorKind};
use orkestra_store::{Durability, SledStore};
use orkestra_testkit::sample::SampleRun;
use tempfile::TempDir;

/// A store whose log is as it was before the last commit was acknowledged.
async fn rewound(durability: Durability) -> (TempDir, SampleRun) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let open = || SledStore::options().with_durability(durability).open(directory.path()).expect("the store opens");
    let mut run = SampleRun::new("r");
    let store = open();
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    drop(store);
    let log = fs::read(directory.path().join("db")).expect("it reads");
    let store = open();
    assert_eq!(store.append(vec![run.report(100)]).await, [Ok(())]);
    drop(store);
    fs::write(directory.path().join("db"), log).expect("it writes");
    for entry in fs::read_dir(directory.path()).expect("it is there") {
        let path = entry.expect("an entry").path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("snap.")) {
            fs::remove_file(path).expect("it can be removed");
        }
    }
    (directory, run)
}

async fn length(store: &SledStore, run: &SampleRun) -> usize {
    store.read(run.id(), Seq(1), usize::MAX).await.expect("it reads").len()
}

#[tokio::test]
async fn a_lost_end_is_damage_until_somebody_accepts_it() {
    let (directory, run) = rewound(Durability::Fsync).await;
    for _ in 0..2 {
        let Err(error) = SledStore::open(directory.path()) else { panic!("an acknowledged commit is missing") };
        assert_eq!(error.kind(), StoreErrorKind::Damaged);
        assert!(error.to_string().contains("the commit at 3 of run `r`"), "{error}");
    }
    fs::remove_file(directory.path().join("mark")).expect("it can be removed");
    let store = SledStore::open(directory.path()).expect("the loss was accepted");
    assert_eq!(length(&store, &run).await, 1);
}

#[tokio::test]
async fn a_lost_end_is_told_when_only_the_process_had_to_be_survived() {
    let (directory, run) = rewound(Durability::Process).await;
    let store = SledStore::open(directory.path()).expect("it goes on with what is there");
    assert_eq!(store.report().lost.as_deref(), Some("the commit at 3 of run `r`"));
    assert_eq!(length(&store, &run).await, 1);
    drop(store);
    let store = SledStore::open(directory.path()).expect("it opens as ever");
    assert_eq!(store.report().lost, None, "it was told once");
}

#[tokio::test]
async fn a_deletion_leaves_nothing_to_be_missed() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let store = SledStore::open(directory.path()).expect("the store opens");
    let mut run = SampleRun::new("r");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    store.delete(run.id()).await.expect("it deletes");
    drop(store);
    SledStore::open(directory.path()).expect("nothing is missing");
}

fn blobs(directory: &Path) -> usize {
    fs::read_dir(directory.join("blobs")).expect("sled makes it").count()
}

/// What sled puts under `blobs/` it never syncs. Pages full of the largest parts are the worst that can be.
#[tokio::test]
async fn nothing_is_ever_kept_beside_the_log() {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let store = SledStore::options().with_durability(Durability::Process).open(directory.path()).expect("it opens");
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
