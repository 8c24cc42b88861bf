//! Journals of every format, as they were once written. They must stay readable and replay to the same states.
//!
//! IMPORTANT: the files must never be changed. A new format gets new files next to them.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::journal::{Replayer, STATE_VERSION, Written, decode_snapshot, encode, encode_snapshot};
use orkestra_core::kernel::{Event, Outcome, RunState};
use orkestra_core::model::{Failure, RunId, Seq, Timestamp};
use serde_json::value::Value;
use sha2::{Digest, Sha256};

use super::scene::{json, name};
use super::show::show;
use crate::stored::Stored;

const COMPLETED: &str = include_str!("fixtures/v1-completed.json");
const FAILED: &str = include_str!("fixtures/v1-failed.json");
const CANCELLED: &str = include_str!("fixtures/v1-cancelled.json");
const COMPLETED_2: &str = include_str!("fixtures/v2-completed.json");
const TIMED_OUT_2: &str = include_str!("fixtures/v2-timed-out.json");
const TERMINATED_2: &str = include_str!("fixtures/v2-terminated.json");
const FORKED_3: &str = include_str!("fixtures/v3-forked.json");
const LARGE_3: &str = include_str!("fixtures/v3-large.json");
const PUBLISHED_3: &str = include_str!("fixtures/v3-published.json");

fn replayed(journal: &str) -> (RunState, Vec<Event>) {
    let run = RunId::new("fixture").expect("a run id");
    let stored: Vec<Stored> = serde_json::from_str(journal).expect("a fixture");
    let mut replayer = Replayer::new(run.clone());
    let mut events = Vec::new();
    for stored in stored {
        let written = stored.written(&run);
        let commit = replayer.add(&written).expect("an old journal is readable");
        let again = encode(&commit).expect("events serialise");
        assert_eq!(as_old_as(&written, &again), written, "only the number differs");
        events.extend(commit.events);
    }
    (replayer.finish().expect("a run"), events)
}

