//! Letters of a run's inbox as bytes: versioned JSON that stays readable for ever, like a commit.
//!
//! Only inputs from outside a run can be sent to it. Inputs from its own driver never leave that process.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::kernel::{InputKind, Outcome};
use crate::model::{Amount, Name, Payload, RunId, Seq, journaled};

use super::codec::CodecError;

/// The highest version that [`encode_letter`] writes: version 2 has references without a run, and wraps texts that look
/// like references. Whatever version 1 can express is written as version 1, because an older engine may drive the run.
pub const LETTER_VERSION: u32 = 2;

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
    ChildEnded {
        child: RunId,
        outcome: Outcome,
        spent: BTreeMap<Name, Amount>,
    },
    ChildCancelled {
        child: RunId,
    },
    Cancel {
        reason: String,
    },
    Terminate {
        reason: String,
    },
    Pause {
        reason: String,
    },
    Resume,
    Retry {
        node: Name,
    },
    SetBudget {
        meter: Name,
        limit: Option<Amount>,
    },
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
            // The sender has checked the parent.
            InputKind::Cancel { reason } | InputKind::CancelChild { reason, .. } => Self::Cancel { reason },
            InputKind::Terminate { reason } => Self::Terminate { reason },
            InputKind::Pause { reason } => Self::Pause { reason },
            InputKind::Resume => Self::Resume,
            InputKind::Retry { node } => Self::Retry { node },
            InputKind::SetBudget { meter, limit } => Self::SetBudget { meter, limit },
            InputKind::Create { .. }
            | InputKind::Fork { .. }
            | InputKind::Recover
            | InputKind::Release
            | InputKind::Tick
            | InputKind::AttemptEnded { .. }
            | InputKind::Task { .. }
            | InputKind::TaskParked { .. }
            | InputKind::SlotGranted { .. }
            | InputKind::ValueRead { .. }
            | InputKind::ParentTold => return None,
        })
    }

    /// Whether an engine that knows only version 1 would misread the payload.
    fn needs_version_2(&self) -> bool {
        match self {
            Self::Signal { payload, .. }
            | Self::Answer { answer: payload, .. }
            | Self::ChildEnded { outcome: Outcome::Completed(payload), .. } => journaled::is_marked(payload),
            _ => false,
        }
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

/// Encodes an input from outside a run; `None` for inputs that only the run's own driver may make.
///
/// # Errors
/// Practically none: every letter serialises.
pub fn encode_letter(kind: InputKind) -> Result<Option<Vec<u8>>, CodecError> {
    let Some(sent) = Sent::of(kind) else { return Ok(None) };
    let v = if sent.needs_version_2() { LETTER_VERSION } else { 1 };
    Ok(Some(serde_json::to_vec(&Outgoing { v, sent: &sent })?))
}

/// Decodes a letter.
///
/// # Errors
/// [`CodecError`] when the bytes are damaged or of a newer version. Never panics, whatever the bytes.
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

    /// Letters of version 1, as they were written. They must stay readable.
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
    fn letters_are_written_and_read_unchanged() {
        for written in WRITTEN {
            let kind = decode_letter(written.as_bytes()).expect("a letter");
            let again = encode_letter(kind).expect("it serialises").expect("it may be sent");
            assert_eq!(String::from_utf8_lossy(&again), written);
        }
    }

    #[test]
    fn invalid_letters_are_refused() {
        assert!(matches!(decode_letter(br#"{"v":3,"sent":"Dance"}"#), Err(CodecError::Newer { found: 3 })));
        for damaged in ["", "{}", r#"{"v":1}"#, r#"{"v":1,"sent":"Dance"}"#, "\u{0}"] {
            assert!(matches!(decode_letter(damaged.as_bytes()), Err(CodecError::Damaged(_))), "{damaged}");
        }
        assert!(matches!(encode_letter(InputKind::Tick), Ok(None)));
    }

    /// References of version 1 name their run. A reference without a run, and a text that looks like one, need version
    /// 2.
    #[test]
    fn references_and_texts_like_them_need_version_2() {
        let mark =
            r#"{"v":1,"sent":{"Signal":{"signal":"go","payload":{"$orkestra.blob":{"run":"r","key":"k","bytes":1}}}}}"#;
        let kind = decode_letter(mark.as_bytes()).expect("a letter");
        let InputKind::Signal { payload, .. } = &kind else { panic!("a signal") };
        assert!(payload.is_kept_beside());
        let again = encode_letter(kind).expect("it serialises").expect("it may be sent");
        assert_eq!(String::from_utf8_lossy(&again), mark.replacen(r#""v":1"#, r#""v":2"#, 1));
        let payload: Payload = serde_json::from_str(r#"{"$orkestra.outputs":{}}"#).expect("JSON");
        let signal = Name::new("go").expect("a name");
        let sent = encode_letter(InputKind::Signal { signal, payload: payload.clone() });
        let sent = sent.expect("it serialises").expect("it may be sent");
        assert!(sent.starts_with(br#"{"v":2,"#));
        let InputKind::Signal { payload: read, .. } = decode_letter(&sent).expect("a letter") else {
            panic!("a signal");
        };
        assert_eq!(read, payload);
    }
}
