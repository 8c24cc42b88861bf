//! Why a run or a node waits: the form in response bodies.

use orkestra_core::model::Timestamp;
use orkestra_core::projection::{LeaseView, RunWaitsFor, SlotWait, WaitsFor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

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

impl SlotBody {
    fn of(slot: &SlotWait) -> Self {
        Self { limit: slot.limit.to_string(), key: slot.key.clone(), place: slot.place }
    }
}

impl WaitBody {
    /// What a node waits for.
    #[must_use]
    pub fn of(wait: &WaitsFor) -> Self {
        let body = Self { kind: wait.kind().to_owned(), text: wait.to_string(), ..Self::default() };
        let at = |time: &Timestamp| Some(time.to_string());
        let maybe = |time: &Option<Timestamp>| time.as_ref().and_then(at);
        match wait {
            WaitsFor::Timer { until, .. } | WaitsFor::Retry { until, .. } | WaitsFor::Stop { until } => {
                Self { until: at(until), ..body }
            }
            WaitsFor::Signal { signal, until, .. } => {
                Self { request_id: Some(signal.to_string()), until: maybe(until), ..body }
            }
            WaitsFor::Question { id, question, until, .. } => {
                Self { request_id: Some(id.0.to_string()), question: question.to().ok(), until: maybe(until), ..body }
            }
            WaitsFor::Child { run, until, .. } => Self { run_id: Some(run.to_string()), until: maybe(until), ..body },
            WaitsFor::Slots { slots } => Self { slots: slots.iter().map(SlotBody::of).collect(), ..body },
            WaitsFor::Nodes { nodes, .. } => Self { nodes: nodes.iter().map(ToString::to_string).collect(), ..body },
            WaitsFor::Pause { since, .. } | WaitsFor::Budget { since, .. } => Self { since: at(since), ..body },
            // Kind and text are enough, also for a new kind.
            _ => body,
        }
    }

    /// What a run as a whole waits for.
    #[must_use]
    pub fn of_run(wait: &RunWaitsFor) -> Self {
        let since = match wait {
            RunWaitsFor::Engine { since } => Some(since.to_string()),
            _ => None,
        };
        Self { kind: wait.kind().to_owned(), text: wait.to_string(), since, ..Self::default() }
    }
}

#[cfg(test)]
mod tests {
    use orkestra_core::model::{Name, Payload, Seq};
    use serde_json::json;

    use super::*;

    #[test]
    fn a_wait_has_its_kind_a_sentence_and_the_fields_of_its_kind() {
        let body = |wait: WaitsFor| {
            let json = json!(WaitBody::of(&wait));
            let back: WaitBody = serde_json::from_value(json.clone()).expect("it reads back");
            assert_eq!(json!(back), json);
            json
        };
        let name = |text: &str| Name::new(text).expect("a name");
        let until = Timestamp::from_millis(60_000);
        let signal = WaitsFor::Signal { key: None, signal: name("approve"), until: Some(until) };
        let expected = json!({
            "kind": "signal",
            "text": "the signal `approve`, until 1970-01-01T00:01:00.000Z",
            "until": "1970-01-01T00:01:00.000Z",
            "request_id": "approve",
        });
        assert_eq!(body(signal), expected);
        let question = Payload::of(&json!({"text": "go?"})).expect("a payload");
        let asked = body(WaitsFor::Question { key: "k".into(), id: Seq(7), question, until: None });
        assert_eq!((&asked["request_id"], &asked["question"]), (&json!("7"), &json!({"text": "go?"})));
        let nodes = body(WaitsFor::Nodes { nodes: vec![name("a"), name("b")], needed: 2 });
        assert_eq!(nodes, json!({"kind": "nodes", "text": "the nodes `a` and `b`", "nodes": ["a", "b"]}));
        assert_eq!(body(WaitsFor::Decision), json!({"kind": "decision", "text": "a decision on its failure"}));
    }
}
