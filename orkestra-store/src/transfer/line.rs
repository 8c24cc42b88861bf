//! The lines of an export, and their limits. Every format ever written stays readable: a change gets a new version
//! number.
//!
//! ```text
//! {"format":"orkestra-export","version":1}
//! {"run":{"id":"r","record":CONTENT}}                    followed by lines of the same run, in this order:
//! {"blob":{"key":"k","content":CONTENT}}
//! {"commit":{"first":1,"last":3,"epoch":7,"body":CONTENT}}
//! {"letter":{"body":CONTENT}}
//! {"value":{"key":"k","version":2,"content":CONTENT}}    after all runs
//! {"skipped":"s"}                                        a run that was left out
//! {"end":{"runs":1,"commits":1,...,"sha256":"..."}}
//!
//! CONTENT is {"json":...}, the exact bytes, or {"bytes":N} with N bytes in following lines {"part":"<base64>"}
//! ```
//!
//! Blobs precede the commits that refer to them, so that a driver of the run finds them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use orkestra_core::model::{Epoch, RunId, Seq};

/// The name of the format in the first line.
pub(super) const FORMAT: &str = "orkestra-export";

/// The version of the format that exports have.
pub const FORMAT_VERSION: u32 = 1;

/// The longest content written as JSON in its line, in bytes. Lines are for people to read. A payload inside an event
/// may have 2 MiB, but is rarely that long.
pub(super) const JSON_BYTES_MAX: usize = 1024 * 1024;

/// The bytes of a part, before base64.
pub(super) const PART_BYTES: usize = 512 * 1024;

/// The longest line, in bytes: the longest JSON after a long key with every character escaped.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest commit, blob, letter or value, in bytes. It is held in memory as a whole, as in stores. The largest
/// payload of a user is an eighth of it.
pub const CONTENT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A small value gets its version by being written that many times, each a durable write. Higher versions are reduced
/// to this one.
pub const VALUE_VERSION_MAX: u64 = 1024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
}

/// Any other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Line<'a> {
    /// The beginning of a run.
    Run {
        id: RunId,
        #[serde(borrow)]
        record: Content<'a>,
    },
    /// A blob of the run.
    Blob {
        key: String,
        #[serde(borrow)]
        content: Content<'a>,
    },
    /// A commit of the run.
    Commit {
        first: Seq,
        last: Seq,
        epoch: Epoch,
        #[serde(borrow)]
        body: Content<'a>,
    },
    /// A letter that waits for the run, in the order of sending.
    Letter {
        #[serde(borrow)]
        body: Content<'a>,
    },
    /// A small value.
    Value {
        key: String,
        version: u64,
        #[serde(borrow)]
        content: Content<'a>,
    },
    /// A run that was left out, because it was being driven or is damaged.
    Skipped(RunId),
    /// A part of the content that an earlier line announced.
    Part(String),
    /// The last line.
    End(Sums),
}

/// Bytes in a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Content<'a> {
    /// The bytes are JSON, included here.
    #[serde(borrow)]
    Json(&'a RawValue),
    /// This many bytes follow, in parts.
    Bytes(u64),
}

/// The totals of all lines, checked at the last one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sums {
    pub(super) runs: u64,
    pub(super) commits: u64,
    pub(super) letters: u64,
    pub(super) blobs: u64,
    pub(super) values: u64,
    pub(super) skipped: u64,
    /// Of all lines before, including their line ends.
    pub(super) sha256: String,
}

/// The bytes as JSON for a line; `None` when they are not JSON, contain line ends, or are too long.
pub(super) fn json(bytes: &[u8]) -> Option<&RawValue> {
    if bytes.len() > JSON_BYTES_MAX || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return None;
    }
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    // JSON with surrounding whitespace would not be restored exactly.
    (raw.get().len() == bytes.len()).then_some(raw)
}
