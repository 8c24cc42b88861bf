//! The serialised form of payloads in journals, snapshots, records and letters, where they may be references.
//!
//! A reference is `{"$orkestra.blob":{"key":…,"bytes":…}}` or `{"$orkestra.outputs":{}}`. A user's text that begins
//! like one is wrapped as `{"$orkestra.json":…}`; every other text is stored as is. So a user's text is never read as a
//! reference.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::value::RawValue;

use super::id::{Name, Seq};
use super::payload::Payload;
use super::reference::{BLOB, KeptAt, Mark, PREFIX, Reference};

/// Writes a payload that may be a reference.
pub(crate) fn serialize<S: Serializer>(payload: &Payload, serializer: S) -> Result<S::Ok, S::Error> {
    if payload.is_kept_beside() || !is_marked(payload) {
        return payload.serialize(serializer);
    }
    #[derive(Serialize)]
    struct Wrapped<'a> {
        #[serde(rename = "$orkestra.json")]
        json: &'a Payload,
    }
    Wrapped { json: payload }.serialize(serializer)
}

/// Whether the payload begins with the engine's own prefix.
pub(crate) fn is_marked(payload: &Payload) -> bool {
    payload.as_json().starts_with(PREFIX)
}

/// Reads a payload that may be a reference.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Payload, D::Error> {
    read(Box::<RawValue>::deserialize(deserializer)?).map_err(de::Error::custom)
}

fn read(written: Box<RawValue>) -> Result<Payload, serde_json::Error> {
    let text = written.get();
    if !text.starts_with(PREFIX) {
        return Ok(Payload::text(written));
    }
    match serde_json::from_str(text) {
        Ok(Mark::Blob { blob, known }) => Ok(Payload::refer(Reference::new(KeptAt::Blob(blob), known))),
        Ok(Mark::Outputs {}) => Ok(Payload::beside(KeptAt::Outputs)),
        // Only texts with the prefix are wrapped. Anything else under this key comes from a format that wrapped
        // nothing.
        Ok(Mark::Json(json)) if json.get().starts_with(PREFIX) => Ok(Payload::text(json)),
        Err(damaged) if text.starts_with(BLOB) => Err(damaged),
        Ok(Mark::Json(_)) | Err(_) => Ok(Payload::text(written)),
    }
}

/// A payload that may be a reference, nested in another type.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Kept(#[serde(with = "self")] Payload);

#[derive(Serialize)]
#[serde(transparent)]
struct Keep<'a>(#[serde(serialize_with = "serialize")] &'a Payload);

/// An optional payload, as a list of at most one: `null` is a payload.
pub(crate) mod maybe {
    use super::{Deserialize, Deserializer, Keep, Kept, Payload, Serializer};

    pub(crate) fn serialize<S: Serializer>(payload: &Option<Payload>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(payload.iter().map(Keep))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Payload>, D::Error> {
        Vec::deserialize(deserializer).map(|list: Vec<Kept>| list.into_iter().next().map(|Kept(payload)| payload))
    }
}

/// Queues of payloads by name, in order of arrival.
pub(crate) mod queues {
    use super::{BTreeMap, Deserialize, Deserializer, Keep, Kept, Name, Payload, Seq, Serializer};

    type Queues = BTreeMap<Name, BTreeMap<Seq, Payload>>;

