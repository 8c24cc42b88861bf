//! Commits as bytes: JSON with a version, readable for ever.
//!
//! A commit is `{"v":3,"epoch":…,"at":…,"events":[…]}`; run and position are the store's keys and stand there. Version 3
//! has more events and more fields than versions 1 and 2, which it reads as they are. A version that changes what was written gets
//! its own branch in [`decode`]; what was once written stays readable. An event that this version has no name for is
//! told from damage: somebody newer wrote it, nothing is lost.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::kernel::Event;
use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{Epoch, RunId, Seq, Timestamp};

use super::commit::{Commit, Written};

/// The version that [`encode`] writes.
pub const FORMAT_VERSION: u32 = 3;

/// Why bytes are no commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// They were written by a newer version of this library.
    #[error("the commit is of format {found}, this version reads up to {FORMAT_VERSION}; use a newer version")]
    Newer {
        /// The format's version.
        found: u32,
    },
    /// They are of a format that this version reads and hold an event that it does not know: a newer version that only
    /// added to the format wrote them. They are not damaged, and that version reads them.
    #[error("the commit holds the event `{0}`, which this version does not know; use a newer version")]
    UnknownEvent(String),
    /// They are damaged.
    #[error("the commit is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// They hold another number of events than their place says.
    #[error("the commit has {found} events where {expected} belong")]
    Count {
        /// How many there are.
        found: u64,
        /// How many belong there.
        expected: u64,
    },
    /// They can be read, and say something else than what was written.
    #[error("what is read back is not what was written")]
    Changed,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    v: u32,
    epoch: Epoch,
    at: Timestamp,
    events: &'a [Event],
}

#[derive(Deserialize)]
struct Incoming {
    epoch: Epoch,
    at: Timestamp,
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Version {
    v: u32,
}

/// Encodes a commit.
///
/// # Errors
/// None that a caller can cause; an event that does not serialise is reported, not lost.
pub fn encode(commit: &Commit) -> Result<Written, CodecError> {
    let form = Outgoing { v: FORMAT_VERSION, epoch: commit.epoch, at: commit.at, events: &commit.events };
    let body = serde_json::to_vec(&form)?.into();
    Ok(Written { run: commit.run.clone(), first: commit.first, last: commit.last(), epoch: commit.epoch, body })
}

/// Decodes a commit of `run` that stands at `first`.
///
/// # Errors
/// [`CodecError`] when the bytes are damaged or of a newer version. Never panics, whatever the bytes are.
pub fn decode(run: &RunId, first: Seq, last: Seq, body: &[u8]) -> Result<Commit, CodecError> {
    let Version { v } = serde_json::from_slice(body)?;
    if v > FORMAT_VERSION {
        return Err(CodecError::Newer { found: v });
    }
    let Incoming { epoch, at, events } = serde_json::from_slice(body).map_err(|error| unknown_event(body, error))?;
    let expected = last.0.checked_sub(first.0).and_then(|more| more.checked_add(1)).unwrap_or(0);
    let found = events.len() as u64;
    if found != expected || found == 0 {
        return Err(CodecError::Count { found, expected });
    }
    Ok(Commit { run: run.clone(), first, epoch, at, events })
}

/// Whether a commit that is about to be written can be read, and says the same then.
///
/// # Errors
/// [`CodecError`]: it must not be written.
pub fn check_written(commit: &Commit, written: &Written) -> Result<(), CodecError> {
    let read = decode(&commit.run, written.first, written.last, &written.body)?;
    if read == *commit { Ok(()) } else { Err(CodecError::Changed) }
}

/// The form of a commit whose events may be anything.
#[derive(Deserialize)]
struct Anything<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Why a commit is unreadable: the first unreadable event has a name that is none of ours, or the bytes are damaged.
fn unknown_event(body: &[u8], damage: serde_json::Error) -> CodecError {
    let Ok(Anything { events }) = serde_json::from_slice(body) else { return damage.into() };
    let unreadable = events.into_iter().find(|event| serde_json::from_str::<Event>(event.get()).is_err());
    match unreadable.and_then(|event| name_of(event.get())) {
        Some(name) if !Event::kinds().contains(&name.as_str()) => CodecError::UnknownEvent(name),
        _ => damage.into(),
    }
}

/// The name of a written event: it stands alone, or is the one key of an object.
fn name_of(event: &str) -> Option<String> {
    let fields: Option<std::collections::BTreeMap<String, &RawValue>> = serde_json::from_str(event).ok();
    let name = match fields {
        Some(fields) if fields.len() == 1 => fields.into_keys().next(),
        Some(_) => None,
        None => serde_json::from_str(event).ok(),
    };
    name.filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()) && name.len() <= NAME_BYTES_MAX)
}
