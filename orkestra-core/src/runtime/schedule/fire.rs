//! A schedule whose time has come: its runs are started, then it is advanced.
//!
//! ```text
//! read ──► start `<schedule>:<fire time>` for each fire time ──► compare-and-set the next fire time
//!   ▲                      │ crash, or another engine: the same ids, so the same runs     │ another was first
//!   └──────────────────────┴────────────────────────────────────────────────────────────┘
//! ```

use std::sync::Arc;

use crate::model::{Name, RunId, RunOptions, Timestamp};

use super::spec::{Overlap, Schedule};
use super::stored::{Fire, FireOutcome, Stored, change, load, save};
use super::times::fires;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::run::handle::Run;
use crate::runtime::run::request::RunRequest;
use crate::runtime::shared::Shared;

/// The label that tells which schedule started a run.
const LABEL: &str = "schedule";

/// The most runs remembered that may be under way; more than one are only there when they were started by hand, retried, or
/// have ended. Each is looked up at each fire time of a schedule whose runs must not overlap.
const OPEN_MAX: usize = 16;

/// Deals with the fire times of a schedule up to now; answers the next one.
pub(super) async fn advance(shared: &Arc<Shared>, name: &Name) -> Result<Option<Timestamp>, Error> {
    loop {
        let (version, stored) = load(&*shared.store, name).await?;
        let Some(mut stored) = stored.filter(|stored| !stored.paused) else { return Ok(None) };
        let (now, times) = (shared.clock.now(), stored.schedule.times()?);
        let first = stored.next_at(&times, now);
        let Some(first) = first.filter(|first| *first <= now) else {
            if first == stored.next
                || save(&*shared.store, name, version, Some(&Stored { next: first, ..stored })).await?
            {
                return Ok(first);
            }
            continue;
        };
        let due = fires(&stored.schedule, &times, first, now);
        let mut last = Fire { at: due.latest, outcome: FireOutcome::Missed };
        for at in due.at {
            last = Fire { at, outcome: fire(shared, &mut stored, at).await? };
        }
        stored.last = Some(last);
        stored.next = due.next;
        if save(&*shared.store, name, version, Some(&stored)).await? {
            return Ok(stored.next);
        }
    }
}

/// Starts the run of a fire time. An error means that it may be started yet, by this engine or by another.
async fn fire(shared: &Arc<Shared>, stored: &mut Stored, at: Timestamp) -> Result<FireOutcome, Error> {
    let id = id_at(&stored.schedule.name, at)?;
    // First: what was started is no overlap, though what was to be written down of it was lost to another change of the
    // schedule. And another engine's run answers nobody but that engine.
    let there = shared.store.record(&id).await?.is_some();
    if !there && stored.schedule.overlap == Overlap::Skip && is_under_way(shared, stored, &id).await? {
        return Ok(FireOutcome::Overlapped);
    }
    let started = if there { Ok(()) } else { start(shared, &stored.schedule, id.clone()).await.map(drop) };
    match started {
        Ok(()) => {
            stored.opened(&id);
            Ok(FireOutcome::Started(id))
        }
        Err(error) if matches!(error.kind(), ErrorKind::Invalid | ErrorKind::Conflict) => {
            tracing::error!(schedule = %stored.schedule.name, %at, %error, "the run of a fire time is refused");
            Ok(FireOutcome::Refused(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Whether another run than `id` is under way. One that has ended may be again: it is forgotten when there is no room.
async fn is_under_way(shared: &Arc<Shared>, stored: &mut Stored, id: &RunId) -> Result<bool, Error> {
    let (mut open, mut under_way) = (Vec::new(), 0);
    for run in stored.open.drain(..) {
        let record = shared.store.record(&run).await?;
        if let Some(record) = record {
            let live = !record.status.is_final();
            under_way += usize::from(live && run != *id);
            open.push((run, live));
        }
    }
    while open.len() >= OPEN_MAX
        && let Some(ended) = open.iter().position(|(_, live)| !live)
    {
        open.remove(ended);
    }
    stored.open = open.into_iter().map(|(run, _)| run).collect();
    Ok(under_way > 0)
}

/// Starts a run of the schedule.
pub(super) async fn start(shared: &Arc<Shared>, schedule: &Schedule, id: RunId) -> Result<Run, Error> {
    let workflow = &schedule.workflow;
    let unknown = || Error::new(ErrorKind::NotFound, format!("no workflow `{workflow}` is registered"));
    let mut labels = schedule.labels.clone();
    labels.insert(LABEL.to_owned(), schedule.name.to_string());
    let request = RunRequest {
        shared: Arc::clone(shared),
        plan: shared.code.plan(workflow).ok_or_else(unknown),
        id: Some(Ok(id)),
        input: Ok(schedule.input.clone()),
        labels,
        options: RunOptions::default(),
        within: None,
    };
    request.start().await
}

impl Stored {
    /// Remembers a run that is under way, as the latest.
    pub(super) fn opened(&mut self, run: &RunId) {
        self.open.retain(|open| open != run);
        self.open.push(run.clone());
        if self.schedule.overlap == Overlap::Allow && self.open.len() > OPEN_MAX {
            // Nobody asks whether they have ended.
            self.open.remove(0);
        }
    }
}

/// Remembers a run that is about to be retried, if a schedule started it: it may have been forgotten since it ended.
pub(in super::super) async fn remember(shared: &Shared, run: &RunId) -> Result<(), Error> {
    let Some(record) = shared.store.record(run).await? else { return Ok(()) };
    let own = |name: &&String| run.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':'));
    let Some(name) = record.labels.get(LABEL).filter(own) else { return Ok(()) };
    let stored = match load(&*shared.store, name).await {
        // It starts no runs that this one could overlap.
        Err(error) if error.is_damaged() => return Ok(()),
        stored => stored?.1,
    };
    if stored.is_none_or(|stored| stored.open.contains(run)) {
        return Ok(());
    }
    let note = |before: Option<Stored>| {
        Ok(before.map(|mut before| {
            before.opened(run);
            before
        }))
    };
    change(&*shared.store, name, note).await
}

/// `<schedule>:20260131T080000Z`: whoever starts the run of a fire time gives it the same id.
fn id_at(name: &Name, at: Timestamp) -> Result<RunId, Error> {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    let compact: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(RunId::new(format!("{name}:{compact}Z"))?)
}
