//! Payloads in the journal: a user's text is never read as a reference, in whatever field it is.

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::journal::{Commit, decode, decode_letter, encode, encode_letter};
use orkestra_core::kernel::{Event, InputKind, Outcome};
use orkestra_core::model::{Epoch, Failure, Name, Payload, RunId, Seq, Timestamp};
use proptest::prelude::*;

use super::property::cases;
use super::scene::{json, name};

fn texts() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("9007199254740993".to_owned()),
        any::<i32>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("a text")),
    ];
    let keys = prop_oneof![
        Just("$orkestra.blob"),
        Just("$orkestra.json"),
        Just("$orkestra.outputs"),
        Just("$orkestra."),
        Just("\\u0024orkestra.json"),
        Just("run"),
        Just("key"),
        Just("bytes"),
        Just("a"),
    ];
    leaf.prop_recursive(5, 24, 3, move |inner| {
        let field = (keys.clone(), prop_oneof![Just(""), Just(" ")], inner.clone());
        let field = field.prop_map(|(key, space, value)| format!("{space}\"{key}\":{space}{value}"));
        prop_oneof![
            proptest::collection::vec(field, 1..3).prop_map(|fields| format!("{{{}}}", fields.join(","))),
            proptest::collection::vec(inner, 0..3).prop_map(|items| format!("[{}]", items.join(", "))),
        ]
    })
}

/// An event for each field that holds a payload.
fn everywhere(payload: &Payload) -> Vec<Event> {
    let (node, step, at) = (name("n"), "s".to_owned(), || payload.clone());
    let charges = BTreeMap::new;
    let failure = Failure { detail: Some(at()), ..Failure::permanent("k", "m") };
    let child = RunId::new("c").expect("a run id");
    vec![
        Event::InputReplaced { node: node.clone(), input: at() },
        Event::NodeCompleted { node: node.clone(), output: at() },
        Event::StepCompleted { node: node.clone(), step: step.clone(), result: at(), charges: charges() },
        Event::StepFailed { node: node.clone(), step: step.clone(), failure, charges: charges() },
        Event::SignalReceived { signal: name("x"), payload: at() },
        Event::QuestionAsked { node: node.clone(), step: step.clone(), question: at(), until: None },
        Event::QuestionAnswered { node: node.clone(), step: step.clone(), answer: at() },
        Event::ChildRequested {
            node: node.clone(),
            step: step.clone(),
            child,
            workflow: name("w"),
            input: at(),
            until: None,
        },
        Event::ChildEnded { node: node.clone(), step, outcome: Outcome::Completed(at()), charges: charges() },
        Event::Emitted { node, kind: "k".into(), payload: at() },
        Event::RunCompleted { output: at() },
    ]
}

/// The payload of an event of `everywhere`.
fn payload_of(event: &Event) -> &Payload {
    match event {
        Event::InputReplaced { input: payload, .. }
        | Event::NodeCompleted { output: payload, .. }
        | Event::StepCompleted { result: payload, .. }
        | Event::StepFailed { failure: Failure { detail: Some(payload), .. }, .. }
        | Event::SignalReceived { payload, .. }
        | Event::QuestionAsked { question: payload, .. }
        | Event::QuestionAnswered { answer: payload, .. }
        | Event::ChildRequested { input: payload, .. }
        | Event::ChildEnded { outcome: Outcome::Completed(payload), .. }
        | Event::Emitted { payload, .. }
        | Event::RunCompleted { output: payload } => payload,
        other => panic!("no payload in {other:?}"),
    }
}

proptest! {
    #![proptest_config(cases(192))]

    #[test]
    fn a_users_text_is_read_back_unchanged_in_every_field(text in texts()) {
        let payload: Payload = serde_json::from_str(&text).expect("JSON");
        let text = text.trim();
        prop_assert_eq!(payload.as_json(), text);
        let run = RunId::new("r").expect("a run id");
        let events = everywhere(&payload);
        let commit = Commit { run: run.clone(), first: Seq(1), epoch: Epoch(1), at: Timestamp::from_millis(1), events };
        let written = encode(&commit).expect("events serialise");
        let read = decode(&run, written.first, written.last, &written.body).expect("it reads back");
        prop_assert_eq!(&read, &commit);
        for event in &read.events {
            prop_assert_eq!((payload_of(event).as_json(), payload_of(event).is_kept_beside()), (text, false));
        }
        let letter = encode_letter(InputKind::Signal { signal: name("x"), payload: payload.clone() });
        let letter = letter.expect("it serialises").expect("it may be sent");
        let InputKind::Signal { payload: read, .. } = decode_letter(&letter).expect("a letter") else {
            panic!("a signal");
        };
        prop_assert_eq!(read, payload);
    }
}

/// Extend this test when a field that may be kept beside the journal is added, for the journal's form and for the
/// copies of a fork.
#[test]
fn references_are_read_only_in_fields_that_may_hold_them() {
    let mark = r#"{"$orkestra.blob":{"key":"k","bytes":7}}"#;
    let run = RunId::new("r").expect("a run id");
    let mut verbatim = BTreeSet::new();
    for event in everywhere(&json("\"here\"")) {
        let commit = Commit {
            run: run.clone(),
            first: Seq(1),
            epoch: Epoch(1),
            at: Timestamp::from_millis(1),
            events: vec![event],
        };
        let written = encode(&commit).expect("events serialise");
        let body = std::str::from_utf8(&written.body).expect("JSON is text").replace("\"here\"", mark);
        let read = decode(&run, Seq(1), Seq(1), body.as_bytes()).expect("it reads back");
        let payload = payload_of(&read.events[0]);
        assert_eq!(payload.as_json(), mark);
        if !payload.is_kept_beside() {
            verbatim.insert(super::fixture::kind(&read.events[0]));
        }
        assert!(encode(&read).is_ok_and(|again| *again.body == *body.as_bytes()), "{body}");
    }
    assert_eq!(verbatim.into_iter().collect::<Vec<_>>(), ["Emitted", "StepFailed"]);
}

#[test]
fn a_node_name_cannot_look_like_a_reference() {
    // A run's output is an object by node name: no node can produce one that looks like a reference.
    assert!(Name::new("$orkestra.blob").is_err());
}
