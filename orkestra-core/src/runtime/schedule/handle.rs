//! The handle to create, change and list schedules.

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

/// The schedules of a store. Created by [`Engine::schedules`]. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Schedules {
    shared: Arc<Shared>,
}

/// A schedule and its state.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScheduleStatus {
    /// The schedule.
    pub schedule: Schedule,
    /// Whether it is paused.
    pub paused: bool,
    /// The next fire time; `None` if it is paused or there is none left. A time in the past is being handled or has a
    /// `problem`.
    pub next: Option<Timestamp>,
    /// The latest fire time that has passed, and its outcome.
    pub last: Option<Fire>,
    /// Why a fire time that has passed has not been handled, as far as this engine knows: the workflow is not
    /// registered here, or the store fails. It is retried every few seconds.
    pub problem: Option<Error>,
}

impl Engine {
    /// The schedules of the store: runs that start at given times. Every engine on the store starts the runs of all
    /// schedules. Each fire time has exactly one run, however many engines there are and wherever they crash, as long
    /// as that run is not deleted.
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
    /// // Call this at every start of a program: a schedule that exists continues where it was.
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
    /// Creates a schedule, or replaces the one with the same name. The first fire time is the first one after now. If
    /// the fire times stay the same, the schedule continues where it was: fire times that passed without an engine are
    /// caught up on, and a paused schedule stays paused. Durable when this returns.
    ///
    /// # Errors
    /// If the schedule is invalid or never fires, there are too many schedules, or the store fails. After an error of
    /// the store the schedule may have been written: put it again.
    pub async fn put(&self, schedule: Schedule) -> Result<(), Error> {
        schedule.check()?;
        let (name, times) = (schedule.name.clone(), schedule.times()?);
        let now = self.shared.clock.now();
        let next = schedule.after(&times, now);
        let over = schedule.until.is_some();
        if next.is_none() && !over {
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("cannot put schedule `{name}`: its expression never matches a date"),
            ));
        }
        let known = names(&*self.shared.store).await?;
        if known.len() >= SCHEDULES_MAX && !known.contains(&name) {
            let message = format!(
                "cannot put schedule `{name}`: there are already {SCHEDULES_MAX}, including removed ones; reuse the name of one"
            );
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

    /// Removes a schedule, even one that cannot be read, and returns whether it existed. Its runs continue. Its name
    /// stays in the store with an empty value. Durable when this returns. If it is put again later, runs started before
    /// the removal do not count as overlapping.
    ///
    /// # Errors
    /// If the store fails.
    pub async fn remove(&self, name: &str) -> Result<bool, Error> {
        let removed = remove(&*self.shared.store, name).await;
        self.look();
        removed
    }

    /// Pauses a schedule. Durable when this returns.
    ///
    /// # Errors
    /// If the schedule does not exist, or the store fails.
    pub async fn pause(&self, name: &str) -> Result<(), Error> {
        self.change(name, |before| Ok(Some(Stored { paused: true, ..there(name, before)? }))).await
    }

    /// Resumes a paused schedule at the next fire time after now; those that passed in the meantime are not caught up
    /// on. Does nothing if it is not paused. Durable when this returns.
    ///
    /// # Errors
    /// If the schedule does not exist, or the store fails.
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

    /// Lists all schedules by name, except those that cannot be read: `Health::schedules_held_up` counts them,
    /// [`get`](Self::get) and the log say why.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn list(&self) -> Result<Vec<ScheduleStatus>, Error> {
        let mut listed = Vec::new();
        for name in names(&*self.shared.store).await? {
            match self.get(&name).await {
                Err(error) if error.is_damaged() => {
                    tracing::warn!(schedule = %name, %error, "cannot read a schedule; it is not listed");
                }
                found => listed.extend(found?),
            }
        }
        Ok(listed)
    }

    /// Returns the schedule with this name, or `None` if it does not exist.
    ///
    /// # Errors
    /// If the store or the schedule cannot be read.
    pub async fn get(&self, name: &str) -> Result<Option<ScheduleStatus>, Error> {
        let (_, stored) = load(&*self.shared.store, name).await?;
        let Some(stored) = stored else { return Ok(None) };
        let next = stored.next_at(&stored.schedule.times()?, self.shared.clock.now());
        let Stored { schedule, paused, last, .. } = stored;
        let problem = self.shared.schedules.problem(&schedule.name);
        Ok(Some(ScheduleStatus { schedule, paused, next: next.filter(|_| !paused), last, problem }))
    }

    /// Starts a run of the schedule now, even if the schedule is paused or one of its runs is live. Its id is
    /// `<schedule>:by-hand:<ULID>`; the fire times do not change. The run is durable when this returns. After an error
    /// it may exist: look for the label `schedule` before starting another.
    ///
    /// # Errors
    /// If the schedule does not exist, the workflow is not registered with this engine, or the store fails.
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

    /// Wakes the tickers, also after an error: the change may have been made.
    fn look(&self) {
        self.shared.schedules.look();
        self.shared.neighbours.for_others(|other| other.schedules.look());
    }
}

impl Stored {
    /// Whether both have the same fire times.
    fn fires_as(&self, other: &Schedule) -> bool {
        let Schedule { when, from, until, .. } = &self.schedule;
        *when == other.when && *from == other.from && *until == other.until
    }
}

fn there(name: &str, stored: Option<Stored>) -> Result<Stored, Error> {
    stored.ok_or_else(|| Error::new(ErrorKind::NotFound, format!("schedule `{name}` not found")))
}
