//! A cache of the organisation that each run belongs to, which watchers need for every item of the engine's feed.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use orkestra::Engine;
use orkestra::prelude::RunId;

use super::error::ApiError;
use super::organisation::ORGANISATION_LABEL;

/// How many runs are cached; when there are more, the cache is cleared.
const RUNS_MAX: usize = 10_000;

/// A run never changes its owner, so the cache is never wrong.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_run: Mutex<HashMap<RunId, Option<String>>>,
}

impl Owners {
    /// The organisation of `run`; `None` for a run that this server did not create.
    pub(crate) async fn of(&self, engine: &Engine, run: &RunId) -> Result<Option<String>, ApiError> {
        if let Some(owner) = self.by_run.lock().unwrap_or_else(PoisonError::into_inner).get(run) {
            return Ok(owner.clone());
        }
        let Some(found) = engine.get(run).await? else { return Ok(None) };
        let owner = found.status().await?.labels.remove(ORGANISATION_LABEL);
        let mut by_run = self.by_run.lock().unwrap_or_else(PoisonError::into_inner);
        if by_run.len() >= RUNS_MAX {
            by_run.clear();
        }
        by_run.insert(run.clone(), owner.clone());
        Ok(owner)
    }
}
