//! What goes into a run's inbox, as bytes: JSON with a version, readable for ever like a commit.
//!
//! Only what comes from outside a run can be sent to it; what its own driver tells it never leaves that process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::{InputKind, Outcome};
use crate::model::{Amount, Name, Payload, RunId, Seq, journaled};

use super::codec::CodecError;

/// The version that [`encode_letter`] writes.
pub const LETTER_VERSION: u32 = 1;

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Sent {
    Signal {
        signal: Name,
        #[serde(with = "journaled")]
        payload: Payload,
    },
    Answer {
        question: Seq,
        #[serde(with = "journaled")]
        answer: Payload,
    },
    ChildEnded { child: RunId, outcome: Outcome, spent: BTreeMap<Name, Amount> },
    ChildCancelled { child: RunId },
    Cancel { reason: String },
    Terminate { reason: String },
    Pause { reason: String },
    Resume,
    Retry { node: Name },
    SetBudget { meter: Name, limit: Option<Amount> },
}

#[derive(Serialize)]
struct Outgoing<'a> {
    v: u32,
    sent: &'a Sent,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

#[derive(Deserialize)]
struct Incoming {
    sent: Sent,
}

impl Sent {
    fn of(kind: InputKind) -> Option<Self> {
        Some(match kind {
            InputKind::Signal { signal, payload } => Self::Signal { signal, payload },
            InputKind::Answer { question, answer } => Self::Answer { question, answer },
            InputKind::ChildEnded { child, outcome, spent } => Self::ChildEnded { child, outcome, spent },
            InputKind::ChildCancelled { child } => Self::ChildCancelled { child },
            InputKind::Cancel { reason } => Self::Cancel { reason },
            InputKind::Terminate { reason } => Self::Terminate { reason },
            InputKind::Pause { reason } => Self::Pause { reason },
            InputKind::Resume => Self::Resume,
            InputKind::Retry { node } => Self::Retry { node },
            InputKind::SetBudget { meter, limit } => Self::SetBudget { meter, limit },
            InputKind::Create { .. }
            | InputKind::Fork { .. }
            | InputKind::Recover
            | InputKind::Tick
            | InputKind::AttemptEnded { .. }
            | InputKind::Task { .. }
            | InputKind::TaskParked { .. }
            | InputKind::SlotGranted { .. }
            | InputKind::ValueRead { .. }
            | InputKind::ParentTold => return None,
        })
    }

    fn into_kind(self) -> InputKind {
        match self {
            Self::Signal { signal, payload } => InputKind::Signal { signal, payload },
            Self::Answer { question, answer } => InputKind::Answer { question, answer },
            Self::ChildEnded { child, outcome, spent } => InputKind::ChildEnded { child, outcome, spent },
            Self::ChildCancelled { child } => InputKind::ChildCancelled { child },
            Self::Cancel { reason } => InputKind::Cancel { reason },
            Self::Terminate { reason } => InputKind::Terminate { reason },
            Self::Pause { reason } => InputKind::Pause { reason },
            Self::Resume => InputKind::Resume,
            Self::Retry { node } => InputKind::Retry { node },
            Self::SetBudget { meter, limit } => InputKind::SetBudget { meter, limit },
        }
    }
}

/// Encodes what a run is told from outside; `None` for what only its own driver may tell it.
///
/// # Errors
/// None that a caller can cause.
pub fn encode_letter(kind: InputKind) -> Result<Option<Vec<u8>>, CodecError> {
    let Some(sent) = Sent::of(kind) else { return Ok(None) };
    Ok(Some(serde_json::to_vec(&Outgoing { v: LETTER_VERSION, sent: &sent })?))
}

/// Decodes it.
///
/// # Errors
/// [`CodecError`] when the bytes are damaged, or of a newer version. Never panics, whatever the bytes are.
pub fn decode_letter(body: &[u8]) -> Result<InputKind, CodecError> {
    let Version { v } = serde_json::from_slice(body)?;
    if v > LETTER_VERSION {
        return Err(CodecError::Newer { found: v });
    }
    let Incoming { sent } = serde_json::from_slice(body)?;
    Ok(sent.into_kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Letters of version 1 as they were written: they are read for ever.
    const WRITTEN: [&str; 10] = [
        r#"{"v":1,"sent":{"Signal":{"signal":"go","payload":{"to":7}}}}"#,
        r#"{"v":1,"sent":{"Answer":{"question":4,"answer":"yes"}}}"#,
        r#"{"v":1,"sent":{"ChildEnded":{"child":"c","outcome":{"completed":1},"spent":{}}}}"#,
        r#"{"v":1,"sent":{"ChildCancelled":{"child":"c"}}}"#,
        r#"{"v":1,"sent":{"Cancel":{"reason":"enough"}}}"#,
        r#"{"v":1,"sent":{"Terminate":{"reason":"now"}}}"#,
        r#"{"v":1,"sent":{"Pause":{"reason":"lunch"}}}"#,
        r#"{"v":1,"sent":"Resume"}"#,
        r#"{"v":1,"sent":{"Retry":{"node":"n"}}}"#,
        r#"{"v":1,"sent":{"SetBudget":{"meter":"usd","limit":null}}}"#,
    ];

    #[test]
    fn letters_are_read_as_they_were_written() {
        for written in WRITTEN {
            let kind = decode_letter(written.as_bytes()).expect("a letter");
            let again = encode_letter(kind).expect("it serialises").expect("it may be sent");
            assert_eq!(String::from_utf8_lossy(&again), written);
        }
    }

    #[test]
    fn what_is_no_letter_is_told_apart() {
        assert!(matches!(decode_letter(br#"{"v":2,"sent":"Dance"}"#), Err(CodecError::Newer { found: 2 })));
        for damaged in ["", "{}", r#"{"v":1}"#, r#"{"v":1,"sent":"Dance"}"#, "\u{0}"] {
            assert!(matches!(decode_letter(damaged.as_bytes()), Err(CodecError::Damaged(_))), "{damaged}");
        }
        assert!(matches!(encode_letter(InputKind::Tick), Ok(None)));
    }
}
