//! What reaches the disk, seen from outside by strace.

use std::path::Path;

use crate::support::child::{command, have, run};

/// The system calls that make something durable, made while `batches` batches were written.
fn calls(durability: &str, batches: usize, inject: &[&str]) -> (Vec<String>, Vec<String>) {
    let directory = tempfile::tempdir().expect("a directory for a test");
    let log = directory.path().join("calls");
    let store = directory.path().join("store");
    let (log_text, store) = (log.to_str().expect("a plain path"), store.to_str().expect("a plain path"));
    let trace = ["strace", "-f", "-y", "-o", log_text, "-e", "trace=fsync,fdatasync,sync_file_range,msync,sync"];
    let told = run(command(&[&trace, inject].concat(), "write", &[store, durability, &batches.to_string()]));
    (read(&log), told)
}

/// Each call once: strace shows one that another interrupts in two lines.
fn read(log: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(log).expect("strace has written its log");
    text.lines().filter(|line| !line.contains("resumed>")).map(ToOwned::to_owned).collect()
}

fn count(calls: &[String], name: &str) -> usize {
    calls.iter().filter(|call| call.contains(&format!(" {name}("))).count()
}

/// How many calls of each sort ten batches more need. Opening and closing are the same for both.
fn per_ten_batches(durability: &str) -> [usize; 2] {
    let ((few, _), (many, told)) = (calls(durability, 5, &[]), calls(durability, 15, &[]));
    assert!(told.iter().all(|answer| answer == "ok" || answer == "1 read"), "{told:?}");
    ["fdatasync", "fsync"].map(|name| count(&many, name) - count(&few, name))
}

#[test]
fn fsync_is_one_fdatasync_per_group_commit() {
    if !have("strace") {
        return;
    }
    assert_eq!(per_ten_batches("fsync"), [10, 0]);
}

#[test]
fn process_asks_the_disk_for_nothing() {
    if !have("strace") {
        return;
    }
    assert_eq!(per_ten_batches("process"), [0, 0]);
}

#[test]
fn the_sync_is_the_last_call_before_the_answer_and_of_the_log() {
    if !have("strace") {
        return;
    }
    let (calls, _) = calls("fsync", 3, &[]);
    let syncs: Vec<_> = calls.iter().filter(|call| call.contains(" fdatasync(")).collect();
    assert!(syncs.iter().all(|call| call.contains("/store/db>)")), "{syncs:?}");
    // Every write-back that sled starts is followed by a sync: none comes after the last one but for closing.
    let last = calls.iter().rposition(|call| call.contains(" fdatasync(")).expect("there are syncs");
    let after: Vec<_> = calls[last + 1..].iter().filter(|call| call.contains(" sync_file_range(")).collect();
    assert_eq!(after, Vec::<&String>::new());
}

/// What is told when calls fail: some batches are whole, one cannot be told, and then nothing is done any more. strace counts
/// calls by thread, so it cannot be said which batch it is.
fn fails(told: &[String], error: &str) {
    let kind = |answer: &String| answer.split(['(', ' ']).next().unwrap_or_default().to_owned();
    let kinds: Vec<Vec<_>> = told.chunks(7).map(|batch| batch.iter().map(kind).collect()).collect();
    let whole = ["ok", "ok", "ok", "ok", "ok", "ok", "1"];
    let failing = ["Unknown", "Unknown", "Unknown", "Failed", "Failed", "Failed", "Poisoned"];
    let after = ["Failed", "Failed", "Failed", "Failed", "Failed", "Failed", "Poisoned"];
    let number = kinds.iter().position(|batch| *batch != whole).expect("a batch fails");
    assert_eq!(kinds[number], failing, "{told:?}");
    assert!(number > 0 && kinds[number + 1..].iter().all(|batch| *batch == after), "{told:?}");
    assert!(told[7 * number].contains(error), "{}", told[7 * number]);
}

#[test]
fn a_failed_sync_is_told_as_unknown_and_ends_the_store() {
    if !have("strace") {
        return;
    }
    let (_, told) = calls("fsync", 20, &["-e", "inject=fdatasync:error=EIO:when=2+"]);
    fails(&told, "Input/output error");
}

#[test]
fn a_failed_write_back_is_told_as_unknown_and_ends_the_store() {
    if !have("strace") {
        return;
    }
    let (_, told) = calls("process", 60, &["-e", "inject=sync_file_range:error=EIO:when=4+"]);
    fails(&told, "Input/output error");
}
