//! Schedules in the store: small values, changed by compare-and-set.
//!
//! A removed schedule leaves an empty value, because the store cannot delete values.

use serde::{Deserialize, Serialize};

use crate::model::{Name, RunId, Timestamp};
use crate::store::Store;

use super::spec::Schedule;
use super::times::{ON_TIME, Times};
use crate::runtime::error::{Error, ErrorKind};

/// The prefix of the keys.
const PREFIX: &str = "schedule/";

/// How many schedules a store may have, including removed ones: each engine keeps their fire times in memory and reads
/// all of them every half minute.
pub(super) const SCHEDULES_MAX: usize = 10_000;

/// How often a change is retried while others change the same schedule.
const TRIES_MAX: usize = 64;

/// A schedule and its state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) schedule: Schedule,
    #[serde(default)]
    pub(super) paused: bool,
    /// The first fire time that has not been handled.
    pub(super) next: Option<Timestamp>,
    /// When it was put or resumed, by the clock of the engine that did it: fire times up to then do not count.
    #[serde(default)]
    pub(super) since: Option<Timestamp>,
    #[serde(default)]
    pub(super) last: Option<Fire>,
    /// Runs that may be live, or may become live again: an ended run can be retried, so the latest ended ones are
    /// included.
    #[serde(default)]
    pub(super) open: Vec<RunId>,
}

impl Stored {
    /// The first fire time that has not been handled, for an engine whose clock shows `now`. It is never later than the
    /// first fire time after `now`, whatever a clock that was ahead has stored.
    pub(super) fn next_at(&self, times: &Times, now: Timestamp) -> Option<Timestamp> {
        // Fire times handled by an engine whose clock is slightly ahead are not handled again.
        let dealt_with = self.last.as_ref().map(|last| last.at).into_iter().chain(self.since);
        let ahead = dealt_with.filter(|at| *at > now && at.since(now) <= ON_TIME).max();
        let by_rule = self.schedule.after(times, ahead.unwrap_or(now));
        match self.next {
            Some(next) if next <= now => Some(next),
            Some(next) => by_rule.map(|by_rule| by_rule.min(next)),
            None => by_rule,
        }
    }
}

/// A fire time that has passed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Fire {
    /// The fire time.
    pub at: Timestamp,
    /// Its outcome.
    pub outcome: FireOutcome,
}

/// The outcome of a fire time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FireOutcome {
    /// A run was started.
    Started(RunId),
    /// Skipped: an earlier run was still live, and runs must not overlap.
    Overlapped,
    /// Skipped: no engine handled it in time, and it is not caught up on.
    Missed,
    /// The run cannot be started, for this reason.
    Refused(String),
}

/// The schedule and its version in the store; version 0 if it never existed.
pub(super) async fn load(store: &dyn Store, name: &str) -> Result<(u64, Option<Stored>), Error> {
    let (version, found) = find(store, name).await?;
    Ok((version, found.transpose()?))
}

/// Like [`load`], but a schedule that cannot be read still counts as found.
async fn find(store: &dyn Store, name: &str) -> Result<(u64, Option<Result<Stored, Error>>), Error> {
    let Some(found) = store.get(&key(name)).await? else { return Ok((0, None)) };
    if found.bytes.is_empty() {
        return Ok((found.version, None));
    }
    let unreadable = |error: serde_json::Error| {
        let hint = if cfg!(feature = "schedules") { "" } else { "; cron expressions need the feature `schedules`" };
        Error::damaged(format!("cannot read schedule `{name}`: {error}{hint}")).with_source(error)
    };
    Ok((found.version, Some(serde_json::from_slice(&found.bytes).map_err(unreadable))))
}

/// Removes a schedule, readable or not; returns whether it existed.
pub(super) async fn remove(store: &dyn Store, name: &str) -> Result<bool, Error> {
    for _ in 0..TRIES_MAX {
        let (version, found) = find(store, name).await?;
        if found.is_none() || save(store, name, version, None).await? {
            return Ok(found.is_some());
        }
    }
    Err(changed_by_others(name))
}

fn changed_by_others(name: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        format!("cannot change schedule `{name}`: others are changing it at the same time; try again"),
    )
}

/// Writes the schedule if it still has this version; returns `false` if another change was first.
pub(super) async fn save(store: &dyn Store, name: &str, version: u64, stored: Option<&Stored>) -> Result<bool, Error> {
    let encode = |error: serde_json::Error| Error::from_cause(ErrorKind::Internal, error);
    let bytes = stored.map(serde_json::to_vec).transpose().map_err(encode)?.unwrap_or_default();
    if let Some(stored) = stored {
        let read = serde_json::from_slice::<Stored>(&bytes);
        let mistake = |why: &str| Error::new(ErrorKind::Invalid, format!("cannot store schedule `{name}`: {why}"));
        if read.map_err(|error| mistake(&error.to_string()).with_source(error))? != *stored {
            return Err(mistake("it is not the same when it is read back from JSON"));
        }
    }
    Ok(store.put(&key(name), version, &bytes).await?.is_some())
}

/// Changes a schedule, retrying while others change it too. The result of `change` is durable when this returns.
pub(super) async fn change<F>(store: &dyn Store, name: &str, mut change: F) -> Result<(), Error>
where
    F: FnMut(Option<Stored>) -> Result<Option<Stored>, Error>,
{
    for _ in 0..TRIES_MAX {
        let (version, stored) = load(store, name).await?;
        if save(store, name, version, change(stored)?.as_ref()).await? {
            return Ok(());
        }
    }
    Err(changed_by_others(name))
}

/// The names of all schedules, including removed ones.
pub(super) async fn names(store: &dyn Store) -> Result<Vec<Name>, Error> {
    let keys = store.keys(PREFIX, SCHEDULES_MAX).await?;
    let named = |key: &String| key.strip_prefix(PREFIX).and_then(|name| Name::new(name).ok());
    Ok(keys.iter().filter_map(named).collect())
}

fn key(name: &str) -> String {
    format!("{PREFIX}{name}")
}
