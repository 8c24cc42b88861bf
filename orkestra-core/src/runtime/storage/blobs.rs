//! Large payloads on their way to the store and back: what is too long for a journal is kept beside it.
//!
//! In the journal stands a reference, which belongs to the run in whose journal it stands: whoever reads it says which run
//! that is, and what goes to another run is copied. A blob is durable before the commit that names it; one whose commit never
//! came is removed with its run.

use sha2::{Digest, Sha256};

use crate::kernel::{Event, InputKind, NodeInput, Outcome, looks_of};
use crate::model::limits::PAYLOAD_INLINE_BYTES_MAX;
use crate::model::{Blob, KeptAt, Payload, Plan, RunId};
use crate::store::Store;

use super::load::load;
use crate::runtime::error::{Error, ErrorKind};

/// Keeps a long payload of `run` beside the journal; what comes back goes into the journal.
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

/// Makes sure that what `kind` brings into the journal of `run` is kept there: a run of this id that was there when it was kept
/// may have been deleted since, and its blobs with it. Asked under the run's lease, where nobody deletes anything.
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
            let message =
                format!("a run `{run}` was deleted meanwhile, and with it what was kept for this one: try again");
            Err(Error::new(ErrorKind::Conflict, message))
        }
    }
}

/// The payload itself, for one that came from the journal of `run`: read from beside it if that is where it is.
pub(in crate::runtime) async fn fetch(store: &dyn Store, run: &RunId, payload: Payload) -> Result<Payload, Error> {
    let Some(reference) = payload.reference() else { return Ok(payload) };
    match (reference.value(), reference.place()) {
        (Some(value), _) => Ok(value.clone()),
        (None, KeptAt::Blob(blob)) => read(store, run, blob).await,
        (None, KeptAt::Outputs) => outputs(store, run).await,
    }
}

/// The input of a node of `run`, joined. Its parts were small enough: it is, too.
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

/// A payload of the journal of the first run, kept for the second.
pub(in crate::runtime) async fn adopt(
    store: &dyn Store,
    (from, to): (&RunId, &RunId),
    payload: Payload,
) -> Result<Payload, Error> {
    keep(store, to, fetch(store, from, payload).await?).await
}

/// The outcome of the first run, its output kept for the second.
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

/// The events of the first run for the second, which forks it: the blobs that they refer to are copied. What the plan
/// looks at in them is read on the way.
pub(in crate::runtime) async fn adopt_events(
    store: &dyn Store,
    between: (&RunId, &RunId),
    mut events: Vec<Event>,
    plan: &Plan,
) -> Result<Vec<Event>, Error> {
    for event in &mut events {
        let looks = looks_of(plan, event);
        let Some(payload) = event.kept_mut() else { continue };
        // The fork has outputs of its own.
        if payload.reference().is_none_or(|reference| *reference.place() == KeptAt::Outputs) {
            continue;
        }
        let kept = adopt(store, between, payload.clone()).await?;
        *payload = kept.looked_at(&looks).without_value();
    }
    Ok(events)
}

/// Whether a payload is kept beside the journal.
pub(in crate::runtime) fn stands_beside(payload: &Payload) -> bool {
    !payload.is_kept_beside() && payload.as_json().len() > PAYLOAD_INLINE_BYTES_MAX
}

async fn read(store: &dyn Store, run: &RunId, blob: &Blob) -> Result<Payload, Error> {
    if let Some(other) = blob.run.as_ref().filter(|other| *other != run) {
        let message =
            format!("the journal of run `{run}` names a large payload of run `{other}`, which is not its own");
        return Err(Error::damaged(message));
    }
    let bytes = store.blob(run, &blob.key).await?.ok_or_else(|| missing(&blob.key))?;
    let found = serde_json::from_slice(&bytes);
    found.map_err(|error: serde_json::Error| {
        Error::damaged(format!("the large payload {} is damaged: {error}", blob.key)).with_source(error)
    })
}

/// What the last nodes of the run gave, as one object.
async fn outputs(store: &dyn Store, run: &RunId) -> Result<Payload, Error> {
    let state = load(store, run).await?;
    let missing = || Error::new(ErrorKind::NotFound, format!("there is no run `{run}` to read the output of"));
    let mut outputs = state.ok_or_else(missing)?.last_outputs();
    for (_, output) in &mut outputs {
        if let Some(KeptAt::Blob(blob)) = output.reference().map(|reference| reference.place().clone()) {
            *output = read(store, run, &blob).await?;
        }
    }
    Ok(Payload::object(&outputs)?)
}

fn missing(key: &str) -> Error {
    Error::damaged(format!("the large payload {key} is not in the store"))
}
