//! Time zones: the only file that uses jiff.
//!
//! A reading is the local time of a zone, as a date and a time of day. When clocks go forward, some readings never
//! occur; when they go back, some occur twice.

use jiff::civil::DateTime;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp as Instant};

use crate::model::Timestamp;

/// A local date and time of day, in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Reading(DateTime);

impl Reading {
    /// Year, month, day, hour, minute, second; `None` for a date that does not exist.
    pub(super) fn new((year, month, day): (i32, u32, u32), (hour, minute, second): (u32, u32, u32)) -> Option<Self> {
        let small = |part: u32| i8::try_from(part).ok();
        let (month, day) = (small(month)?, small(day)?);
        let (hour, minute, second) = (small(hour)?, small(minute)?, small(second)?);
        DateTime::new(i16::try_from(year).ok()?, month, day, hour, minute, second, 0).ok().map(Self)
    }

    pub(super) fn date(self) -> (i32, u32, u32) {
        (i32::from(self.0.year()), part(self.0.month()), part(self.0.day()))
    }

    pub(super) fn time(self) -> (u32, u32, u32) {
        (part(self.0.hour()), part(self.0.minute()), part(self.0.second()))
    }

    pub(super) fn days_from_sunday(self) -> u32 {
        part(self.0.weekday().to_sunday_zero_offset())
    }

    pub(super) fn plus(self, seconds: i64) -> Option<Self> {
        self.0.checked_add(SignedDuration::from_secs(seconds)).ok().map(Self)
    }
}

fn part(part: i8) -> u32 {
    u32::from(part.unsigned_abs())
}

/// A time zone.
#[derive(Clone, Debug)]
pub(super) struct Zone(TimeZone);

impl Zone {
    /// The zone with this IANA name, such as `Europe/Berlin`; `None` if it does not exist.
    pub(super) fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }

    /// The local time at `at`, without fractions of a second.
    pub(super) fn reading(&self, at: Timestamp) -> Option<Reading> {
        Some(Reading(self.0.to_datetime(instant(at)?)))
    }

    /// The first time at which `reading` occurs; if it never does, the end of the gap it lies in.
    pub(super) fn first(&self, reading: Reading) -> Option<Timestamp> {
        let ambiguous = self.0.to_ambiguous_timestamp(reading.0);
        let AmbiguousOffset::Gap { after, .. } = ambiguous.offset() else {
            return timestamp(ambiguous.earlier().ok()?);
        };
        let before_the_jump = after.to_timestamp(reading.0).ok()?;
        timestamp(self.0.following(before_the_jump).next()?.timestamp())
    }

    /// When `reading` occurs if the offset stays what it is at `at`.
    pub(super) fn steady(&self, at: Timestamp, reading: Reading) -> Option<Timestamp> {
        timestamp(self.0.to_offset(instant(at)?).to_timestamp(reading.0).ok()?)
    }

    /// When the offset changes next, after `at`.
    pub(super) fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        timestamp(self.0.following(instant(at)?).next()?.timestamp())
    }
}

fn instant(at: Timestamp) -> Option<Instant> {
    Instant::from_second(i64::try_from(at.as_millis() / 1000).ok()?).ok()
}

fn timestamp(at: Instant) -> Option<Timestamp> {
    Some(Timestamp::from_millis(u64::try_from(at.as_second()).ok()?.checked_mul(1000)?))
}
