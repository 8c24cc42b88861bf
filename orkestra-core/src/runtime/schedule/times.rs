//! Fire times: pure functions of a schedule and the current time.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Timestamp;

#[cfg(feature = "schedules")]
use super::cron::CronTimes;
use super::spec::{CatchUp, Schedule, When};

/// How late a fire time may be handled without counting as missed: engines read the store every 30 seconds.
pub(super) const ON_TIME: Duration = Duration::from_secs(60);

/// How far back missed fire times are searched for at first; four times as far each time too few are found.
const LOOK_BACK: Duration = Duration::from_secs(3600);

/// The times that a schedule names.
#[derive(Clone, Debug)]
pub(super) enum Times {
    Every {
        period: u64,
        offset: u64,
    },
    #[cfg(feature = "schedules")]
    Cron(Box<CronTimes>),
}

impl Times {
    pub(super) fn of(when: &When) -> Result<Self, String> {
        match when {
            When::Every { period, offset } => {
                let period = seconds(*period)
                    .filter(|period| *period > 0)
                    .ok_or_else(|| format!("`period`: {period:?} is invalid; use whole seconds, at least one"))?;
                let offset =
                    seconds(*offset).ok_or_else(|| format!("`offset`: {offset:?} is invalid; use whole seconds"))?;
                Ok(Self::Every { period, offset })
            }
            #[cfg(feature = "schedules")]
            When::Cron { expression, zone } => Ok(Self::Cron(Box::new(CronTimes::new(expression, zone)?))),
        }
    }

    /// The first time after `after`, in whole seconds; `None` if there is none left.
    pub(super) fn after(&self, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Every { period, offset } => {
                let passed = after.as_millis() / 1000;
                let count = passed.checked_sub(*offset).map_or(0, |passed| passed / period + 1);
                let next = count.checked_mul(*period)?.checked_add(*offset)?;
                Some(Timestamp::from_millis(next.checked_mul(1000)?))
            }
            #[cfg(feature = "schedules")]
            Self::Cron(times) => times.after(after),
        }
    }
}

fn seconds(duration: Duration) -> Option<u64> {
    (duration.subsec_nanos() == 0).then_some(duration.as_secs())
}

/// What to do about the fire times up to now.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fires {
    /// The fire times to start runs for, earliest first.
    pub(super) at: Vec<Timestamp>,
    /// The latest fire time that has passed.
    pub(super) latest: Timestamp,
    /// The next fire time.
    pub(super) next: Option<Timestamp>,
}

/// The fire times from `first`, which is one, up to `now`.
pub(super) fn fires(schedule: &Schedule, times: &Times, first: Timestamp, now: Timestamp) -> Fires {
    let wanted = match schedule.catch_up {
        CatchUp::Skip | CatchUp::One => 1,
        CatchUp::All { limit } => limit,
    };
    let passed = passed(schedule, times, (first, now), wanted);
    let latest = passed.back().copied().unwrap_or(first);
    let kept = now.since(latest) <= ON_TIME;
    let at = if schedule.catch_up == CatchUp::Skip && !kept { Vec::new() } else { passed.into() };
    Fires { at, latest, next: schedule.after(times, now) }
}

/// The last `wanted` fire times from `first` up to `now`.
fn passed(
    schedule: &Schedule,
    times: &Times,
    (first, now): (Timestamp, Timestamp),
    wanted: usize,
) -> VecDeque<Timestamp> {
    let mut back = LOOK_BACK;
    loop {
        let start = now.as_millis().saturating_sub(u64::try_from(back.as_millis()).unwrap_or(u64::MAX));
        let all = start <= first.as_millis();
        let start = if all { Some(first) } else { schedule.after(times, Timestamp::from_millis(start)) };
        let mut found = VecDeque::new();
        let mut at = start;
        while let Some(fire) = at.filter(|fire| *fire <= now) {
            if found.len() == wanted {
                found.pop_front();
            }
            found.push_back(fire);
            at = schedule.after(times, fire);
        }
        if all || found.len() == wanted {
            return found;
        }
        back = back.saturating_mul(4);
    }
}
