//! Schedules as users write them. Plain data: it also comes from a file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Name, Payload, Timestamp, label_mistake};

use super::times::Times;
use crate::runtime::error::{Error, ErrorKind};

/// The most runs that one schedule makes up for after a time without an engine.
const CATCH_UP_MAX: usize = 1_000;

/// When runs of a workflow are started.
///
/// As JSON: `{"name": "digest", "workflow": "digest", "when": {"every": {"period_ms": 60000}}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name; the ids of its runs begin with it.
    pub name: Name,
    /// The workflow that is run, which must be registered with the engine.
    pub workflow: Name,
    /// What each run works on.
    #[serde(default = "Payload::null", skip_serializing_if = "Payload::is_null")]
    pub input: Payload,
    /// Labels of each run. The label `schedule` with the schedule's name comes by itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The fire times.
    pub when: When,
    /// What becomes of fire times that passed while no engine was there.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What becomes of a fire time while a run of the schedule is under way.
    #[serde(default)]
    pub overlap: Overlap,
    /// No fire time before this one counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// No fire time from this one on counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The fire times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum When {
    /// Every so often, counted from the Unix epoch: every six hours with an offset of one is 01:00, 07:00, 13:00, 19:00
    /// UTC, whenever the schedule was put there.
    Every {
        /// How often: whole seconds.
        #[serde(rename = "period_ms", with = "millis")]
        period: Duration,
        /// How much later than the Unix epoch and its multiples: whole seconds.
        #[serde(rename = "offset_ms", default, with = "millis", skip_serializing_if = "Duration::is_zero")]
        offset: Duration,
    },
    /// By a cron expression of five fields, minute, hour, day of month, month, day of week, or of six with seconds before
    /// them; `@daily` and its like are understood, `L`, `W` and `#` too. When both days are given, either will do.
    ///
    /// When clocks are put forward or back: an expression for every hour (`*/10 * * * *`) goes by the hours that pass,
    /// nothing is doubled or left out. Any other goes by what clocks show: a time that does not come (02:30 on the
    /// night when 02:00 becomes 03:00) fires once, when the clocks have jumped over it; several such times fire once
    /// together; one that comes twice fires the first time.
    #[cfg(feature = "schedules")]
    #[cfg_attr(docsrs, doc(cfg(feature = "schedules")))]
    Cron {
        /// The expression.
        expression: String,
        /// The time zone, by its IANA name: `Europe/Berlin`, `UTC`.
        #[serde(default = "utc")]
        zone: String,
    },
}

/// What becomes of fire times that passed while no engine was there, or none that knows the workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CatchUp {
    /// Nothing, once the latest of them is more than a minute ago.
    #[default]
    Skip,
    /// One run, for the latest of them.
    One,
    /// A run for each, earliest first; when there are more, for the latest of them.
    All {
        /// How many at the most, up to 1,000.
        limit: usize,
    },
}

/// What becomes of a fire time while a run of the schedule is under way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// The next run starts all the same.
    #[default]
    Allow,
    /// It passes without a run. A run that is paused is under way, and so is one that had ended and was retried.
    Skip,
}

impl Schedule {
    /// A schedule that starts a run of `workflow` every `period`, counted from the Unix epoch.
    ///
    /// # Errors
    /// When a name is none, or the period is not of whole seconds.
    pub fn every(name: &str, workflow: &str, period: Duration) -> Result<Self, Error> {
        Self::new(name, workflow, When::Every { period, offset: Duration::ZERO })
    }

    /// A schedule that starts a run of `workflow` at the times of a cron expression in a time zone.
    ///
    /// # Errors
    /// When a name is none, the zone is not known, or the expression has a mistake: the error names the field.
    ///
    /// ```
    /// use orkestra_core::Schedule;
    ///
    /// let weekdays = Schedule::cron("digest", "digest", "30 8 * * MON-FRI", "Europe/Berlin")?;
    /// assert_eq!(weekdays.name.as_str(), "digest");
    ///
    /// let wrong = Schedule::cron("digest", "digest", "30 25 * * *", "Europe/Berlin").unwrap_err();
    /// assert!(wrong.to_string().contains("hour: `25` is none; 0 to 23"), "{wrong}");
    /// # Ok::<(), orkestra_core::Error>(())
    /// ```
    #[cfg(feature = "schedules")]
    #[cfg_attr(docsrs, doc(cfg(feature = "schedules")))]
    pub fn cron(name: &str, workflow: &str, expression: &str, zone: &str) -> Result<Self, Error> {
        Self::new(name, workflow, When::Cron { expression: expression.to_owned(), zone: zone.to_owned() })
    }

    fn new(name: &str, workflow: &str, when: When) -> Result<Self, Error> {
        let schedule = Self {
            name: Name::new(name)?,
            workflow: Name::new(workflow)?,
            input: Payload::null(),
            labels: BTreeMap::new(),
            when,
            catch_up: CatchUp::default(),
            overlap: Overlap::default(),
            from: None,
            until: None,
        };
        schedule.check()?;
        Ok(schedule)
    }

    /// What each run works on.
    ///
    /// # Errors
    /// When the value does not serialise to JSON or is too large.
    pub fn with_input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self, Error> {
        Ok(Self { input: Payload::of(input)?, ..self })
    }

    /// Adds a label, to find its runs by.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// What becomes of fire times that passed while no engine was there.
    #[must_use]
    pub fn with_catch_up(self, catch_up: CatchUp) -> Self {
        Self { catch_up, ..self }
    }

    /// What becomes of a fire time while a run of the schedule is under way.
    #[must_use]
    pub fn with_overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// Lets no fire time before `from` count, nor one from `until` on.
    #[must_use]
    pub fn with_range(self, from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self { from, until, ..self }
    }

    /// Checks what comes as data.
    ///
    /// # Errors
    /// Names the field that has a mistake.
    pub fn check(&self) -> Result<(), Error> {
        self.times().map(drop)?;
        if let CatchUp::All { limit } = self.catch_up
            && !(1..=CATCH_UP_MAX).contains(&limit)
        {
            return Err(self.mistake(&format!("`catch_up`: {limit} is not from 1 to {CATCH_UP_MAX}")));
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && until <= from
        {
            return Err(self.mistake(&format!("`until`: {until} is not after `from`, {from}")));
        }
        if let Some(mistake) = self.labels.keys().find_map(|key| label_mistake(key)) {
            return Err(self.mistake(&format!("`labels`: {mistake}")));
        }
        // A payload that was not made by `with_input` is as large and as deep as it likes.
        Payload::of(&self.input).map_err(|error| self.mistake(&format!("`input`: {error}")).with_source(error))?;
        Ok(())
    }

    pub(super) fn times(&self) -> Result<Times, Error> {
        Times::of(&self.when).map_err(|mistake| self.mistake(&mistake))
    }

    /// The first fire time after `at` that counts.
    pub(super) fn after(&self, times: &Times, at: Timestamp) -> Option<Timestamp> {
        let from = self.from.map_or(at, |from| at.max(Timestamp::from_millis(from.as_millis().saturating_sub(1))));
        times.after(from).filter(|next| self.until.is_none_or(|until| *next < until))
    }

    fn mistake(&self, mistake: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("schedule `{}`, {mistake}", self.name))
    }
}

#[cfg(feature = "schedules")]
fn utc() -> String {
    "UTC".to_owned()
}

/// Durations as whole milliseconds.
mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        u64::deserialize(deserializer).map(Duration::from_millis)
    }
}
