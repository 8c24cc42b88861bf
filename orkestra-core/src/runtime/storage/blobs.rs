//! Large payloads: what is too long for a journal is kept beside it.
//!
//! The journal holds a reference, which belongs to that journal's run: readers say which run that is, and what goes to
//! another run is copied. A blob is durable before the commit that refers to it; if that commit is never written, the
//! blob is removed with its run.

use sha2::{Digest, Sha256};

use crate::kernel::{Event, InputKind, NodeInput, Outcome, looks_of};
use crate::model::limits::PAYLOAD_INLINE_BYTES_MAX;
use crate::model::{Blob, KeptAt, Payload, Plan, RunId};
use crate::store::Store;

use super::load::load;
use crate::runtime::error::{Error, ErrorKind};

/// Stores a long payload of `run` beside the journal; returns what goes into the journal.
pub(in crate::runtime) async fn keep(store: &dyn Store, run: &RunId, payload: Payload) -> Result<Payload, Error> {
    if !stands_beside(&payload) {
        return Ok(payload);
    }
    let text = payload.as_json();
    let key: String = Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect();
    store.put_blob(run, &key, text.as_bytes()).await?;
    let blob = Blob { run: None, key, bytes: text.len() };
    Ok(Payload::beside(KeptAt::Blob(blob)).with_value(payload))
}

/// Makes sure that the payloads of `kind` are stored for `run`: an earlier run with this id may have been deleted since
/// they were stored, and its blobs with it. Called under the run's lease, when no run can be deleted.
pub(in crate::runtime) async fn keep_again(store: &dyn Store, run: &RunId, kind: &InputKind) -> Result<(), Error> {
    let given = match kind {
        InputKind::Create { input, .. } => Some(input),
        InputKind::Signal { payload, .. } => Some(payload),
        InputKind::Answer { answer, .. } => Some(answer),
        InputKind::Fork { input, events, .. } => {
            for event in events {
                let mut event = event.clone();
                if let Some(payload) = event.kept_mut() {
                    is_kept(store, run, payload).await?;
                }
            }
            input.as_ref()
        }
        _ => None,
    };
    match given {
        Some(payload) => is_kept(store, run, payload).await,
        None => Ok(()),
    }
}

async fn is_kept(store: &dyn Store, run: &RunId, payload: &Payload) -> Result<(), Error> {
    let Some(reference) = payload.reference() else { return Ok(()) };
    let KeptAt::Blob(blob) = reference.place() else { return Ok(()) };
    if store.blob(run, &blob.key).await?.is_some() {
        return Ok(());
    }
    match reference.value() {
        Some(value) => Ok(store.put_blob(run, &blob.key, value.as_json().as_bytes()).await?),
        None => {
            let message = format!(
                "run `{run}` was deleted in the meantime, and with it a large payload stored for the new run; try again"
            );
            Err(Error::new(ErrorKind::Conflict, message))
        }
    }
}

/// The value of a payload from the journal of `run`, read from beside the journal if it is there.
pub(in crate::runtime) async fn fetch(store: &dyn Store, run: &RunId, payload: Payload) -> Result<Payload, Error> {
    let Some(reference) = payload.reference() else { return Ok(payload) };
    match (reference.value(), reference.place()) {
        (Some(value), _) => Ok(value.clone()),
        (None, KeptAt::Blob(blob)) => read(store, run, blob).await,
        (None, KeptAt::Outputs) => outputs(store, run).await,
    }
}

/// The input of a node of `run`, joined. Its parts fit in memory, so it does too.
pub(in crate::runtime) async fn fetch_input(
    store: &dyn Store,
    run: &RunId,
    input: NodeInput,
) -> Result<Payload, Error> {
    match input {
        NodeInput::One(payload) => fetch(store, run, payload).await,
        NodeInput::List(mut parts) => {
            for part in &mut parts {
                *part = fetch(store, run, part.clone()).await?;
            }
            Ok(Payload::list(&parts)?)
        }
    }
}

/// A payload of the first run's journal, stored for the second run.
pub(in crate::runtime) async fn adopt(
    store: &dyn Store,
    (from, to): (&RunId, &RunId),
    payload: Payload,
) -> Result<Payload, Error> {
    keep(store, to, fetch(store, from, payload).await?).await
}

/// The first run's outcome, with its output stored for the second run.
pub(in crate::runtime) async fn adopt_outcome(
    store: &dyn Store,
    between: (&RunId, &RunId),
    outcome: Outcome,
) -> Result<Outcome, Error> {
    match outcome {
        Outcome::Completed(output) => Ok(Outcome::Completed(adopt(store, between, output).await?)),
        other => Ok(other),
    }
}

/// The first run's events for the second run, which forks it: the blobs they refer to are copied, and what conditions
/// of the plan need from them is read.
pub(in crate::runtime) async fn adopt_events(
    store: &dyn Store,
    between: (&RunId, &RunId),
    mut events: Vec<Event>,
    plan: &Plan,
) -> Result<Vec<Event>, Error> {
    for event in &mut events {
        let looks = looks_of(plan, event);
        let Some(payload) = event.kept_mut() else { continue };
        // The fork has its own outputs.
        if payload.reference().is_none_or(|reference| *reference.place() == KeptAt::Outputs) {
            continue;
        }
        let kept = adopt(store, between, payload.clone()).await?;
        *payload = kept.looked_at(&looks).without_value();
    }
    Ok(events)
}

/// Whether a payload must be stored beside the journal.
pub(in crate::runtime) fn stands_beside(payload: &Payload) -> bool {
    !payload.is_kept_beside() && payload.as_json().len() > PAYLOAD_INLINE_BYTES_MAX
}

async fn read(store: &dyn Store, run: &RunId, blob: &Blob) -> Result<Payload, Error> {
    if let Some(other) = blob.run.as_ref().filter(|other| *other != run) {
        let message = format!("the journal of run `{run}` refers to a large payload of another run, `{other}`");
        return Err(Error::damaged(message));
    }
    let bytes = store.blob(run, &blob.key).await?.ok_or_else(|| missing(&blob.key))?;
    let found = serde_json::from_slice(&bytes);
    found.map_err(|error: serde_json::Error| {
        Error::damaged(format!("the large payload {} is damaged: {error}", blob.key)).with_source(error)
    })
}

/// The outputs of the run's last nodes as one object.
async fn outputs(store: &dyn Store, run: &RunId) -> Result<Payload, Error> {
    let state = load(store, run).await?;
    let missing =
        || Error::new(ErrorKind::NotFound, format!("cannot read the output of run `{run}`: the run was not found"));
    let mut outputs = state.ok_or_else(missing)?.last_outputs();
    for (_, output) in &mut outputs {
        if let Some(KeptAt::Blob(blob)) = output.reference().map(|reference| reference.place().clone()) {
            *output = read(store, run, &blob).await?;
        }
    }
    Ok(Payload::object(&outputs)?)
}

fn missing(key: &str) -> Error {
    Error::damaged(format!("the large payload {key} is missing in the store"))
}
