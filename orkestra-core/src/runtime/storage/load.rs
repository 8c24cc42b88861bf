//! Loads a run from its journal; if that is long, from the last snapshot on.

use std::sync::Arc;

use crate::journal::{Commit, Replayer, Written, decode_snapshot, encode_snapshot};
use crate::kernel::RunState;
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{RunId, Seq};
use crate::store::{Snapshot, Store};

use crate::runtime::error::Error;

/// Loads a run's state. A journal that one read returns whole needs no snapshot.
pub(in crate::runtime) async fn load(store: &dyn Store, run: &RunId) -> Result<Option<RunState>, Error> {
    let commits = store.read(run, Seq(1), READ_COMMITS_MAX).await?;
    if commits.len() >= READ_COMMITS_MAX {
        return load_long(store, run).await;
    }
    replay(store, Replayer::new(run.clone()), commits).await
}

/// Loads the state of a run whose journal is known to be long.
pub(in crate::runtime) async fn load_long(store: &dyn Store, run: &RunId) -> Result<Option<RunState>, Error> {
    let replayer = from_snapshot(store, run).await?.map_or_else(|| Replayer::new(run.clone()), Replayer::resume);
    let from = replayer.state().map_or(Seq::ZERO, RunState::last).plus(1);
    let commits = store.read(run, from, READ_COMMITS_MAX).await?;
    replay(store, replayer, commits).await
}

async fn replay(
    store: &dyn Store,
    mut replayer: Replayer,
    mut commits: Vec<Written>,
) -> Result<Option<RunState>, Error> {
    loop {
        for commit in &commits {
            replayer.add(commit)?;
        }
        if commits.len() < READ_COMMITS_MAX {
            return Ok(replayer.finish());
        }
        let from = replayer.state().map_or(Seq::ZERO, RunState::last).plus(1);
        commits = store.read(replayer.run(), from, READ_COMMITS_MAX).await?;
    }
}

/// Loads a run's state from its whole journal and passes each commit to `see`.
pub(in crate::runtime) async fn load_seeing(
    store: &dyn Store,
    run: &RunId,
    mut see: impl FnMut(&Commit) + Send,
) -> Result<Option<RunState>, Error> {
    let mut replayer = Replayer::new(run.clone());
    loop {
        let from = replayer.state().map_or(Seq::ZERO, RunState::last).plus(1);
        let commits = store.read(run, from, READ_COMMITS_MAX).await?;
        for commit in &commits {
            see(&replayer.add(commit)?);
        }
        if commits.len() < READ_COMMITS_MAX {
            return Ok(replayer.finish());
        }
    }
}

async fn from_snapshot(store: &dyn Store, run: &RunId) -> Result<Option<RunState>, Error> {
    let Some(snapshot) = store.snapshot(run).await? else { return Ok(None) };
    let last = store.read(run, snapshot.last, 1).await?.pop().filter(|commit| commit.last == snapshot.last);
    let state = last.and_then(|last| decode_snapshot(&snapshot.bytes, &last));
    if state.is_none() {
        tracing::debug!(%run, last = snapshot.last.0, "ignoring a snapshot: it was written by another version or belongs to another journal");
    }
    Ok(state)
}

/// Stores a durable state as a snapshot. It is a cache, so an error is only logged.
pub(in crate::runtime) async fn keep_snapshot(store: Arc<dyn Store>, state: RunState) {
    let run = state.id().clone();
    let kept = async {
        let commit = store.read(&run, state.last(), 1).await?.pop();
        match commit.and_then(|last| encode_snapshot(&state, &last)) {
            Some(bytes) => store.put_snapshot(&run, &Snapshot { last: state.last(), bytes: bytes.into() }).await,
            None => Ok(()),
        }
    };
    if let Err(error) = kept.await {
        tracing::debug!(%run, %error, "cannot store a snapshot");
    }
}
