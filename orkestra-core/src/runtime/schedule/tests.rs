//! Fire times as data.

use std::time::Duration;

use crate::model::Timestamp;

use super::spec::{CatchUp, Schedule, When};
use super::stored::{Fire, FireOutcome, Stored};
use super::times::{Fires, fires};

fn seconds(count: u64) -> Timestamp {
    Timestamp::from_millis(1000 * count)
}

fn every(period: u64, offset: u64) -> Schedule {
    let schedule = Schedule::every("s", "w", Duration::from_secs(1)).expect("a schedule");
    let (period, offset) = (Duration::from_secs(period), Duration::from_secs(offset));
    Schedule { when: When::Every { period, offset }, ..schedule }
}

fn after(schedule: &Schedule, at: Timestamp) -> Option<Timestamp> {
    schedule.after(&schedule.times().expect("fire times"), at)
}

#[test]
fn a_period_counts_from_the_epoch_whenever_it_began() {
    for ((period, offset), at, next) in [
        ((60, 0), seconds(0), 60),
        ((60, 0), seconds(59), 60),
        ((60, 0), seconds(60), 120),
        ((60, 0), Timestamp::from_millis(60_999), 120),
        ((60, 15), seconds(0), 15),
        ((60, 15), seconds(15), 75),
        ((60, 75), seconds(20), 75),
    ] {
        assert_eq!(after(&every(period, offset), at), Some(seconds(next)), "{period}+{offset} after {at}");
    }
}

#[test]
fn a_range_counts_from_its_first_moment_and_not_its_last() {
    let ranged = every(10, 0).with_range(Some(seconds(100)), Some(seconds(120)));
    assert_eq!(after(&ranged, seconds(5)), Some(seconds(100)));
    assert_eq!(after(&ranged, seconds(100)), Some(seconds(110)));
    assert_eq!(after(&ranged, seconds(110)), None);
}

#[test]
fn what_was_missed_is_made_up_for_as_it_was_asked() {
    let all = |limit| CatchUp::All { limit };
    for (catch_up, first, now, at) in [
        (CatchUp::Skip, 600, 600, vec![600]),
        (CatchUp::Skip, 600, 660, vec![600]),
        (CatchUp::Skip, 600, 661, vec![]),
        (CatchUp::Skip, 600, 1230, vec![1200]),
        (CatchUp::One, 600, 4000, vec![3600]),
        (all(3), 600, 1300, vec![600, 1200]),
        (all(3), 600, 4000, vec![2400, 3000, 3600]),
        (all(3), 600, 600_000, vec![598_800, 599_400, 600_000]),
    ] {
        let schedule = every(600, 0).with_catch_up(catch_up);
        let times = schedule.times().expect("fire times");
        let found = fires(&schedule, &times, seconds(first), seconds(now));
        let at: Vec<_> = at.into_iter().map(seconds).collect();
        let latest = seconds(now / 600 * 600);
        let next = Some(seconds((now / 600 + 1) * 600));
        assert_eq!(found, Fires { at, latest, next }, "{catch_up:?} from {first} to {now}");
    }
}

#[test]
fn years_of_missed_seconds_cost_no_more_than_an_hour_of_them() {
    let schedule = every(1, 0).with_catch_up(CatchUp::All { limit: 2 });
    let now = 2_000_000_000;
    let found = fires(&schedule, &schedule.times().expect("fire times"), seconds(1), seconds(now));
    assert_eq!(found.at, [seconds(now - 1), seconds(now)]);
}

/// A stored schedule with this next fire time, and this one as the last that was handled.
fn stored(schedule: Schedule, next: Option<u64>, last: Option<u64>) -> Stored {
    let last = last.map(|at| Fire { at: seconds(at), outcome: FireOutcome::Missed });
    Stored { schedule, paused: false, next: next.map(seconds), since: None, last, open: Vec::new() }
}

