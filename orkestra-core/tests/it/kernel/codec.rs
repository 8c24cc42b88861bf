//! Commits as bytes: damaged and newer ones are errors, never panics.

use orkestra_core::journal::{CodecError, Replayer, Written, decode, encode};
use orkestra_core::kernel::{InputKind, RunState, broken_invariant};
use orkestra_core::model::{Epoch, Retry, RunId, Seq};
use proptest::prelude::*;

use super::moves::{moves, play};
use super::property::cases;
use super::scene::{Scene, create, json, task};
use super::world::{nodes, options};

fn run() -> RunId {
    RunId::new("r").expect("a run id")
}

fn decoded(body: &str) -> Result<usize, String> {
    let commit = decode(&run(), Seq(1), Seq(1), body.as_bytes()).map_err(|error| error.to_string())?;
    Ok(commit.events.len())
}

#[test]
fn a_newer_version_is_reported_whatever_the_commit_holds() {
    let words = "cannot read the commit: it has format 4, and this version reads up to 3; use a newer version";
    for body in [r#"{"v":4}"#, r#"{"v":4,"epoch":1,"at":1,"events":[{"Unheard":{}}]}"#] {
        assert_eq!(decoded(body), Err(words.into()));
    }
}

#[test]
fn bytes_that_are_not_a_commit_are_damage() {
    for body in [
        "",
        "{",
        "null",
        "[]",
        "{}",
        r#"{"v":"1","epoch":1,"at":1,"events":["Recovered"]}"#,
        r#"{"v":-1,"epoch":1,"at":1,"events":["Recovered"]}"#,
        r#"{"v":1}"#,
        r#"{"v":1,"epoch":1,"at":-1,"events":["Recovered"]}"#,
        r#"{"v":1,"epoch":1,"at":1,"events":["unheard"]}"#,
        r#"{"v":1,"epoch":1,"at":1,"events":[{"Unheard":{},"Of":{}}]}"#,
        r#"{"v":1,"epoch":1,"at":1,"events":["RunCreated"]}"#,
        r#"{"v":1,"epoch":1,"at":1,"events":["Recovered"]} "x""#,
        r#"{"v":1,"epoch":1,"at":1,"events":[{"NodeCancelled":{"node":"no name"}}]}"#,
        "\u{feff}{\"v\":1}",
    ] {
        let error = decode(&run(), Seq(1), Seq(1), body.as_bytes()).expect_err(body);
        assert!(matches!(error, CodecError::Damaged(_)), "{body}: {error}");
    }
    assert_eq!(decoded(r#"{"v":1,"epoch":1,"at":1,"events":["Recovered"],"more":1}"#), Ok(1));
}

/// A newer version may add events without a new version number: its commits are not damaged.
#[test]
fn an_unknown_event_is_not_damage() {
    let words = "cannot read the commit: this version does not know the event `Unheard`; use a newer version";
    for events in [r#""Unheard""#, r#"{"Unheard":{"node":"a"}}"#, r#"{"Unheard":null}"#] {
        let body = format!(r#"{{"v":2,"epoch":1,"at":1,"events":[{events}]}}"#);
        assert_eq!(decoded(&body), Err(words.into()), "{body}");
    }
    let damaged_before = r#"{"v":2,"epoch":1,"at":1,"events":[{"NodeCancelled":{}},"Unheard"]}"#;
    assert!(decoded(damaged_before).expect_err("damage").starts_with("the commit is damaged"));
}

#[test]
fn a_plan_with_a_cycle_is_damage_not_a_panic() {
    let node = |name, after| format!(r#"{{"name":"{name}","task":"t","after":["{after}"]}}"#);
    let nodes = [node("a", "b"), node("b", "a")].join(",");
    let created = format!(r#"{{"RunCreated":{{"plan":{{"name":"w","nodes":[{nodes}]}},"input":1}}}}"#);
    let error = decoded(&format!(r#"{{"v":1,"epoch":1,"at":1,"events":[{created}]}}"#)).expect_err("a cycle");
    assert!(error.starts_with("the commit is damaged: the workflow has a cycle"), "{error}");
}

#[test]
fn the_number_of_events_must_match_the_positions() {
    let body = br#"{"v":1,"epoch":1,"at":1,"events":["Recovered","Recovered"]}"#;
    assert!(decode(&run(), Seq(4), Seq(5), body).is_ok());
    for (first, last) in [(4, 4), (4, 6), (5, 4), (0, u64::MAX), (u64::MAX, u64::MAX), (u64::MAX, 0)] {
        let error = decode(&run(), Seq(first), Seq(last), body).expect_err("another number");
        assert!(matches!(error, CodecError::Count { found: 2, .. }), "{first}..{last}: {error}");
    }
    let none = br#"{"v":1,"epoch":1,"at":1,"events":[]}"#;
    assert!(matches!(decode(&run(), Seq(4), Seq(3), none), Err(CodecError::Count { found: 0, expected: 0 })));
}

#[test]
fn a_gap_in_the_journal_is_an_error() {
    let mut scene = Scene::of([task("a")]);
    scene.feed(InputKind::Recover).expect("it recovers");
    let mut replayer = Replayer::new(run());
    let words = replayer.add(&scene.journal[1]).expect_err("the first is missing").to_string();
    assert_eq!(words, "the journal of run `r` has a gap: expected a commit at 1, found one at 3");
    replayer.add(&scene.journal[0]).expect("the first");
    let words = replayer.add(&scene.journal[0]).expect_err("twice").to_string();
    assert_eq!(words, "the journal of run `r` has a gap: expected a commit at 3, found one at 1");
}

#[test]
fn an_illegal_event_is_an_error_with_its_position() {
    let body = br#"{"v":1,"epoch":1,"at":1,"events":["Recovered"]}"#.as_slice().into();
    let written = Written { run: run(), first: Seq(1), last: Seq(1), epoch: Epoch(1), body };
    let error = Replayer::new(run()).add(&written).expect_err("there is no run");
    assert_eq!(error.to_string(), "event 1 of run `r` is illegal: the first event must be RunCreated");
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        drop(decode(&run(), Seq(1), Seq(1), &bytes));
    }

    /// Floats are read back exactly: a plan must not differ after a crash.
    #[test]
    fn a_retry_policy_is_read_back_unchanged(factor in 1.0..9.0_f64, jitter in 0.0..1.0_f64) {
        let retry = Retry { factor, jitter, ..Retry::exponential(3) };
        let mut scene = Scene::nothing();
        scene.feed(create([task("a").with_retry(retry).with_input(json("[1, 2]"))])).expect("a plan");
    }
}

proptest! {
    #![proptest_config(cases(48))]

    /// Our own bytes, changed: whatever still decodes is applied, and that does not panic either.
    #[test]
    fn damaged_journals_are_refused_or_read(
        nodes in nodes(), options in options(), moves in moves(30), damage in proptest::collection::vec((any::<u16>(), any::<u8>(), 0..4_u8), 1..4)
    ) {
        let scene = play(nodes, options, &moves);
        for damaged in 0..scene.journal.len() {
            let mut replayer = Replayer::new(run());
            for (index, written) in scene.journal.iter().enumerate() {
                let body = if index == damaged { damage_body(&written.body, &damage) } else { written.body.to_vec() };
                if replayer.add(&Written { body: body.into(), ..written.clone() }).is_err() {
                    break;
                }
                // It may be wrong, but it must be readable.
                drop(replayer.state().map(broken_invariant));
            }
        }
    }

    #[test]
    fn commits_are_decoded_as_they_were_encoded(nodes in nodes(), options in options(), moves in moves(40)) {
        let scene = play(nodes, options, &moves);
        let mut replayer = Replayer::new(run());
        for written in &scene.journal {
            let commit = replayer.add(written).expect("our own journal is legal");
            prop_assert_eq!(&encode(&commit).expect("events serialise"), written);
        }
        prop_assert!(replayer.finish().as_ref().map(RunState::last) == scene.state.as_ref().map(RunState::last));
    }
}

/// Changes digits (so that much of it still decodes), flips bytes, cuts and duplicates.
fn damage_body(body: &[u8], damage: &[(u16, u8, u8)]) -> Vec<u8> {
    let mut body = body.to_vec();
    for &(place, byte, how) in damage {
        let digits: Vec<_> = (0..body.len()).filter(|at| body[*at].is_ascii_digit()).collect();
        let place = usize::from(place);
        match how {
            0 if !body.is_empty() => {
                let at = place % body.len();
                body[at] = byte;
            }
            1 => body.truncate(place),
            2 if !body.is_empty() => {
                let from = place % body.len();
                let doubled = body[from..(from + usize::from(byte)).min(body.len())].to_vec();
                body.splice(from..from, doubled);
            }
            _ if !digits.is_empty() => body[digits[place % digits.len()]] = b'0' + byte % 10,
            _ => {}
        }
    }
    body
}
