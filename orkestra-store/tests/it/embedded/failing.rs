//! System calls that fail once, injected by strace.

use crate::support::acknowledged::Acknowledged;
use crate::support::backend::{BACKENDS, Backend, Options};
use crate::support::child::{command, have, run};
use crate::support::ending::{Cause, Ending, must_reopen};

/// Messages for a failed call, and for one in the background of fjall.
const CAUSES: &[Cause] =
    &[&["Input/output error"], &["No space left on device"], &["a background write of fjall failed"]];

/// Makes the `when`-th of these calls in each thread fail once while a store is filled, only on `files` if there are
/// any.
async fn fails(backend: Backend, durability: &str, inject: &str, files: &[&str], when: u32) -> Ending {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let path = directory.path().join("store");
    let store = path.to_str().expect("a plain path");
    // Created before, so that creating the store does not fail.
    drop(backend.open_with(&path, Options::default()).expect("the store opens"));
    let inject = format!("inject={inject}:when={when}");
    let files: Vec<_> = files.iter().map(|file| format!("{store}/{file}")).collect();
    let log = directory.path().join("calls");
    let mut trace = vec!["strace", "-f", "-o", log.to_str().expect("a plain path"), "-e", &inject];
    files.iter().for_each(|file| trace.extend(["-P", file]));
    let mut acknowledged = Acknowledged::default();
    let words = [&backend.name(), store, durability, "50000", "60"];
    let ending = Ending::hear(&run(command(&trace, "fill", &words)), &mut acknowledged);
    ending.must_name(CAUSES);
    must_reopen(backend, &path, &acknowledged, 0).await;
    ending
}

/// Makes each of the first calls fail in turn. Returns how often the store or its opening failed.
async fn each_fails(backend: Backend, durability: &str, inject: &str, files: &[&str]) -> usize {
    let mut ended = 0;
    for when in [1, 2, 3, 4, 5, 8, 15] {
        let ending = fails(backend, durability, inject, files, when).await;
        let (refused, unopened) = (&ending.refused, &ending.unopened);
        println!("{backend:?} {durability} {inject} {when}: {} written, {refused:?} {unopened:?}", ending.acknowledged);
        ended += usize::from(refused.is_some() || unopened.is_some());
    }
    ended
}

/// The files that a group commit goes into.
fn log_files(backend: Backend) -> &'static [&'static str] {
    match backend.name().as_str() {
        "sled" => &["wal.0", "wal.1"],
        _ => &["data/0.jnl"],
    }
}

#[tokio::test]
async fn a_failed_sync_poisons_the_store_and_acknowledges_nothing() {
    if !have("strace") {
        return;
    }
    for &backend in BACKENDS {
        assert!(each_fails(backend, "fsync", "fdatasync:error=EIO", &[]).await > 4, "{backend:?}");
    }
}

#[tokio::test]
async fn a_failed_write_of_the_log_poisons_the_store() {
    if !have("strace") {
        return;
    }
    for &backend in BACKENDS {
        for (durability, error) in [("fsync", "write:error=EIO"), ("process", "write:error=ENOSPC")] {
            let ended = each_fails(backend, durability, error, log_files(backend)).await;
            assert!(ended > 4, "{backend:?} {durability} {error}: {ended}");
        }
    }
}

#[tokio::test]
async fn a_failed_write_of_the_mark_is_harmless() {
    if !have("strace") {
        return;
    }
    for &backend in BACKENDS {
        for when in [1, 2, 5] {
            let ending = fails(backend, "fsync", "write:error=ENOSPC", &["mark"], when).await;
            assert!(ending.refused.is_none() && ending.unopened.is_none(), "{backend:?} {when}: {ending:?}");
        }
    }
}

#[tokio::test]
async fn a_call_that_fails_in_the_background_loses_nothing() {
    if !have("strace") {
        return;
    }
    for &backend in BACKENDS {
        let calls: &[&str] = match backend.name().as_str() {
            "sled" => &["sync_file_range:error=EIO", "pwrite64:error=ENOSPC", "fsync:error=EIO"],
            _ => &["fsync:error=EIO", "ftruncate:error=ENOSPC", "unlink:error=EIO"],
        };
        for call in calls {
            each_fails(backend, "fsync", call, &[]).await;
        }
    }
}
