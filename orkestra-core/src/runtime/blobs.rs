//! Large payloads on their way to the store and back: what is too long for a journal is kept beside it.
//!
//! In the journal stands where it is: `{"$orkestra.blob":{"run":…,"key":…,"bytes":…}}`. A blob is durable before the
//! commit that names it; one whose commit never came is removed with its run.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::kernel::{Event, Outcome};
use crate::model::limits::PAYLOAD_INLINE_BYTES_MAX;
use crate::model::{Payload, RunId};
use crate::store::Store;

use super::error::{Error, ErrorKind};

/// What a payload begins with that stands for a blob.
const MARK: &str = r#"{"$orkestra.blob":"#;

#[derive(Serialize, Deserialize)]
struct Marker {
    #[serde(rename = "$orkestra.blob")]
    blob: Place,
}

#[derive(Serialize, Deserialize)]
struct Place {
    run: RunId,
    /// The digest of the text: the same text is kept once.
    key: String,
    bytes: usize,
}

/// Keeps a long payload of `run` beside the journal; what comes back goes into the journal.
pub(super) async fn keep(store: &dyn Store, run: &RunId, payload: Payload) -> Result<Payload, Error> {
    if !stands_beside(&payload) {
        return Ok(payload);
    }
    let text = payload.as_json();
    let key: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    store.put_blob(run, &key, text.as_bytes()).await?;
    let blob = Place { run: run.clone(), key, bytes: text.len() };
    Ok(Payload::of(&Marker { blob })?)
}

/// The payload itself, for one that came from the journal: read from beside it if that is where it is.
pub(super) async fn fetch(store: &dyn Store, payload: Payload) -> Result<Payload, Error> {
    let text = payload.as_json();
    if is_mark(text) {
        return read(store, text).await;
    }
    if !(text.starts_with('[') && text.contains(MARK)) {
        return Ok(payload);
    }
    // The outputs of several nodes, each of which may be a long one.
    let mut items: Vec<Payload> = payload.to()?;
    for item in &mut items {
        if is_mark(item.as_json()) {
            *item = read(store, item.as_json()).await?;
        }
    }
    Ok(Payload::large(&items)?)
}

/// The same payload, kept for `run` instead of the run that it came from.
pub(super) async fn adopt(store: &dyn Store, run: &RunId, payload: Payload) -> Result<Payload, Error> {
    if !payload.as_json().contains(MARK) {
        return keep(store, run, payload).await;
    }
    keep(store, run, fetch(store, payload).await?).await
}

/// The same outcome, its output kept for `run`.
pub(super) async fn adopt_outcome(store: &dyn Store, run: &RunId, outcome: Outcome) -> Result<Outcome, Error> {
    match outcome {
        Outcome::Completed(output) => Ok(Outcome::Completed(adopt(store, run, output).await?)),
        other => Ok(other),
    }
}

/// The same events for a fork: the blobs that they name are copied.
pub(super) async fn adopt_events(
    store: &dyn Store,
    (from, to): (&RunId, &RunId),
    events: Vec<Event>,
) -> Result<Vec<Event>, Error> {
    let damaged = |error: serde_json::Error| Error::new(ErrorKind::Internal, error.to_string());
    let text = serde_json::to_string(&events).map_err(damaged)?;
    let theirs = format!(r#"{MARK}{{"run":"{from}","key":""#);
    if !text.contains(&theirs) {
        return Ok(events);
    }
    for rest in text.split(&theirs).skip(1) {
        let key = rest.split('"').next().unwrap_or_default();
        let bytes = store.blob(from, key).await?.ok_or_else(|| missing(key))?;
        store.put_blob(to, key, &bytes).await?;
    }
    let ours = text.replace(&theirs, &format!(r#"{MARK}{{"run":"{to}","key":""#));
    serde_json::from_str(&ours).map_err(damaged)
}

/// Whether a payload is kept beside the journal: a long one, and a value of a user that looks like one of our marks, so
/// that nobody is fooled.
pub(super) fn stands_beside(payload: &Payload) -> bool {
    payload.as_json().len() > PAYLOAD_INLINE_BYTES_MAX || is_mark(payload.as_json())
}

fn is_mark(text: &str) -> bool {
    text.starts_with(MARK)
}

async fn read(store: &dyn Store, mark: &str) -> Result<Payload, Error> {
    let Ok(Marker { blob }) = serde_json::from_str::<Marker>(mark) else { return Err(missing(mark)) };
    let bytes = store.blob(&blob.run, &blob.key).await?.ok_or_else(|| missing(&blob.key))?;
    let found = serde_json::from_slice(&bytes);
    found.map_err(|error| Error::damaged(format!("the large payload {} is damaged: {error}", blob.key)))
}

fn missing(key: &str) -> Error {
    Error::damaged(format!("the large payload {key} is not in the store"))
}
