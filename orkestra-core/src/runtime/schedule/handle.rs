//! What users do with schedules.

use std::sync::Arc;

use crate::model::{RunId, Timestamp};

use super::fire::start;
use super::spec::Schedule;
use super::stored::{Fire, SCHEDULES_MAX, Stored, change, load, names, remove};
use crate::runtime::clock::fresh_id;
use crate::runtime::engine::handle::Engine;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::run::handle::Run;
use crate::runtime::shared::Shared;

/// The schedules of a store. Made by [`Engine::schedules`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schedules {
    shared: Arc<Shared>,
}

/// A schedule and where it stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// The schedule.
    pub schedule: Schedule,
    /// Whether it rests.
    pub paused: bool,
    /// The next fire time; `None` when it rests or there is none any more. One that has passed is being dealt with, or
    /// waits: see `problem`.
    pub next: Option<Timestamp>,
    /// The latest fire time that has passed, and what became of it.
    pub last: Option<Fire>,
    /// Why a fire time that has passed still waits, as far as this engine knows: its workflow is not registered here, or
    /// the store fails. It is tried again every few seconds.
    pub problem: Option<Error>,
}

impl Engine {
    /// The schedules: runs that start by the clock. They live in the store, and every engine on it starts the runs of
    /// all of them; each fire time has one run, however many engines there are and wherever they crash, for as long as
    /// that run is not deleted.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    /// use orkestra_core::{CatchUp, Overlap, Schedule};
    ///
    /// async fn collect(_cx: Context, topic: String) -> TaskResult<String> {
    ///     Ok(format!("what is new about {topic}"))
    /// }
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let workflow = Workflow::new("digest").node("collect", collect).build()?;
    /// let engine = Engine::builder().workflow(workflow).start().await?;
    /// let schedule = Schedule::every("hourly", "digest", secs(3600))?
    ///     .with_input("rust")?
    ///     .with_catch_up(CatchUp::One)
    ///     .with_overlap(Overlap::Skip);
    /// // At every start of a program: what stands in the store already goes on where it was.
    /// engine.schedules().put(schedule).await?;
    ///
    /// let run = engine.schedules().trigger("hourly").await?;
    /// assert_eq!(run.output::<String>().await?, "what is new about rust");
    ///
    /// let listed = engine.schedules().list().await?;
    /// assert_eq!(listed[0].schedule.name.as_str(), "hourly");
    /// assert!(listed[0].next.is_some());
    ///
    /// engine.schedules().pause("hourly").await?;
    /// engine.schedules().resume("hourly").await?;
    /// assert!(engine.schedules().remove("hourly").await?);
    /// assert!(engine.schedules().list().await?.is_empty());
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn schedules(&self) -> Schedules {
        Schedules { shared: Arc::clone(self.shared()) }
    }
}

impl Schedules {
    /// Puts a schedule there, or replaces the one of its name. The first fire time is the first one after now. One whose
    /// fire times stay the same goes on where it was: those that passed while no engine was there are caught up with, and
    /// a pause goes on. Durable when this returns.
    ///
    /// # Errors
    /// When the schedule has a mistake or never fires, there are too many of them, or the store fails. After an error of
    /// the store it may be there or not: put it again.
    pub async fn put(&self, schedule: Schedule) -> Result<(), Error> {
        schedule.check()?;
        let (name, times) = (schedule.name.clone(), schedule.times()?);
        let now = self.shared.clock.now();
        let next = schedule.after(&times, now);
        let over = schedule.until.is_some();
        if next.is_none() && !over {
            return Err(Error::new(ErrorKind::Invalid, format!("schedule `{name}` never fires: there is no such day")));
        }
        let known = names(&*self.shared.store).await?;
        if known.len() >= SCHEDULES_MAX && !known.contains(&name) {
            let message = format!("there are {SCHEDULES_MAX} schedules, removed ones included: use one of their names");
            return Err(Error::new(ErrorKind::Invalid, message));
        }
        let put = |before: Option<Stored>| {
            let (since, open) = (Some(now), Vec::new());
            let new = Stored { schedule: schedule.clone(), paused: false, next, since, last: None, open };
            Ok(Some(match before {
                Some(before) if before.fires_as(&schedule) => {
                    let next = before.next_at(&times, now);
                    Stored { schedule: schedule.clone(), next, ..before }
                }
                Some(before) => Stored { paused: before.paused, last: before.last, open: before.open, ..new },
                None => new,
            }))
        };
        self.change(&name, put).await
    }

