//! What hidden tests ask for, a line of JSON each, and what they are answered. `grading/grading.py` is the other side.

use serde::{Deserialize, Serialize};

/// A request of the hidden tests.
#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Request {
    Run { command: String, stdin: Bytes, timeout_s: f64 },
    Start { command: String, port: u16, timeout_s: f64 },
    Stop { process: String },
    ReadProcess { process: String },
    Open { port: u16 },
    Send { connection: u64, bytes: Bytes },
    Receive { connection: u64, timeout_s: f64 },
    Close { connection: u64 },
    Files,
    Read { path: String },
    Write { path: String, bytes: Bytes },
    Renew { keep: Vec<String> },
    Report { test: String, passed: bool, detail: String },
    Done,
}

/// An answer. Fields that are missing do not apply.
#[derive(Debug, Default, Serialize)]
pub(super) struct Answer {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) exit_code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timed_out: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stdout: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stderr: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) process: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) output: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connection: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<Bytes>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<Vec<String>>,
}

impl Answer {
    pub(super) fn error(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }
}

/// Bytes, in base64 on the wire.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub(super) Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(serde::de::Error::custom)?;
        Ok(Self(bytes))
    }
}

/// What a hidden test reported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    pub(super) test: String,
    pub(super) passed: bool,
    pub(super) detail: String,
}

/// What a run of the hidden tests reported, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Reports {
    pub(super) reports: Vec<Report>,
    /// Why it did not come to its end, if it did not.
    pub(super) broken_off: Option<String>,
    /// Whether it was ended on purpose, with the first test that failed.
    pub(super) is_cut: bool,
}
