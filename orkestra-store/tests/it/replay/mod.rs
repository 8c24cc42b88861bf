//! Simulates power failures: the store must open with everything it has acknowledged, whatever else survived.
//!
//! ```text
//! a child process writes under strace -> log -> trace of writes, names and syncs     recording, strace, follow, trace
//!   -> the complete trace must produce the recorded directory: no change is missing  recording
//! trace -> disk at the point where the power fails -> state that may be left         model, states, crash, content
//!   -> opened, compared with what was acknowledged, written to, reopened             judge; in child processes: supervise
//! ```
//!
//! `ORKESTRA_LONG=1` runs the long form. `ORKESTRA_POWER_COUNT=1` prints failures without failing. The log of a failure
//! is kept, and `ORKESTRA_POWER_TRACE=<log>` judges it again: threads make every recording different, so a seed does
//! not repeat it.

mod content;
mod crash;
mod follow;
mod judge;
mod model;
mod outcome;
mod recording;
mod states;
mod strace;
mod supervise;
mod trace;

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use judge::Verdict;
use outcome::Outcome;
use recording::{Life, Recording, Scenario, record};
use supervise::judge_all;
use trace::What;

pub(crate) use supervise::play;

use crate::support::backend::{BACKENDS, Backend};
use crate::support::child::have;

/// A scenario: name, bytes collected before a checkpoint or flush, processes, share of the states in percent.
type Row = (&'static str, u64, &'static [Life], usize);

/// The first two processes exit without closing the store, while its threads are working.
const KILLED: &[Life] = &[(120, false), (120, false), (60, true)];

#[cfg(feature = "sled")]
const SLED: &[Row] = &[
    ("small", 65_536, &[(250, true)], 15),
    ("killed", 65_536, KILLED, 15),
    ("middle", 262_144, &[(500, true)], 30),
    ("large", 1_048_576, &[(900, true)], 40),
];

#[cfg(feature = "fjall")]
const FJALL: &[Row] =
    &[("small", 65_536, &[(250, true)], 40), ("killed", 65_536, KILLED, 30), ("large", 1_048_576, &[(500, true)], 30)];

/// How many states of each model are judged when each scenario is recorded once.
const STATES: usize = 100;

/// How often each scenario is recorded. With three models this gives 300 states, and 5,100 in the long form.
fn recordings() -> u64 {
    if std::env::var_os("ORKESTRA_LONG").is_some() { 17 } else { 1 }
}

/// A recording and its log, in a directory in memory where states are created as well.
struct Recorded {
    recording: Recording,
    log: PathBuf,
    memory: TempDir,
}

fn memory() -> TempDir {
    let shared = tempfile::tempdir_in("/dev/shm");
    shared.or_else(|_| tempfile::tempdir()).expect("a directory for a test")
}

/// Records a scenario. Panics unless the trace produces the recorded directory, byte by byte.
fn recorded(scenario: &Scenario, lives: &[Life]) -> Recorded {
    let memory = memory();
    // strace shows paths with symbolic links resolved.
    let place = memory.path().canonicalize().expect("it was just made");
    let log = place.join("log");
    Recorded { recording: record(scenario, lives, &place.join("live"), &log), log, memory }
}

/// Records each scenario and judges the states that a power failure may leave.
fn power_fails(backend: Backend, durability: &str, rows: &[Row]) -> Outcome {
    let mut outcome = Outcome::default();
    if let Some(log) = std::env::var_os("ORKESTRA_POWER_TRACE").map(PathBuf::from) {
        let recording = Recording::load(&log).unwrap_or_else(|why| panic!("{}: {why}", log.display()));
        let scenario = recording.scenario;
        if scenario.backend == backend && scenario.durability == durability {
            outcome.add(judge_all(&scenario, &log, memory().path(), STATES));
        }
        return outcome;
    }
    for seed in 1..=recordings() {
        for (name, gathered_bytes, lives, percent) in rows {
            let (name, durability) = ((*name).to_owned(), durability.to_owned());
            let scenario = Scenario { backend, name, durability, gathered_bytes: *gathered_bytes, seed };
            let Recorded { log, memory, .. } = recorded(&scenario, lives);
            let mut judged = judge_all(&scenario, &log, memory.path(), STATES * percent / 100);
            if !judged.failures.is_empty() {
                judged.failures.push(keep(&scenario, &log));
            }
            outcome.add(judged);
        }
    }
    outcome
}

