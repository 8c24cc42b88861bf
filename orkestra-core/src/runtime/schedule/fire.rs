//! Handles a schedule that is due: starts its runs, then advances it.
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

/// The label of a run that names the schedule that started it.
const LABEL: &str = "schedule";

/// How many runs that may be live are remembered. There is more than one only if runs were started by hand, were
/// retried, or have ended. Each is looked up at each fire time of a schedule whose runs must not overlap.
const OPEN_MAX: usize = 16;

/// Handles the fire times of a schedule up to now; returns the next one.
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

/// Starts the run of a fire time. After an error this engine or another may still start it.
async fn fire(shared: &Arc<Shared>, stored: &mut Stored, at: Timestamp) -> Result<FireOutcome, Error> {
    let id = id_at(&stored.schedule.name, at)?;
    // IMPORTANT: first. A run that was started must not count as its own overlap, even if recording it was lost to
    // another change of the schedule. Also, a run that another engine started can only be found in the store.
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
            tracing::error!(schedule = %stored.schedule.name, %at, %error, "the run of a fire time was refused");
            Ok(FireOutcome::Refused(error.to_string()))
        }
        Err(error) => Err(error),
    }
}

/// Whether a run other than `id` is live. A run that has ended may become live again, so it is forgotten only to make
/// space.
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
    let unknown = || Error::new(ErrorKind::NotFound, format!("workflow `{workflow}` is not registered"));
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
    /// Remembers a live run as the latest.
    pub(super) fn opened(&mut self, run: &RunId) {
        self.open.retain(|open| open != run);
        self.open.push(run.clone());
        if self.schedule.overlap == Overlap::Allow && self.open.len() > OPEN_MAX {
            // Overlaps are allowed, so whether they have ended does not matter.
            self.open.remove(0);
        }
    }
}

/// Remembers a run that is about to be retried, if a schedule started it: it may have been forgotten after it ended.
pub(in super::super) async fn remember(shared: &Shared, run: &RunId) -> Result<(), Error> {
    let Some(record) = shared.store.record(run).await? else { return Ok(()) };
    let own = |name: &&String| run.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(':'));
    let Some(name) = record.labels.get(LABEL).filter(own) else { return Ok(()) };
    let stored = match load(&*shared.store, name).await {
        // A damaged schedule starts no runs that could overlap with this one.
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

/// `<schedule>:20260131T080000Z`: every engine gives the run of a fire time the same id.
fn id_at(name: &Name, at: Timestamp) -> Result<RunId, Error> {
    let text = at.to_string();
    let seconds = text.split_once('.').map_or(text.as_str(), |(seconds, _)| seconds);
    let compact: String = seconds.chars().filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(RunId::new(format!("{name}:{compact}Z"))?)
}