/// Each format only added to the one before: what both can express has the same bytes.
fn as_old_as(old: &Written, new: &Written) -> Written {
    let [old, body] = [old, new].map(|written| std::str::from_utf8(&written.body).expect("JSON is text"));
    let number = old.split_inclusive(',').next().expect("a number comes first");
    Written { body: body.replacen(r#"{"v":3,"#, number, 1).as_bytes().into(), ..new.clone() }
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
fn runs_of_format_2() {
    let undone = Outcome::TimedOut(Timestamp::from_millis(1_800_000_000_100));
    for (journal, lines, outcome) in [
        (
            COMPLETED_2,
            include_str!("fixtures/v2-completed.txt"),
            Outcome::Completed(json(r#"{"after-never":null,"all":6}"#)),
        ),
        (TIMED_OUT_2, include_str!("fixtures/v2-timed-out.txt"), undone),
        (TERMINATED_2, include_str!("fixtures/v2-terminated.txt"), Outcome::Terminated("enough".into())),
    ] {
        let (state, events) = replayed(journal);
        assert_eq!(state.outcome(), Some(&outcome));
        assert_eq!(events.iter().map(show).collect::<Vec<_>>(), lines.lines().collect::<Vec<_>>());
        assert_eq!(state.labels()["org"], "o1");
    }
}

#[test]
fn the_inputs_of_a_run_of_format_2_are_read() {
    let (state, _) = replayed(COMPLETED_2);
    let build = &state.plan().nodes()[0].spec;
    assert_eq!((build.priority, build.version.as_deref(), build.total_timeout_ms), (3, Some("v3"), Some(60_000)));
    assert_eq!((state.options().priority, state.spent()), (2, &super::asks::tokens(25)));
    let slots = state.slots(state.plan().id("review").expect("a node"));
    assert_eq!(slots.iter().map(ToString::to_string).collect::<Vec<_>>(), ["reviewers[o1]", "reviewers[x]", "x[k]"]);
    let (state, _) = replayed(TIMED_OUT_2);
    let undo = state.plan().id("undo:b").expect("a node");
    assert_eq!(state.node_input(undo).expect("it fits"), json("2"));
    let (state, _) = replayed(TERMINATED_2);
    assert_eq!(
        state.options().forked_from.as_ref().map(|fork| (fork.run.as_str(), fork.seq)),
        Some(("source", Seq(4)))
    );
}

#[test]
fn a_fork_of_format_3_with_dropped_waits_and_retried_compensation() {
    let (state, events) = replayed(FORKED_3);
    let lines = include_str!("fixtures/v3-forked.txt");
    assert_eq!(events.iter().map(show).collect::<Vec<_>>(), lines.lines().collect::<Vec<_>>());
    let undo = state.undo().expect("something was undone");
    assert_eq!((undo.undone.len(), undo.failed.len()), (1, 0), "its own, and nothing of the other run");
}

#[test]
fn references_and_texts_like_them_in_format_3() {
    let (state, _) = replayed(LARGE_3);
    assert_eq!(state.outcome(), Some(&Outcome::Completed(json(r#"{"$orkestra.outputs":{}}"#))), "a user's text");
    let mark = r#"{"$orkestra.blob":{"key":"k","bytes":300000,"known":{"slots":{"/tenant":"t1"}}}}"#;
    assert_eq!((state.input().as_json(), state.input().is_kept_beside()), (mark, true), "the answers are known");
    let output = state.node(state.plan().id("a").expect("a node")).output.as_ref();
    assert!(output.is_some_and(orkestra_core::model::Payload::is_kept_beside));
}

#[test]
fn values_published_in_format_3() {
    let (state, _) = replayed(PUBLISHED_3);
    assert_eq!(state.published()["phase"], json("\"done\""));
    assert!(state.published()["text"].is_kept_beside());
}

#[test]
fn every_kind_of_event_is_in_the_fixtures() {
    let journals =
        [COMPLETED, FAILED, CANCELLED, COMPLETED_2, TIMED_OUT_2, TERMINATED_2, FORKED_3, LARGE_3, PUBLISHED_3];
    let known: BTreeSet<_> =
        journals.into_iter().flat_map(|journal| replayed(journal).1).map(|event| kind(&event)).collect();
    assert_eq!(known, Event::kinds().iter().map(|kind| (*kind).to_owned()).collect());
}

/// The value with sorted object fields, whatever features of serde_json are enabled elsewhere.
fn sorted(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: BTreeMap<_, _> = fields.iter().map(|(key, value)| (key, sorted(value))).collect();
            format!("{fields:?}")
        }
        Value::Array(items) => format!("{:?}", items.iter().map(sorted).collect::<Vec<_>>()),
        plain => plain.to_string(),
    }
}

/// Snapshots of another form or meaning must not be read: a state that differs from that of an earlier version needs a
/// new version number.
#[test]
fn states_match_their_version() {
    let digest = |journal: &str| {
        let state = serde_json::to_value(replayed(journal).0).expect("a state serialises");
        Sha256::digest(sorted(&state)).iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    let formats_1_and_2 = [COMPLETED, FAILED, CANCELLED, COMPLETED_2, TIMED_OUT_2, TERMINATED_2].map(digest);
    let format_3 = [FORKED_3, LARGE_3, PUBLISHED_3].map(digest);
    let digests = [&formats_1_and_2[..], &format_3].concat();
    let of_version_3 = [
        "fc09611439038c28",
        "490a24c7bd0adbac",
        "d5a8dc510c7837a4",
        "4ec076fbd7e1daa8",
        "c7f87e630a4a758f",
        "0ec34f888013bd6b",
        "2cca49a88e8381f2",
        "9a00ba9601d91eb5",
        "0fe80f59753b8be3",
    ];
    assert_eq!((STATE_VERSION, digests), (3, of_version_3.map(str::to_owned).to_vec()), "then STATE_VERSION must grow");
}

#[test]
fn a_changed_snapshot_is_ignored() {
    let run = RunId::new("fixture").expect("a run id");
    let stored: Vec<Stored> = serde_json::from_str(COMPLETED_2).expect("a fixture");
    let journal: Vec<_> = stored.into_iter().map(|stored| stored.written(&run)).collect();
    let state = replayed(COMPLETED_2).0;
    let (before, last) = (&journal[journal.len() - 2], &journal[journal.len() - 1]);
    assert!(encode_snapshot(&state, before).is_none(), "it belongs to another position");
    let bytes = encode_snapshot(&state, last).expect("a small state");
    assert_eq!(decode_snapshot(&bytes, last).as_ref(), Some(&state));
    assert_eq!(decode_snapshot(&bytes, before), None);
    let another = Written { body: b"{}"[..].into(), ..last.clone() };
    assert_eq!(decode_snapshot(&bytes, &another), None, "a journal that was cut and then continued differently");
    for place in (0..bytes.len()).step_by(7) {
        let mut garbled = bytes.clone();
        garbled[place] ^= 1;
        assert!(decode_snapshot(&garbled, last).is_none_or(|read| read == state), "byte {place}");
        assert_eq!(decode_snapshot(&bytes[..place], last), None);
    }
    let newer = String::from_utf8(bytes).expect("JSON").replacen(r#"{"v":3,"#, r#"{"v":4,"#, 1);
    assert_eq!(decode_snapshot(newer.as_bytes(), last), None);
}

/// The name of the kind of event.
pub(super) fn kind(event: &Event) -> String {
    let debug = format!("{event:?}");
    debug.split(' ').next().expect("a name").to_owned()
}