/// Keeps the log of a failure, and says where.
fn keep(scenario: &Scenario, log: &Path) -> String {
    let kept = std::env::temp_dir().join(format!("orkestra-power-{}.strace", scenario.to_string().replace(' ', "-")));
    std::fs::copy(log, &kept).expect("there is room for a log");
    format!("kept: ORKESTRA_POWER_TRACE={} judges these states again", kept.display())
}

/// Panics if a state breaks a promise, unless failures are only counted.
fn must_hold(backend: Backend, durability: &str, rows: &[Row]) {
    if !have("strace") {
        return;
    }
    let outcome = power_fails(backend, durability, rows);
    for (model, counts) in outcome.by_model() {
        println!("{} {durability}, model {model}: {counts}", backend.name());
    }
    let failures = outcome.failures.join("\n");
    let counting = std::env::var_os("ORKESTRA_POWER_COUNT").is_some();
    if counting {
        println!("{failures}");
    }
    assert!(counting || failures.is_empty(), "a power failure breaks promises of the store:\n{failures}");
}

#[cfg(feature = "sled")]
#[test]
fn a_power_failure_loses_nothing_acknowledged_in_sled() {
    must_hold(Backend::Sled, "fsync", SLED);
}

#[cfg(feature = "fjall")]
#[test]
fn a_power_failure_loses_nothing_acknowledged_in_fjall() {
    must_hold(Backend::Fjall, "fsync", FJALL);
}

#[cfg(feature = "sled")]
#[test]
fn a_power_failure_never_leaves_a_wrong_state_of_sled_under_process_durability() {
    must_hold(Backend::Sled, "process", SLED);
}

#[cfg(feature = "fjall")]
#[test]
fn a_power_failure_never_leaves_a_wrong_state_of_fjall_under_process_durability() {
    must_hold(Backend::Fjall, "process", FJALL);
}

#[test]
fn a_trace_makes_the_directory_that_was_recorded() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let (name, durability) = ("recorded".to_owned(), "fsync".to_owned());
        let scenario = Scenario { backend: *backend, name, durability, gathered_bytes: 65_536, seed: 1 };
        let records = recorded(&scenario, KILLED).recording.trace.records;
        let starts = records.iter().filter(|record| matches!(record.what, What::Started));
        assert_eq!(starts.count(), KILLED.len(), "{scenario}");
    }
}

/// Shows that these tests can fail: a store that acknowledges before it syncs is detected in every model.
#[test]
fn the_simulation_finds_a_store_that_acknowledges_before_it_syncs() {
    if !have("strace") {
        return;
    }
    for backend in BACKENDS {
        let (name, durability) = ("unsynced".to_owned(), "process".to_owned());
        // With this size nothing is flushed in the background, which would sync.
        let scenario = Scenario { backend: *backend, name, durability, gathered_bytes: 1_048_576, seed: 1 };
        let Recorded { log, memory, .. } = recorded(&scenario, &[(60, true)]);
        let promised = Scenario { durability: "fsync".into(), ..scenario };
        for (model, counts) in judge_all(&promised, &log, memory.path(), STATES).by_model() {
            println!("{} that does not sync, model {model}: {counts}", backend.name());
            let found = [Verdict::Lost, Verdict::Wrong, Verdict::Refused].map(|verdict| counts.of(verdict));
            assert!(found.iter().sum::<usize>() > 0, "{backend:?}, model {model}: {counts}");
        }
    }
}
