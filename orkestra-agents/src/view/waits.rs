//! Why a run or a node waits: the form in response bodies.
//!
//! A body has every field of the wait's own JSON, so a new field or kind of the engine reaches clients without a change here.

use orkestra_core::model::Timestamp;
use orkestra_core::projection::{LeaseView, RunWaitsFor, WaitsFor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The fields of waits that are times.
const TIMES: [&str; 3] = ["until", "since", "free_at"];

/// One thing that a node or a run waits for: its kind, a sentence for people, and the fields of its kind. A field that the
/// kind does not have is missing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct WaitBody {
    /// Of a node: `timer`, `signal`, `question`, `child`, `retry`, `slots`, `nodes`, `pause`, `budget`, `decision` or `stop`. Of a
    /// run: `engine`, `capacity`, `blocked` or `stuck`.
    pub kind: String,
    /// What follows "waits for", in words.
    pub text: String,
    /// When the wait ends at the latest; RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Since when; RFC 3339 in UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What an answer must name: the id of the question, or the signal. The same as in the event `human_input_required`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The question. Missing if it is too long to be in the journal itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub question: Option<Value>,
    /// The run that is waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_id: Option<String>,
    /// The nodes that are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
    /// The slots that are waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slots: Vec<SlotBody>,
    /// The other fields of the kind, such as `needed` of `nodes`, or `meter`, `spent` and `limit` of `budget`, in millionths.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// A slot that is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SlotBody {
    /// The limit.
    pub limit: String,
    /// The key that the limit counts by.
    pub key: Option<String>,
    /// The place in the queue, from 1; missing when another engine has the queue.
    pub place: Option<usize>,
    /// Its other fields, such as `in_use` and `at_once`. `free_at` is RFC 3339 in UTC. A field that is not known is missing.
    #[serde(flatten)]
    pub other: Map<String, Value>,
}

/// The engine that works on a run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct LeaseBody {
    /// The engine.
    pub worker: String,
    /// Until when, unless it renews its lease; RFC 3339 in UTC.
    pub until: String,
}

impl LeaseBody {
    pub(super) fn of(lease: &LeaseView) -> Self {
        Self { worker: lease.worker.to_string(), until: lease.until.to_string() }
    }
}

impl WaitBody {
    /// What a node waits for.
    #[must_use]
    pub fn of(wait: &WaitsFor) -> Self {
        let mut fields = fields(wait);
        let request_id = match wait {
            WaitsFor::Signal { signal, .. } => Some(signal.to_string()),
            WaitsFor::Question { id, question, .. } => {
                fields.remove("id");
                // NOTE: after the times, because the fields of a question are the user's own.
                fields.extend(question.to().ok().map(|question: Value| ("question".to_owned(), question)));
                Some(id.0.to_string())
            }
            WaitsFor::Child { run, .. } => {
                fields.remove("run");
                fields.insert("run_id".to_owned(), run.to_string().into());
                None
            }
            // The other kinds have no other names here.
            _ => None,
        };
        Self { request_id, ..Self::read(wait.kind(), wait.to_string(), fields) }
    }

    /// What a run as a whole waits for.
    #[must_use]
    pub fn of_run(wait: &RunWaitsFor) -> Self {
        Self::read(wait.kind(), wait.to_string(), fields(wait))
    }

    fn read(kind: &str, text: String, mut fields: Map<String, Value>) -> Self {
        fields.insert("kind".to_owned(), kind.into());
        fields.insert("text".to_owned(), text.clone().into());
        // Kind and text are enough for a new kind whose fields have other types.
        serde_json::from_value(fields.into()).unwrap_or_else(|_| Self {
            kind: kind.to_owned(),
            text,
            ..Self::default()
        })
    }
}

/// The fields of a wait but its question, with times in RFC 3339.
fn fields(wait: &impl Serialize) -> Map<String, Value> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(wait) else { return Map::new() };
    fields.remove("question");
    in_words(&mut fields);
    fields
}

