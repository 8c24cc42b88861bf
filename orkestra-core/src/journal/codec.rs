//! Commits as bytes: versioned JSON that stays readable for ever.
//!
//! A commit is `{"v":3,"epoch":…,"at":…,"events":[…]}`; the store's keys hold its run and position. Version 3 adds
//! events and fields to versions 1 and 2, which it reads unchanged. A version that changes the form of existing data
//! gets a branch of its own in [`decode`]. An event with an unknown name is not damage: a newer version wrote it, and
//! nothing is lost.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::kernel::Event;
use crate::model::limits::NAME_BYTES_MAX;
use crate::model::{Epoch, RunId, Seq, Timestamp};

use super::commit::{Commit, Written};

/// The version that [`encode`] writes.
pub const FORMAT_VERSION: u32 = 3;

/// Why bytes cannot be decoded as a commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// A newer version of this library wrote them.
    #[error(
        "cannot read the commit: it has format {found}, and this version reads up to {FORMAT_VERSION}; use a newer version"
    )]
    Newer {
        /// The format's version.
        found: u32,
    },
    /// The format is known, but not one of the events: a newer version that only added to the format wrote them. They
    /// are not damaged, and that version reads them.
    #[error("cannot read the commit: this version does not know the event `{0}`; use a newer version")]
    UnknownEvent(String),
    /// They are damaged.
    #[error("the commit is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    /// The number of events does not match the commit's positions.
    #[error("the commit is damaged: it has {found} events instead of {expected}")]
    Count {
        /// How many were found.
        found: u64,
        /// How many the positions require.
        expected: u64,
    },
    /// They can be read, but as a different commit.
    #[error("cannot write the commit: it would be read back differently")]
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
/// Practically none: every event serialises. If one does not, the error is reported and nothing is lost.
pub fn encode(commit: &Commit) -> Result<Written, CodecError> {
    let form = Outgoing { v: FORMAT_VERSION, epoch: commit.epoch, at: commit.at, events: &commit.events };
    let body = serde_json::to_vec(&form)?.into();
    Ok(Written { run: commit.run.clone(), first: commit.first, last: commit.last(), epoch: commit.epoch, body })
}

/// Decodes a commit of `run` with these positions.
///
/// # Errors
/// [`CodecError`] when the bytes are damaged or of a newer version. Never panics, whatever the bytes.
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

/// Checks before a commit is written that it can be read back unchanged.
///
/// # Errors
/// [`CodecError`]: the commit must not be written.
pub fn check_written(commit: &Commit, written: &Written) -> Result<(), CodecError> {
    let read = decode(&commit.run, written.first, written.last, &written.body)?;
    if read == *commit { Ok(()) } else { Err(CodecError::Changed) }
}

/// A commit with any events.
#[derive(Deserialize)]
struct Anything<'a> {
    #[serde(borrow)]
    events: Vec<&'a RawValue>,
}

/// Why a commit is unreadable: its first unreadable event has an unknown name, or the bytes are damaged.
fn unknown_event(body: &[u8], damage: serde_json::Error) -> CodecError {
    let Ok(Anything { events }) = serde_json::from_slice(body) else { return damage.into() };
    let unreadable = events.into_iter().find(|event| serde_json::from_str::<Event>(event.get()).is_err());
    match unreadable.and_then(|event| name_of(event.get())) {
        Some(name) if !Event::kinds().contains(&name.as_str()) => CodecError::UnknownEvent(name),
        _ => damage.into(),
    }
}

/// The name of an encoded event: a string, or the only key of an object.
fn name_of(event: &str) -> Option<String> {
    let fields: Option<std::collections::BTreeMap<String, &RawValue>> = serde_json::from_str(event).ok();
    let name = match fields {
        Some(fields) if fields.len() == 1 => fields.into_keys().next(),
        Some(_) => None,
        None => serde_json::from_str(event).ok(),
    };
    name.filter(|name| name.starts_with(|first: char| first.is_ascii_uppercase()) && name.len() <= NAME_BYTES_MAX)
}
