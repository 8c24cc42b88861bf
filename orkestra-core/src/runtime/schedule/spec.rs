//! The definition of a schedule. Plain data, which can also be loaded from a file.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Name, Payload, Timestamp, label_mistake};

use super::times::Times;
use crate::runtime::error::{Error, ErrorKind};

/// How many missed fire times one schedule may catch up on.
const CATCH_UP_MAX: usize = 1_000;

/// When to start runs of a workflow.
///
/// As JSON: `{"name": "digest", "workflow": "digest", "when": {"every": {"period_ms": 60000}}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Schedule {
    /// Its name; the ids of its runs begin with it.
    pub name: Name,
    /// The workflow that is run, which must be registered with the engine.
    pub workflow: Name,
    /// The input of each run.
    #[serde(default = "Payload::null", skip_serializing_if = "Payload::is_null")]
    pub input: Payload,
    /// The labels of each run. The label `schedule` with the schedule's name is added.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The fire times.
    pub when: When,
    /// What happens to fire times that passed without an engine.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// What happens at a fire time while a run of the schedule is live.
    #[serde(default)]
    pub overlap: Overlap,
    /// Fire times before this are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Fire times at or after this are ignored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// The fire times of a schedule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum When {
    /// At regular times counted from the Unix epoch, whenever the schedule was created: every six hours with an offset
    /// of one hour is 01:00, 07:00, 13:00, 19:00 UTC.
    Every {
        /// The time between two fire times: whole seconds, at least one.
        #[serde(rename = "period_ms", with = "millis")]
        period: Duration,
        /// The offset from the Unix epoch: whole seconds.
        #[serde(rename = "offset_ms", default, with = "millis", skip_serializing_if = "Duration::is_zero")]
        offset: Duration,
    },
    /// By a cron expression of five fields (minute, hour, day of month, month, day of week), or six with seconds first.
    /// `@daily` and the like, `L`, `W` and `#` are supported. If both day fields are given, either may match.
    ///
    /// When clocks change: an expression that matches every hour (`*/10 * * * *`) follows elapsed time, so nothing is
    /// doubled or skipped. Any other follows local time: a time that does not exist (02:30 on the night when 02:00
    /// becomes 03:00) fires once, right after the gap; several such times fire once together; a time that occurs twice
    /// fires the first time.
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

/// What happens to fire times that passed without an engine, or without one that knows the workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CatchUp {
    /// They are skipped if the latest of them is more than a minute ago.
    #[default]
    Skip,
    /// One run, for the latest of them.
    One,
    /// A run for each, earliest first; if there are more than `limit`, for the latest.
    All {
        /// How many at most: 1 to 1,000.
        limit: usize,
    },
}

/// What happens at a fire time while a run of the schedule is live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Overlap {
    /// The next run starts anyway.
    #[default]
    Allow,
    /// The fire time passes without a run. A paused run is live, and so is a run that had ended and was retried.
    Skip,
}

impl Schedule {
    /// A schedule that starts a run of `workflow` every `period`, counted from the Unix epoch.
    ///
    /// # Errors
    /// If a name is invalid, or the period is not a whole number of seconds, at least one.
    pub fn every(name: &str, workflow: &str, period: Duration) -> Result<Self, Error> {
        Self::new(name, workflow, When::Every { period, offset: Duration::ZERO })
    }

    /// A schedule that starts a run of `workflow` at the times of a cron expression in a time zone.
    ///
    /// # Errors
    /// If a name is invalid, the zone is unknown, or the expression is invalid: the error names the field.
    ///
    /// ```
    /// use orkestra_core::Schedule;
    ///
    /// let weekdays = Schedule::cron("digest", "digest", "30 8 * * MON-FRI", "Europe/Berlin")?;
    /// assert_eq!(weekdays.name.as_str(), "digest");
    ///
    /// let wrong = Schedule::cron("digest", "digest", "30 25 * * *", "Europe/Berlin").unwrap_err();
    /// assert!(wrong.to_string().contains("hour: `25` is invalid; use 0 to 23"), "{wrong}");
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

    /// Sets the input of each run.
    ///
    /// # Errors
    /// If the value cannot be serialised to JSON, or is too large.
    pub fn with_input<T: Serialize + ?Sized>(self, input: &T) -> Result<Self, Error> {
        Ok(Self { input: Payload::of(input)?, ..self })
    }

    /// Adds a label by which its runs can be found.
    #[must_use]
    pub fn with_label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Sets what happens to fire times that passed without an engine.
    #[must_use]
    pub fn with_catch_up(self, catch_up: CatchUp) -> Self {
        Self { catch_up, ..self }
    }

    /// Sets what happens at a fire time while a run of the schedule is live.
    #[must_use]
    pub fn with_overlap(self, overlap: Overlap) -> Self {
        Self { overlap, ..self }
    }

    /// Ignores fire times before `from`, and at or after `until`.
    #[must_use]
    pub fn with_range(self, from: Option<Timestamp>, until: Option<Timestamp>) -> Self {
        Self { from, until, ..self }
    }

    /// Validates a schedule that was loaded as data.
    ///
    /// # Errors
    /// The first invalid field, by name.
    pub fn check(&self) -> Result<(), Error> {
        self.times().map(drop)?;
        if let CatchUp::All { limit } = self.catch_up
            && !(1..=CATCH_UP_MAX).contains(&limit)
        {
            return Err(self.mistake(&format!("`catch_up`: the limit is {limit}; use 1 to {CATCH_UP_MAX}")));
        }
        if let (Some(from), Some(until)) = (self.from, self.until)
            && until <= from
        {
            return Err(self.mistake(&format!("`until`: {until} is not after `from` ({from}); use a later time")));
        }
        if let Some(mistake) = self.labels.keys().find_map(|key| label_mistake(key)) {
            return Err(self.mistake(&format!("`labels`: {mistake}")));
        }
        // A payload that was not made by `with_input` may be of any size and depth.
        Payload::of(&self.input).map_err(|error| self.mistake(&format!("`input`: {error}")).with_source(error))?;
        Ok(())
    }

    pub(super) fn times(&self) -> Result<Times, Error> {
        Times::of(&self.when).map_err(|mistake| self.mistake(&mistake))
    }

    /// The first fire time after `at`, within the range.
    pub(super) fn after(&self, times: &Times, at: Timestamp) -> Option<Timestamp> {
        let from = self.from.map_or(at, |from| at.max(Timestamp::from_millis(from.as_millis().saturating_sub(1))));
        times.after(from).filter(|next| self.until.is_none_or(|until| *next < until))
    }

    fn mistake(&self, mistake: &str) -> Error {
        Error::new(ErrorKind::Invalid, format!("invalid schedule `{}`: {mistake}", self.name))
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
