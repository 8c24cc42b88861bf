//! What reaches the disk, observed with strace.

use std::path::Path;

use tempfile::TempDir;

use crate::support::backend::{BACKENDS, Backend, Options};
use crate::support::child::{command, have, run};

/// The syncing system calls made while `batches` batches were written, and the child's reports.
fn calls(backend: Backend, durability: &str, batches: usize, inject: &[&str]) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    calls_in(backend, &directory, durability, batches, inject)
}

fn calls_in(
    backend: Backend,
    directory: &TempDir,
    durability: &str,
    batches: usize,
    inject: &[&str],
) -> (Vec<String>, Vec<String>) {
    calls_at(backend, directory, "store", durability, batches, inject)
}

/// The same for a store in the subdirectory `store`.
fn calls_at(
    backend: Backend,
    directory: &TempDir,
    store: &str,
    durability: &str,
    batches: usize,
    inject: &[&str],
) -> (Vec<String>, Vec<String>) {
    let log = directory.path().join("calls");
    let store = directory.path().join(store);
    let (log_text, store) = (log.to_str().expect("a plain path"), store.to_str().expect("a plain path"));
    let trace = ["strace", "-f", "-y", "-o", log_text, "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync"];
    let answers =
        run(command(&[&trace, inject].concat(), "write", &[&backend.name(), store, durability, &batches.to_string()]));
    (read(&log), answers)
}

/// Reads each call once: strace writes a call in two lines when another thread interrupts it.
fn read(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).expect("strace has written its log");
    text.lines().filter(|line| !line.contains("resumed>")).map(|line| line.replace(" <unfinished ...>", ")")).collect()
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| call.contains(&format!(" {name}("))).count()
}

/// How many calls of each kind ten more batches need. Opening and closing cancel out.
fn per_ten_batches(backend: Backend, durability: &str) -> [usize; 2] {
    let ((few, _), (many, answers)) = (calls(backend, durability, 5, &[]), calls(backend, durability, 15, &[]));
    assert!(answers.iter().all(|answer| ["ok", "1 read", "kept"].contains(&answer.as_str())), "{answers:?}");
    ["fdatasync", "fsync"].map(|name| count(&many, name) - count(&few, name))
}

#[test]
fn fsync_is_one_fdatasync_per_group_commit() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        assert_eq!(per_ten_batches(*backend, "fsync"), [10, 0], "{backend:?}");
    }
}

#[test]
fn process_durability_syncs_nothing() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        assert_eq!(per_ten_batches(*backend, "process"), [0, 0], "{backend:?}");
    }
}

#[test]
fn each_group_commit_syncs_only_the_log() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let (calls, _) = calls(*backend, "fsync", 3, &[]);
        let syncs: Vec<_> = calls.iter().filter(|call| call.contains(" fdatasync(")).collect();
        // When a store is created, sled's log and the fallback are synced once each. The first sync of the write-ahead
        // file is for the opening.
        let (log, made): (_, &[&str]) = match backend.name().as_str() {
            "sled" => ("/store/wal.0>)", &["/store/db>)", "/store/fallback.new>)"]),
            _ => ("/store/data/0.jnl>)", &[]),
        };
        let ahead = syncs.iter().filter(|call| call.contains(log)).count();
        assert_eq!((ahead, syncs.len()), (1 + 3, made.len() + 1 + 3), "{syncs:?}");
        for file in made {
            assert_eq!(syncs.iter().filter(|call| call.contains(file)).count(), 1, "{file}: {syncs:?}");
        }
    }
}

/// A store may be created in new directories. A power failure must not lose their names with everything in them.
#[test]
fn the_name_of_each_new_directory_is_synced() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let (calls, _) = calls_at(*backend, &directory, "a/b/store", "process", 1, &[]);
        let at =
            |path: &str| calls.iter().rposition(|call| call.contains(" fsync(") && call.contains(&format!("{path}>)")));
        let within = directory.path().file_name().expect("it has a name").to_string_lossy();
        for path in [&*within, "/a", "/a/b", "/a/b/store"] {
            assert!(at(path).is_some(), "{backend:?}: {path} is not synced: {calls:?}");
        }
        if backend.name() == "fjall" {
            let made = calls.iter().position(|call| call.contains("/store/data/keyspaces/1>)"));
            assert!(made.is_some() && at("/store/data/keyspaces") > made, "{calls:?}");
        }
    }
}

/// Checks the answers when calls fail: some complete batches, one with an unknown outcome, then only refusals. strace
/// counts calls per thread, so the failing batch is not known in advance.
fn fails(answers: &[String], error: &str) {
    let kind = |answer: &String| answer.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let kinds: Vec<Vec<_>> = answers.chunks(8).map(|batch| batch.iter().map(kind).collect()).collect();
    let whole = ["ok", "ok", "ok", "ok", "ok", "ok", "1", "kept"];
    let failing = ["Unknown", "Unknown", "Unknown", "Failed", "Failed", "Failed", "Poisoned", "Poisoned"];
    let after = ["Failed", "Failed", "Failed", "Failed", "Failed", "Failed", "Poisoned", "Poisoned"];
    let number = kinds.iter().position(|batch| *batch != whole).expect("one batch fails");
    assert_eq!(kinds[number], failing, "{answers:?}");
    assert!(number > 0 && kinds[number + 1..].iter().all(|batch| *batch == after), "{answers:?}");
    assert!(answers[8 * number].contains(error), "{}", answers[8 * number]);
}

#[test]
fn a_failed_sync_is_answered_unknown_and_poisons_the_store() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let (_, answers) = calls(*backend, "fsync", 20, &["-e", "inject=fdatasync:error=EIO:when=4+"]);
        fails(&answers, "Input/output error");
    }
}

/// A failure in the background affects nothing acknowledged, which is in the write-ahead file or the journal.
async fn a_failure_in_the_background(backend: Backend, inject: &str, expected: &str) {
    if !have("strace") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory for a test");
    let path = directory.path().join("store");
    // Created before, so that creating the store does not fail.
    drop(backend.open_with(&path, Options::default()).expect("the store opens"));
    let (_, answers) = calls_in(backend, &directory, "process", 600, &["-e", inject]);
    let written = answers.iter().filter(|answer| *answer == "ok").count();
    assert!(answers.iter().any(|answer| answer.contains(expected)), "{:?}", answers.last());
    assert_eq!(answers.last().map(String::as_str), Some("Poisoned"));
    let store = backend.open_with(&path, Options { check: true, ..Options::default() }).expect("it reopens");
    let commits = store.check().await.expect("it is whole").commits;
    // Each commit is answered twice: written, and repeated.
    assert!(commits >= written as u64 / 2 && written > 30, "{commits} of {written} are there");
}

#[cfg(feature = "sled")]
#[tokio::test]
async fn a_failed_checkpoint_poisons_the_store_and_loses_nothing() {
    a_failure_in_the_background(Backend::Sled, "inject=sync_file_range:error=EIO", "Input/output error").await;
}

/// The first calls of each thread belong to opening the store.
#[cfg(feature = "fjall")]
#[tokio::test]
async fn a_failed_flush_poisons_the_store_and_loses_nothing() {
    let inject = "inject=fsync:error=EIO:when=8+";
    a_failure_in_the_background(Backend::Fjall, inject, "a background write of fjall failed").await;
}
