//! Cron expressions: the only file that uses croner.
//!
//! croner walks through local times; this file decides which moments they are, in one of two ways. An expression that
//! matches every hour follows elapsed time, so that what runs every ten minutes still does when clocks go back. Every
//! other expression follows local time: a time that does not exist fires right after the gap, one that occurs twice
//! fires the first time.

use std::cmp::Ordering;

use croner::Cron;
use croner::errors::CronError;
use croner::parser::{CronParser, Seconds, Year};
use croner::time::{CivilDate, CivilDateTime, CivilTime, CronDateTime, Resolution, Weekday};

use crate::model::Timestamp;

use super::zone::{Reading, Zone};

/// The longest expression, in bytes: enough to list all hours and minutes.
const EXPRESSION_BYTES_MAX: usize = 512;

/// How many clock changes a search passes: over 100 years with two a year.
const CHANGES_MAX: usize = 256;

/// How many repeated local times a search skips: all seconds of a repeated day, and no zone repeats more than that.
const REPEATED_MAX: usize = 86_400;

/// The fields in their order: name and allowed values.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0 to 59"),
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31, or L for the last"),
    ("month", "1 to 12, or JAN to DEC"),
    ("day of week", "0 to 7, or SUN to SAT"),
];

/// The moments that an expression matches in a zone.
#[derive(Clone, Debug)]
pub(super) struct CronTimes {
    cron: Cron,
    zone: Zone,
    every_hour: bool,
}

impl CronTimes {
    /// Parses an expression; the error says what is wrong with which field.
    pub(super) fn new(expression: &str, zone: &str) -> Result<Self, String> {
        let cron = parse(expression)?;
        let unknown = || format!("`zone`: `{zone}` is not a known time zone; use a name like `Europe/Berlin` or `UTC`");
        let zone = Zone::named(zone).ok_or_else(unknown)?;
        let every_hour = cron.pattern.hours.values().len() == 24;
        Ok(Self { cron, zone, every_hour })
    }

    /// The first moment after `after`; `None` if there is none left.
    pub(super) fn after(&self, after: Timestamp) -> Option<Timestamp> {
        if self.every_hour { self.after_by_hours(after) } else { self.after_by_clocks(after) }
    }

    fn after_by_clocks(&self, after: Timestamp) -> Option<Timestamp> {
        let mut reading = self.zone.reading(after)?;
        for _ in 0..REPEATED_MAX {
            reading = self.next(reading, false)?;
            // After clocks went back, local times occur again that have already fired.
            if let Some(at) = self.zone.first(reading).filter(|at| *at > after) {
                return Some(at);
            }
        }
        None
    }

    fn after_by_hours(&self, after: Timestamp) -> Option<Timestamp> {
        let (mut from, mut inclusive) = (after, false);
        for _ in 0..CHANGES_MAX {
            let reading = self.next(self.zone.reading(from)?, inclusive)?;
            let at = self.zone.steady(from, reading)?;
            match self.zone.next_change(from).filter(|change| *change <= at) {
                Some(change) => (from, inclusive) = (change, true),
                None => return Some(at),
            }
        }
        None
    }

    fn next(&self, reading: Reading, inclusive: bool) -> Option<Reading> {
        self.cron.find_next_occurrence(&reading, inclusive).ok()
    }
}

impl CronDateTime for Reading {
    fn to_civil(&self) -> CivilDateTime {
        let ((year, month, day), (hour, minute, second)) = (self.date(), self.time());
        CivilDateTime::new(
            CivilDate::from_parts_unchecked(year, month, day),
            CivilTime::from_parts_unchecked(hour, minute, second),
        )
    }

    fn civil_weekday(&self) -> Weekday {
        Weekday::from_days_from_sunday(self.days_from_sunday())
    }

    fn resolve_civil(&self, civil: CivilDateTime) -> Result<Resolution<Self>, CronError> {
        let date = (civil.year(), civil.month(), civil.day());
        let time = (civil.hour(), civil.minute(), civil.second());
        Self::new(date, time).map(Resolution::Single).ok_or(CronError::InvalidDate)
    }

    fn checked_add_seconds(&self, seconds: i64) -> Option<Self> {
        self.plus(seconds)
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        self.cmp(other)
    }
}

fn parse(expression: &str) -> Result<Cron, String> {
    if expression.len() > EXPRESSION_BYTES_MAX {
        return Err(format!(
            "`expression`: it has {} bytes; at most {EXPRESSION_BYTES_MAX} are allowed",
            expression.len()
        ));
    }
    let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| explain(&parser, expression, &error))
}

/// croner says what is wrong, but not where: each field is parsed separately.
fn explain(parser: &CronParser, expression: &str, error: &CronError) -> String {
    let given: Vec<&str> = expression.split_whitespace().collect();
    if !matches!(given.len(), 5 | 6) {
        let fields = "minute, hour, day of month, month, day of week; with six, seconds come first";
        return format!("`expression`: `{expression}` has {} fields; use 5 or 6: {fields}", given.len());
    }
    for (field, (name, range)) in given.iter().rev().zip(FIELDS.iter().rev()) {
        let alone = |(other, _): &(&str, &str)| if other == name { *field } else { "*" };
        let alone: Vec<&str> = FIELDS.iter().map(alone).collect();
        if parser.parse(&alone.join(" ")).is_err() {
            return format!(
                "`expression`, {name}: `{field}` is invalid; use {range}, `*`, lists, ranges and `/` steps"
            );
        }
    }
    format!("`expression`: {error}")
}