/// Writes times as RFC 3339, and leaves out what is not known.
fn in_words(fields: &mut Map<String, Value>) {
    fields.retain(|_, value| !value.is_null());
    for (name, value) in fields {
        match value {
            Value::Number(millis) if TIMES.contains(&name.as_str()) => {
                *value = Timestamp::from_millis(millis.as_u64().unwrap_or_default()).to_string().into();
            }
            Value::Array(items) => items.iter_mut().filter_map(Value::as_object_mut).for_each(in_words),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use orkestra_core::model::{Amount, Name, Payload, RunId, Seq};
    use serde_json::json;

    use super::*;

    const TIME: u64 = 60_000;
    const IN_WORDS: &str = "1970-01-01T00:01:00.000Z";

    fn name(text: &str) -> Name {
        Name::new(text).expect("a name")
    }

    /// Checks the fields of a body besides `text`, which is what `wait` displays, and that the body reads back.
    fn check(body: &WaitBody, text: String, mut expected: Value) {
        expected["text"] = text.into();
        let json = json!(body);
        assert_eq!(json, expected);
        assert_eq!(&serde_json::from_value::<WaitBody>(json).expect("it reads back"), body);
    }

    #[test]
    fn a_wait_of_a_node_has_all_fields_of_its_kind() {
        let (key, at) = ("k".to_owned(), Timestamp::from_millis(TIME));
        let question = Payload::of(&json!({"since": 5, "left": null})).expect("a payload");
        let run = RunId::new("r2").expect("an id");
        let (spent, limit) = (Amount::micros(7), Amount::micros(5));
        for (wait, expected) in [
            (WaitsFor::Timer { key: key.clone(), until: at }, json!({"kind": "timer", "key": "k", "until": IN_WORDS})),
            (
                WaitsFor::Signal { key: None, signal: name("approve"), until: Some(at) },
                json!({"kind": "signal", "signal": "approve", "request_id": "approve", "until": IN_WORDS}),
            ),
            (
                WaitsFor::Question { key: key.clone(), id: Seq(7), question, until: None },
                json!({"kind": "question", "key": "k", "request_id": "7", "question": {"since": 5, "left": null}}),
            ),
            (
                WaitsFor::Child { key, run, workflow: name("w"), until: None },
                json!({"kind": "child", "key": "k", "run_id": "r2", "workflow": "w"}),
            ),
            (WaitsFor::Retry { attempt: 2, until: at }, json!({"kind": "retry", "attempt": 2, "until": IN_WORDS})),
            (WaitsFor::Slots { slots: Vec::new() }, json!({"kind": "slots"})),
            (
                WaitsFor::Nodes { nodes: vec![name("a"), name("b")], needed: 2 },
                json!({"kind": "nodes", "nodes": ["a", "b"], "needed": 2}),
            ),
            (
                WaitsFor::Pause { reason: "lunch".to_owned(), since: at },
                json!({"kind": "pause", "reason": "lunch", "since": IN_WORDS}),
            ),
            (
                WaitsFor::Budget { meter: name("usd"), spent, limit, since: at },
                json!({"kind": "budget", "meter": "usd", "spent": 7, "limit": 5, "since": IN_WORDS}),
            ),
            (WaitsFor::Decision, json!({"kind": "decision"})),
            (WaitsFor::Stop { until: at }, json!({"kind": "stop", "until": IN_WORDS})),
        ] {
            check(&WaitBody::of(&wait), wait.to_string(), expected);
        }
    }

    #[test]
    fn a_wait_of_a_run_has_all_fields_of_its_kind() {
        let reason = || "the store fails".to_owned();
        for (wait, expected) in [
            (RunWaitsFor::Engine { since: Timestamp::from_millis(TIME) }, json!({"kind": "engine", "since": IN_WORDS})),
            (RunWaitsFor::Capacity { runs_max: 3 }, json!({"kind": "capacity", "runs_max": 3})),
            (RunWaitsFor::Blocked { reason: reason() }, json!({"kind": "blocked", "reason": reason()})),
            (RunWaitsFor::Stuck { reason: reason() }, json!({"kind": "stuck", "reason": reason()})),
        ] {
            check(&WaitBody::of_run(&wait), wait.to_string(), expected);
        }
    }

    #[test]
    fn a_slot_has_all_fields_that_are_known() {
        // As `SlotWait` is in JSON; only an engine makes one.
        let known = json!({"limit": "gpu", "key": "x", "place": 3, "in_use": 2, "at_once": 2, "free_at": TIME});
        let unknown =
            json!({"limit": "gpu", "key": null, "place": null, "in_use": null, "at_once": null, "free_at": null});
        let fields = fields(&json!({"kind": "slots", "slots": [known, unknown]}));
        let body = WaitBody::read("slots", "slots".to_owned(), fields);
        let known = json!({"limit": "gpu", "key": "x", "place": 3, "in_use": 2, "at_once": 2, "free_at": IN_WORDS});
        let unknown = json!({"limit": "gpu", "key": null, "place": null});
        check(&body, "slots".to_owned(), json!({"kind": "slots", "slots": [known, unknown]}));
    }

    #[test]
    fn a_kind_with_fields_of_other_types_keeps_its_kind_and_its_text() {
        let body = WaitBody::read("new", "what is new".to_owned(), fields(&json!({"nodes": 7})));
        check(&body, "what is new".to_owned(), json!({"kind": "new"}));
    }
}