    pub(crate) fn serialize<S: Serializer>(queues: &Queues, serializer: S) -> Result<S::Ok, S::Error> {
        fn queue(queue: &BTreeMap<Seq, Payload>) -> Vec<(Seq, Keep<'_>)> {
            queue.iter().map(|(came, payload)| (*came, Keep(payload))).collect()
        }
        serializer.collect_map(queues.iter().map(|(name, all)| (name, queue(all))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Queues, D::Error> {
        let queues = BTreeMap::<Name, Vec<(Seq, Kept)>>::deserialize(deserializer)?;
        let queue = |list: Vec<(Seq, Kept)>| list.into_iter().map(|(came, Kept(payload))| (came, payload)).collect();
        Ok(queues.into_iter().map(|(name, list)| (name, queue(list))).collect())
    }
}

/// Payloads by name.
pub(crate) mod values {
    use super::{BTreeMap, Deserialize, Deserializer, Keep, Kept, Name, Payload, Serializer};

    pub(crate) fn serialize<S: Serializer>(values: &BTreeMap<Name, Payload>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(values.iter().map(|(name, value)| (name, Keep(value))))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<Name, Payload>, D::Error> {
        let values = BTreeMap::<Name, Kept>::deserialize(deserializer)?;
        Ok(values.into_iter().map(|(name, Kept(value))| (name, value)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Field(#[serde(with = "super")] Payload);

    fn written(payload: &Payload) -> String {
        serde_json::to_string(&Field(payload.clone())).expect("it serialises")
    }

    fn read_back(text: &str) -> Payload {
        let Field(payload) = serde_json::from_str(text).expect("it reads back");
        payload
    }

    #[test]
    fn a_users_text_is_never_read_as_a_reference() {
        let mut texts = vec![
            r#"{"$orkestra.blob":{"run":"r","key":"k","bytes":1}}"#.to_owned(),
            r#"{"$orkestra.blob":{"key":"k","bytes":1}}"#.to_owned(),
            r#"{"$orkestra.blob": 7}"#.to_owned(),
            r#"{"$orkestra.outputs":{}}"#.to_owned(),
            r#"{"$orkestra.json":null}"#.to_owned(),
            r#"{"$orkestra."#.to_owned() + r#"":1,"a":2.50}"#,
            r#"{ "$orkestra.blob":{"key":"k","bytes":1}}"#.to_owned(),
            r#"{"\u0024orkestra.outputs":{}}"#.to_owned(),
            r#"[{"$orkestra.outputs":{}}]"#.to_owned(),
            "1".to_owned(),
        ];
        for _ in 0..3 {
            for text in texts.clone() {
                let inline: Payload = serde_json::from_str(&text).expect("JSON");
                assert_eq!((inline.as_json(), inline.is_kept_beside()), (text.as_str(), false));
                let journaled = written(&inline);
                let back = read_back(&journaled);
                assert_eq!((back.as_json(), back.is_kept_beside()), (text.as_str(), false), "{journaled}");
                // A user may supply what the journal holds.
                texts.push(journaled);
            }
            texts.sort();
            texts.dedup();
        }
    }

    #[test]
    fn references_are_read_as_they_were_written() {
        for mark in [
            r#"{"$orkestra.blob":{"key":"k","bytes":1}}"#,
            r#"{"$orkestra.blob":{"run":"r","key":"k","bytes":1}}"#,
            r#"{"$orkestra.blob":{"key":"k","bytes":1,"known":{"holds":{"a":true},"slots":{"/b":null}}}}"#,
            r#"{"$orkestra.outputs":{}}"#,
        ] {
            let reference = read_back(mark);
            assert!(reference.is_kept_beside(), "{mark}");
            assert_eq!((written(&reference).as_str(), reference.as_json()), (mark, mark));
            assert_ne!(
                reference,
                serde_json::from_str::<Payload>(mark).expect("JSON"),
                "the text is a different value"
            );
            let error = reference.to::<serde_json::Value>().expect_err("it is not the value").to_string();
            assert!(error.starts_with("the value is kept beside the journal"), "{error}");
        }
        assert!(serde_json::from_str::<Field>(r#"{"$orkestra.blob":7}"#).is_err(), "a damaged reference is refused");
    }

    #[test]
    fn texts_of_formats_without_wrapping_are_read_as_they_are() {
        for text in [r#"{"$orkestra.json":5}"#, r#"{"$orkestra.other":{}}"#] {
            let payload = read_back(text);
            assert_eq!((payload.as_json(), payload.is_kept_beside()), (text, false));
        }
    }
}
