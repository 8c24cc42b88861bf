//! Detects an agent that repeats itself. Pure: it sees each call with its result and says what to do.
//!
//! A circle is the same call with the same result four times, the same error three times, two calls that alternate six
//! times, or twelve calls of which at most four differ. The first circle nudges the model, the second fails the attempt.

use std::{
    collections::{HashSet, VecDeque},
    hash::{DefaultHasher, Hash, Hasher},
};

const SAME_CALL_MAX: usize = 4;
const SAME_ERROR_MAX: usize = 3;
const ALTERNATIONS_MAX: usize = 6;
/// Different calls in a longer circle: weak models look at everything, and then at everything again.
const DIFFERENT_MAX: usize = 4;
/// Remembered calls: twelve show six alternations.
const REMEMBERED: usize = 2 * ALTERNATIONS_MAX;

/// One call as the detector sees it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) tool: &'a str,
    pub(super) arguments: &'a str,
    pub(super) result: &'a str,
    pub(super) is_error: bool,
}

/// What a call achieved, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Observation {
    /// Whether the call differs from all remembered calls, in the call itself or in its result.
    pub(super) is_new: bool,
    pub(super) advice: Advice,
}

/// What to do about a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Advice {
    /// Nothing.
    GoOn,
    /// Tell the model this; at most once per attempt.
    Nudge(String),
    /// End the attempt, for this reason.
    Stop(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Mark {
    call: u64,
    result: u64,
    is_error: bool,
}

/// Remembers the last calls of one attempt.
#[derive(Debug, Default)]
pub(super) struct Detector {
    marks: VecDeque<Mark>,
    is_nudged: bool,
}

impl Detector {
    /// Observes one call. The same calls give the same advice after a crash.
    pub(super) fn observe(&mut self, seen: &Seen<'_>) -> Observation {
        let mark = Mark {
            call: hashed((seen.tool, seen.arguments)),
            result: hashed(without_times(seen.result)),
            is_error: seen.is_error,
        };
        let is_new = !self.marks.contains(&mark);
        Observation { is_new, advice: self.advise(mark, seen.tool) }
    }

    fn advise(&mut self, mark: Mark, tool: &str) -> Advice {
        if self.marks.len() == REMEMBERED {
            self.marks.pop_front();
        }
        self.marks.push_back(mark);
        let Some(circle) = self.circle(tool) else { return Advice::GoOn };
        self.marks.clear();
        if self.is_nudged {
            return Advice::Stop(format!("the agent goes round in circles: {circle}, again after a nudge"));
        }
        self.is_nudged = true;
        Advice::Nudge(format!("You go round in circles: {circle}."))
    }

    fn circle(&self, tool: &str) -> Option<String> {
        let last = *self.marks.back()?;
        let newest = self.marks.iter().rev();
        let same_call = newest.clone().take_while(|mark| **mark == last).count();
        if same_call >= SAME_CALL_MAX {
            return Some(format!("the same call of {tool} gave the same result {same_call} times"));
        }
        let same_error = newest.clone().take_while(|mark| mark.is_error && mark.result == last.result).count();
        if same_error >= SAME_ERROR_MAX {
            return Some(format!("{tool} answered the same error {same_error} times"));
        }
        let different: HashSet<Mark> = self.marks.iter().copied().collect();
        let goes_nowhere = self.marks.len() == REMEMBERED && different.len() <= DIFFERENT_MAX;
        goes_nowhere.then(|| format!("the last {REMEMBERED} calls repeat the same {} calls", different.len()))
    }
}

/// A result without decimal numbers: a command that takes 0.12 s and then 0.13 s has no news.
fn without_times(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    for word in text.split_inclusive(|one: char| !(one.is_ascii_digit() || one == '.')) {
        let number = word.trim_end_matches(|one: char| !one.is_ascii_digit());
        let is_decimal = number.contains('.') && number.chars().all(|one| one.is_ascii_digit() || one == '.');
        kept.push_str(if is_decimal { &word[number.len()..] } else { word });
    }
    kept
}

// NOTE: the standard hasher with fixed keys suffices: marks are never stored or compared across processes.
fn hashed(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes calls `(arguments, result)`; a result that begins with `!` is an error. Returns the numbers of the first call
    /// that was nudged and of the first one that was stopped.
    fn check(calls: &[(&str, &str)]) -> (Option<usize>, Option<usize>) {
        let mut detector = Detector::default();
        let (mut nudged, mut stopped) = (None, None);
        for (number, (arguments, result)) in calls.iter().enumerate() {
            let seen = Seen { tool: "read_file", arguments, result, is_error: result.starts_with('!') };
            match detector.observe(&seen).advice {
                Advice::GoOn => {}
                Advice::Nudge(_) => nudged = nudged.or(Some(number + 1)),
                Advice::Stop(_) => stopped = stopped.or(Some(number + 1)),
            }
        }
        (nudged, stopped)
    }

    #[test]
    fn the_same_call_with_the_same_result_four_times_is_a_circle() {
        assert_eq!(check(&[("a", "1"); 3]), (None, None));
        assert_eq!(check(&[("a", "1"); 7]), (Some(4), None));
        assert_eq!(check(&[("a", "1"); 8]), (Some(4), Some(8)));
        assert_eq!(check(&[("a", "1"), ("a", "2"), ("a", "1"), ("a", "2"), ("a", "3")]), (None, None));
    }

    #[test]
    fn durations_are_ignored_and_exit_codes_are_not() {
        let (first, second) =
            ("exit code 1 after 0.1 s\n1 failed in 0.02s", "exit code 1 after 12.3 s\n1 failed in 1.20s");
        assert_eq!(check(&[("a", first), ("a", second), ("a", first), ("a", second)]), (Some(4), None));
        let changed = "exit code 0 after 0.1 s\n1 failed in 0.02s";
        assert_eq!(check(&[("a", first), ("a", changed), ("a", first), ("a", changed)]), (None, None));
    }

    #[test]
    fn the_same_error_three_times_is_a_circle_with_any_arguments() {
        assert_eq!(check(&[("a", "!no"), ("b", "!no"), ("c", "!no")]), (Some(3), None));
        assert_eq!(check(&[("a", "!no"), ("b", "fine"), ("c", "!no"), ("d", "!no")]), (None, None));
    }

    #[test]
    fn two_calls_that_alternate_six_times_are_a_circle() {
        let mut calls = [("a", "1"), ("b", "2")].repeat(6);
        assert_eq!(check(&calls), (Some(12), None));
        calls.pop();
        assert_eq!(check(&calls), (None, None));
    }

    #[test]
    fn longer_circles_are_found_and_progress_is_not_a_circle() {
        assert_eq!(check(&[("a", "1"), ("b", "2"), ("c", "3"), ("d", "4")].repeat(6)), (Some(12), Some(24)));
        let work = [("test", "1"), ("edit", "2"), ("test", "3"), ("edit", "4"), ("test", "5"), ("edit", "6")];
        assert_eq!(check(&work.repeat(2)), (None, None));
    }
}