#[test]
fn a_next_fire_time_is_never_later_than_the_rule_says() {
    let ranged = || every(60, 0).with_range(Some(seconds(1200)), Some(seconds(1800)));
    let year = 31_536_000;
    for (schedule, next, last, now, expected) in [
        (every(60, 0), Some(1020), None, 1000, Some(1020)),
        // The clock was a year ahead when it was put, or when it fired.
        (every(60, 0), Some(year + 1020), None, 1000, Some(1020)),
        (every(60, 0), Some(year + 1020), Some(year + 960), 1000, Some(1020)),
        // A fire time that has passed is handled.
        (every(60, 0), Some(960), None, 1000, Some(960)),
        // Another engine is slightly ahead, and has handled a fire time that is still to come here.
        (every(60, 0), Some(1080), Some(1020), 1015, Some(1080)),
        (every(5, 0), Some(1025), Some(1020), 1012, Some(1025)),
        (every(5, 0), Some(9025), Some(1020), 1012, Some(1025)),
        (ranged(), Some(1200), None, 1000, Some(1200)),
        (ranged(), Some(1740), None, 1000, Some(1200)),
        // The clock was before the range, and the range had ended.
        (ranged(), None, Some(1740), 1000, Some(1200)),
        (ranged(), None, Some(1740), 1500, Some(1560)),
        (ranged(), None, Some(1740), 1900, None),
        (ranged(), None, Some(1740), 1730, None),
    ] {
        let stored = stored(schedule, next, last);
        let times = stored.schedule.times().expect("fire times");
        assert_eq!(stored.next_at(&times, seconds(now)), expected.map(seconds), "{stored:?} at {now}");
    }
}

#[test]
fn mistakes_name_their_field() {
    let wrong = |schedule: Schedule| schedule.check().expect_err("it has a mistake").to_string();
    let half = When::Every { period: Duration::from_millis(1500), offset: Duration::ZERO };
    for (schedule, says) in [
        (every(0, 0), "invalid schedule `s`: `period`: 0ns is invalid; use whole seconds, at least one"),
        (Schedule { when: half, ..every(1, 0) }, "invalid schedule `s`: `period`: 1.5s is invalid"),
        (
            every(1, 0).with_catch_up(CatchUp::All { limit: 0 }),
            "invalid schedule `s`: `catch_up`: the limit is 0; use 1 to 1000",
        ),
        (every(1, 0).with_range(Some(seconds(2)), Some(seconds(2))), "invalid schedule `s`: `until`: "),
    ] {
        let said = wrong(schedule);
        assert!(said.starts_with(says), "{said}");
    }
}

#[test]
fn a_schedule_comes_as_data() {
    let text = r#"{"name":"s","workflow":"w","when":{"every":{"period_ms":60000}},"catch_up":{"all":{"limit":3}}}"#;
    let schedule: Schedule = serde_json::from_str(text).expect("a schedule");
    assert_eq!(schedule, every(60, 0).with_catch_up(CatchUp::All { limit: 3 }));
    let again: Schedule = serde_json::from_str(&serde_json::to_string(&schedule).expect("JSON")).expect("the same");
    assert_eq!(again, schedule);
}

#[cfg(feature = "schedules")]
mod cron {
    use proptest::prelude::*;

    use super::super::cron::CronTimes;
    use super::{Schedule, Timestamp, after, seconds};

    fn at(text: &str) -> Timestamp {
        let mut parts = text.split(['-', 'T', ':', 'Z']).map(|part| part.parse::<u64>().unwrap_or(0));
        let mut next = || parts.next().expect("year to minute");
        let (year, month, day, hour, minute) = (next(), next(), next(), next(), next());
        // Days are found by trying until the text is the expected one.
        let noon = |days: u64| seconds(86_400 * days + 3600 * hour + 60 * minute);
        let shown = format!("{year:04}-{month:02}-{day:02}");
        let days = (0..60_000).find(|days| noon(*days).to_string().starts_with(&shown));
        noon(days.expect("a day of this century"))
    }

