//! The lines of an export, and their limits. What was once written stays readable: a change of the format gets a number of
//! its own.
//!
//! ```text
//! {"format":"orkestra-export","version":1}
//! {"run":{"id":"r","record":CONTENT}}                    then of the same run, in this order:
//! {"blob":{"key":"k","content":CONTENT}}
//! {"commit":{"first":1,"last":3,"epoch":7,"body":CONTENT}}
//! {"letter":{"body":CONTENT}}
//! {"value":{"key":"k","version":2,"content":CONTENT}}    after all runs
//! {"skipped":"s"}                                        a run that is not here
//! {"end":{"runs":1,"commits":1,...,"sha256":"..."}}
//!
//! CONTENT is {"json":...}, the very bytes, or {"bytes":N} with N bytes in lines {"part":"<base64>"} after it
//! ```
//!
//! Blobs stand before the commits that name them: whoever drives the run finds them.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use orkestra_core::model::{Epoch, RunId, Seq};

/// What the first line calls the format.
pub(super) const FORMAT: &str = "orkestra-export";

/// The version of the format that is written.
pub const FORMAT_VERSION: u32 = 1;

/// The longest content that stands in its line as JSON, in bytes. People read lines; a payload inside of an event may have
/// 2 MiB, but hardly any has.
pub(super) const JSON_BYTES_MAX: usize = 1024 * 1024;

/// The bytes of a part, before they become base64.
pub(super) const PART_BYTES: usize = 512 * 1024;

/// The longest line, in bytes: the longest JSON with a long key before it, each of whose characters is escaped.
pub const LINE_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The largest commit, blob, letter or value, in bytes. It is held in memory as a whole, as stores do; the largest payload of
/// a user has an eighth.
pub const CONTENT_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// A small value gets its version by being written so often. One that was written more often than this begins here: each time
/// is a durable write.
pub const VALUE_VERSION_MAX: u64 = 1024;

/// The first line.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) format: String,
    pub(super) version: u32,
}

/// Every other line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Line<'a> {
    /// A run begins.
    Run {
        id: RunId,
        #[serde(borrow)]
        record: Content<'a>,
    },
    /// What is kept beside its journal.
    Blob {
        key: String,
        #[serde(borrow)]
        content: Content<'a>,
    },
    /// A commit of its journal.
    Commit {
        first: Seq,
        last: Seq,
        epoch: Epoch,
        #[serde(borrow)]
        body: Content<'a>,
    },
    /// What waits for it, in the order in which it came.
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
    /// A run of the store that is not here: somebody drove it, or it is damaged.
    Skipped(RunId),
    /// A part of what the line before announced.
    Part(String),
    /// The last line.
    End(Sums),
}

/// Bytes in a line.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub(super) enum Content<'a> {
    /// They are JSON and stand here.
    #[serde(borrow)]
    Json(&'a RawValue),
    /// So many follow, in parts.
    Bytes(u64),
}

/// What must have been read when the last line is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sums {
    pub(super) runs: u64,
    pub(super) commits: u64,
    pub(super) letters: u64,
    pub(super) blobs: u64,
    pub(super) values: u64,
    pub(super) skipped: u64,
    /// Of all lines before, with their ends.
    pub(super) sha256: String,
}

/// The bytes as they can stand in a line; `None` when they are no JSON, of several lines, or too long.
pub(super) fn json(bytes: &[u8]) -> Option<&RawValue> {
    if bytes.len() > JSON_BYTES_MAX || bytes.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        return None;
    }
    let raw: &RawValue = serde_json::from_slice(bytes).ok()?;
    // Blanks around it would be lost.
    (raw.get().len() == bytes.len()).then_some(raw)
}
