//! What a store does to its files, recorded from outside, and the states that a failure of the power may leave of it.
//!
//! ```text
//! a child process writes under strace -> log -> trace of writes, names and syncs     recording, strace, follow, trace
//!   -> the whole trace must make the directory as it is: no change is missing        recording
//! trace -> disk at the point where the power fails -> state that may be left         model, crash, content
//! ```

mod content;
mod crash;
mod follow;
mod model;
mod recording;
mod strace;
mod trace;

use std::path::PathBuf;

use tempfile::TempDir;

use recording::{Life, Recording, Scenario, record};
use trace::What;

use crate::support::backend::BACKENDS;
use crate::support::child::have;

/// The first two processes leave without closing the store, while its threads are at work.
const KILLED: &[Life] = &[(120, false), (120, false), (60, true)];

fn memory() -> TempDir {
    let shared = tempfile::tempdir_in("/dev/shm");
    shared.or_else(|_| tempfile::tempdir()).expect("a directory for a test")
}

/// Records a scenario. Panics if the trace does not make the directory as it is, byte by byte.
fn recorded(scenario: &Scenario, lives: &[Life]) -> Recording {
    let memory = memory();
    // strace shows paths without links.
    let place: PathBuf = memory.path().canonicalize().expect("it was just made");
    record(scenario, lives, &place.join("live"), &place.join("log"))
}

#[test]
fn a_trace_makes_the_directory_that_was_recorded() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let (name, durability) = ("recorded".to_owned(), "fsync".to_owned());
        let scenario = Scenario { backend: *backend, name, durability, gathered_bytes: 65_536, seed: 1 };
        let records = recorded(&scenario, KILLED).trace.records;
        let starts = records.iter().filter(|record| matches!(record.what, What::Started));
        assert_eq!(starts.count(), KILLED.len(), "{scenario}");
    }
}