    fn fires(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::cron("s", "w", expression, zone).expect("a schedule");
        let next = std::iter::successors(after(&schedule, at(from)), |fire| after(&schedule, *fire));
        next.take(count).map(|fire| fire.to_string().replace(":00.000Z", "Z")).collect()
    }

    #[test]
    fn an_expression_goes_by_the_clocks_of_its_zone() {
        for (expression, zone, from, expected) in [
            ("0 8 * * *", "UTC", "2026-01-31T08:00Z", ["2026-02-01T08:00Z", "2026-02-02T08:00Z"]),
            ("30 8 * * MON-FRI", "Europe/Berlin", "2026-06-05T12:00Z", ["2026-06-08T06:30Z", "2026-06-09T06:30Z"]),
            ("0 0 L * *", "Asia/Tokyo", "2028-02-01T00:00Z", ["2028-02-28T15:00Z", "2028-03-30T15:00Z"]),
            ("0 12 29 2 *", "UTC", "2026-01-01T00:00Z", ["2028-02-29T12:00Z", "2032-02-29T12:00Z"]),
            ("@monthly", "UTC", "2026-01-31T08:00Z", ["2026-02-01T00:00Z", "2026-03-01T00:00Z"]),
            ("0 30 8 * * *", "UTC", "2026-01-31T08:00Z", ["2026-01-31T08:30Z", "2026-02-01T08:30Z"]),
        ] {
            assert_eq!(fires(expression, zone, from, 2), expected, "{expression} in {zone}");
        }
    }

