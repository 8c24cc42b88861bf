//! Journals of format 1, as they were written once: they are decoded and replayed for ever.
//!
//! IMPORTANT: the files are never changed. A new format gets new files beside them.

use std::collections::BTreeSet;

use orkestra_core::journal::{Replayer, Written, encode};
use orkestra_core::kernel::{Event, Outcome, RunState};
use orkestra_core::model::{Epoch, Failure, RunId, Seq};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::scene::{json, name};
use super::show::show;

const COMPLETED: &str = include_str!("fixtures/v1-completed.json");
const FAILED: &str = include_str!("fixtures/v1-failed.json");
const CANCELLED: &str = include_str!("fixtures/v1-cancelled.json");

/// How a journal is kept: the bodies are the very bytes that a store held.
#[derive(Deserialize)]
struct Stored {
    first: Seq,
    last: Seq,
    epoch: Epoch,
    body: Box<RawValue>,
}

fn replayed(journal: &str) -> (RunState, Vec<Event>) {
    let run = RunId::new("fixture").expect("a run id");
    let stored: Vec<Stored> = serde_json::from_str(journal).expect("a fixture");
    let mut replayer = Replayer::new(run.clone());
    let mut events = Vec::new();
    for Stored { first, last, epoch, body } in stored {
        let written = Written { run: run.clone(), first, last, epoch, body: body.get().as_bytes().into() };
        let commit = replayer.add(&written).expect("an old journal is readable");
        assert_eq!(as_format_1(&encode(&commit).expect("events serialise")), written, "nothing but the number differs");
        events.extend(commit.events);
    }
    (replayer.finish().expect("a run"), events)
}

/// Format 2 only added to format 1: what both can say, they say in the same bytes.
fn as_format_1(written: &Written) -> Written {
    let body = std::str::from_utf8(&written.body).expect("JSON is text");
    let body = body.replacen(r#"{"v":2,"#, r#"{"v":1,"#, 1);
    Written { body: body.as_bytes().into(), ..written.clone() }
}

#[test]
fn a_completed_run_of_format_1() {
    let (state, events) = replayed(COMPLETED);
    assert_eq!(state.outcome(), Some(&Outcome::Completed(json(r#"{"publish":[1, 2.50],"sum":"é"}"#))));
    assert_eq!(state.labels()["org"], "o1");
    let lines: Vec<_> = events.iter().map(show).collect();
    assert_eq!(lines, include_str!("fixtures/v1-completed.txt").lines().collect::<Vec<_>>());
}

#[test]
fn a_failed_run_of_format_1() {
    let (state, _) = replayed(FAILED);
    let failure = Failure {
        detail: Some(json(r#"{"missing":["a.rs"]}"#)),
        ..Failure::permanent("validation_failure", "files are missing").with_backtrace("at: work".into())
    };
    assert_eq!(state.outcome(), Some(&Outcome::Failed { node: name("fetch"), failure }));
}

#[test]
fn a_cancelled_run_of_format_1() {
    let (state, _) = replayed(CANCELLED);
    assert_eq!(state.outcome(), Some(&Outcome::Cancelled("not needed any more".into())));
}

#[test]
fn every_kind_of_event_is_in_the_fixtures() {
    let mut kinds = BTreeSet::new();
    for event in [COMPLETED, FAILED, CANCELLED].into_iter().flat_map(|journal| replayed(journal).1) {
        let debug = format!("{event:?}");
        kinds.insert(debug.split(' ').next().expect("a name").to_owned());
    }
    let expected = [
        "AttemptFailed",
        "AttemptStarted",
        "Emitted",
        "Grown",
        "NodeCancelled",
        "NodeCompleted",
        "Recovered",
        "RunCancelled",
        "RunCompleted",
        "RunCreated",
        "RunFailed",
        "SignalAwaited",
        "SignalConsumed",
        "SignalReceived",
        "StepCompleted",
        "StepFailed",
        "StepStarted",
        "StopRequested",
        "TimerFired",
        "TimerSet",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