    /// Removes a schedule; runs that it started go on. False when there is none. Its name stays in the store, with
    /// nothing behind it. One that cannot be read is removed too. Durable when this returns. One that is put again under its
    /// name does not know which runs of it are under way: they are no overlap.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn remove(&self, name: &str) -> Result<bool, Error> {
        let removed = remove(&*self.shared.store, name).await;
        self.look();
        removed
    }

    /// Lets a schedule rest. Durable when this returns.
    ///
    /// # Errors
    /// When there is no such schedule, or the store fails.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.change(name, |before| Ok(Some(Stored { paused: true, ..there(name, before)? }))).await
    }

    /// Lets a schedule go on, with the next fire time after now: those that passed meanwhile are not made up for. Does
    /// nothing to one that does not rest. Durable when this returns.
    ///
    /// # Errors
    /// When there is no such schedule, or the store fails.
    pub async fn resume(&self, name: &str) -> Result<(), Error> {
        let now = self.shared.clock.now();
        let resume = |before: Option<Stored>| {
            let before = there(name, before)?;
            if !before.paused {
                return Ok(Some(before));
            }
            let next = before.schedule.after(&before.schedule.times()?, now);
            Ok(Some(Stored { paused: false, next, since: Some(now), ..before }))
        };
        self.change(name, resume).await
    }

    /// All schedules in order of their names, without those that cannot be read: `Health::schedules_held_up` counts them,
    /// [`get`](Self::get) and the log say why.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn list(&self) -> Result<Vec<ScheduleStatus>, Error> {
        let mut listed = Vec::new();
        for name in names(&*self.shared.store).await? {
            match self.get(&name).await {
                Err(error) if error.is_damaged() => {
                    tracing::warn!(schedule = %name, %error, "a schedule is not listed");
                }
                found => listed.extend(found?),
            }
        }
        Ok(listed)
    }

    /// The schedule of this name; `None` when there is none.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<ScheduleStatus>, Error> {
        let (_, stored) = load(&*self.shared.store, name).await?;
        let Some(stored) = stored else { return Ok(None) };
        let next = stored.next_at(&stored.schedule.times()?, self.shared.clock.now());
        let Stored { schedule, paused, last, .. } = stored;
        let problem = self.shared.schedules.problem(&schedule.name);
        Ok(Some(ScheduleStatus { schedule, paused, next: next.filter(|_| !paused), last, problem }))
    }

    /// Starts a run of the schedule now, whether it rests or one is under way. Its id is `<schedule>:by-hand:<ULID>`; the
    /// fire times stay as they are. The run is durable when this returns; after an error it may be there: look for the
    /// label `schedule` before starting another.
    ///
    /// # Errors
    /// When there is no such schedule, the workflow is not registered with this engine, or the store fails.
    pub async fn trigger(&self, name: &str) -> Result<Run, Error> {
        let (_, stored) = load(&*self.shared.store, name).await?;
        let schedule = there(name, stored)?.schedule;
        let run = start(&self.shared, &schedule, RunId::new(format!("{name}:by-hand:{}", fresh_id()))?).await?;
        let note = |before: Option<Stored>| {
            Ok(before.map(|mut before| {
                before.opened(run.id());
                before
            }))
        };
        change(&*self.shared.store, name, note).await?;
        Ok(run)
    }

    async fn change<F>(&self, name: &str, how: F) -> Result<(), Error>
    where
        F: FnMut(Option<Stored>) -> Result<Option<Stored>, Error>,
    {
        let changed = change(&*self.shared.store, name, how).await;
        self.look();
        changed
    }

    /// After an error too: what the store did cannot always be told.
    fn look(&self) {
        self.shared.schedules.look();
        self.shared.neighbours.for_others(|other| other.schedules.look());
    }
}

impl Stored {
    /// Whether the fire times of both are the same.
    fn fires_as(&self, other: &Schedule) -> bool {
        let Schedule { when, from, until, .. } = &self.schedule;
        *when == other.when && *from == other.from && *until == other.until
    }
}

fn there(name: &str, stored: Option<Stored>) -> Result<Stored, Error> {
    stored.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("there is no schedule `{name}`")))
}