    #[test]
    fn a_time_that_does_not_come_fires_when_the_clocks_have_jumped_over_it() {
        // Berlin, 29 March 2026: 02:00 becomes 03:00, at 01:00 UTC.
        for (expression, expected) in [
            ("30 2 * * *", ["2026-03-28T01:30Z", "2026-03-29T01:00Z", "2026-03-30T00:30Z"]),
            ("*/15 2 29 3 *", ["2026-03-29T01:00Z", "2027-03-29T00:00Z", "2027-03-29T00:15Z"]),
            ("30 1,2,3 29 3 *", ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z"]),
            ("0 2,3 29 3 *", ["2026-03-29T01:00Z", "2027-03-29T00:00Z", "2027-03-29T01:00Z"]),
            ("0 1 * * *", ["2026-03-28T00:00Z", "2026-03-29T00:00Z", "2026-03-29T23:00Z"]),
        ] {
            assert_eq!(fires(expression, "Europe/Berlin", "2026-03-27T12:00Z", 3), expected, "{expression}");
        }
    }

    #[test]
    fn a_time_that_comes_twice_fires_the_first_time() {
        // Berlin, 25 October 2026: 03:00 becomes 02:00, at 01:00 UTC.
        for (expression, expected) in [
            ("30 2 * * *", ["2026-10-25T00:30Z", "2026-10-26T01:30Z", "2026-10-27T01:30Z"]),
            ("0,30 2 * * *", ["2026-10-25T00:00Z", "2026-10-25T00:30Z", "2026-10-26T01:00Z"]),
            ("0 2,3 * * *", ["2026-10-25T00:00Z", "2026-10-25T02:00Z", "2026-10-26T01:00Z"]),
        ] {
            assert_eq!(fires(expression, "Europe/Berlin", "2026-10-24T12:00Z", 3), expected, "{expression}");
        }
    }

    #[test]
    fn what_runs_every_hour_goes_by_the_hours_that_pass() {
        let spring = ["2026-03-29T00:30Z", "2026-03-29T01:00Z", "2026-03-29T01:30Z", "2026-03-29T02:00Z"];
        assert_eq!(fires("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:00Z", 4), spring);
        let autumn = ["2026-10-25T00:20Z", "2026-10-25T01:20Z", "2026-10-25T02:20Z", "2026-10-25T03:20Z"];
        assert_eq!(fires("20 * * * *", "Europe/Berlin", "2026-10-25T00:00Z", 4), autumn);
        // Lord Howe puts its clocks back by half an hour.
        let half = ["2026-04-04T14:45Z", "2026-04-04T15:15Z", "2026-04-04T15:45Z"];
        assert_eq!(fires("15,45 * * * *", "Australia/Lord_Howe", "2026-04-04T14:15Z", 3), half);
        // A day that a zone skipped: Apia had no 30 December 2011.
        assert_eq!(fires("0 9 30 12 *", "Pacific/Apia", "2011-12-01T00:00Z", 1), ["2011-12-30T10:00Z"]);
    }

    #[test]
    fn mistakes_name_the_field() {
        for (expression, zone, says) in [
            ("60 8 * * *", "UTC", "minute: `60` is invalid; use 0 to 59"),
            ("0 24 * * *", "UTC", "hour: `24` is invalid; use 0 to 23"),
            ("0 8 32 * *", "UTC", "day of month: `32` is invalid; use 1 to 31"),
            ("0 8 * MOO *", "UTC", "month: `MOO` is invalid; use 1 to 12"),
            ("0 8 * * 8", "UTC", "day of week: `8` is invalid; use 0 to 7"),
            ("61 0 8 * * *", "UTC", "second: `61` is invalid; use 0 to 59"),
            ("0 8 * *", "UTC", "`expression`: `0 8 * *` has 4 fields; use 5 or 6"),
            ("0 0 8 * * * 2027", "UTC", "has 7 fields; use 5 or 6"),
            ("", "UTC", "has 0 fields"),
            ("@sometimes", "UTC", "has 1 fields"),
            ("0 8 * * *", "Europe/Nowhere", "`zone`: `Europe/Nowhere` is not a known time zone"),
            (&"1,".repeat(300), "UTC", "`expression`: it has 600 bytes"),
        ] {
            let error = Schedule::cron("s", "w", expression, zone).expect_err("it has a mistake").to_string();
            assert!(error.starts_with("invalid schedule `s`: ") && error.contains(says), "{expression}: {error}");
        }
    }

    #[test]
    fn a_day_that_never_comes_is_told_and_not_searched_for_ever() {
        for expression in ["0 0 30 2 *", "* * 31 4 *", "* * * 31 6 *"] {
            let schedule = Schedule::cron("s", "w", expression, "America/New_York").expect("it is well written");
            assert_eq!(after(&schedule, at("2026-01-01T00:00Z")), None, "{expression}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(400))]

        #[test]
        fn no_text_panics(expression in "[-0-9*/,LW#?+A-Z@ ]{0,24}", zone in "[A-Za-z/_]{0,12}") {
            if let Ok(times) = CronTimes::new(&expression, "Europe/Berlin") {
                let first = times.after(at("2026-03-28T12:00Z"));
                prop_assert!(first.is_none_or(|first| first > at("2026-03-28T12:00Z")));
            }
            drop(CronTimes::new("0 8 * * *", &zone));
        }

        #[test]
        fn fire_times_only_go_forward(
            minute in 0..60_u32, hours in prop::sample::select(vec!["*", "0-23", "2", "1,2", "*/2", "0", "3"]),
            start in 1_774_000_000..1_793_000_000_u64, zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca", "UTC"]),
        ) {
            let times = CronTimes::new(&format!("{minute} {hours} * * *"), zone).expect("a cron expression");
            let first = times.after(seconds(start)).expect("it fires for ever");
            prop_assert!(first > seconds(start));
            // Between two fire times, the search returns the same result.
            let end = first.as_millis() / 1000;
            for middle in [start + 1, start.midpoint(end), end - 1] {
                if (start..end).contains(&middle) {
                    prop_assert_eq!(times.after(seconds(middle)), Some(first));
                }
            }
        }
    }
}
