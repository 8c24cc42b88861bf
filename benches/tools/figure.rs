//! A measured figure, in each round beside its reference, with its target.

use std::fmt;
use std::time::Duration;

/// Times of one thing.
pub(crate) struct Figure {
    what: String,
    /// What the reference is.
    beside: &'static str,
    /// The largest ratio that is good enough, if there is one.
    most: Option<f64>,
    rounds: Vec<(f64, f64)>,
}

impl Figure {
    pub(crate) fn new(what: impl Into<String>, beside: &'static str, most: Option<f64>) -> Self {
        Self { what: what.into(), beside, most, rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, took: Duration, reference: Duration) {
        self.rounds.push((took.as_secs_f64(), reference.as_secs_f64()));
    }

    fn median(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut values: Vec<_> = self.rounds.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, beside, most, .. } = self;
        let ratio = |(took, reference): &(f64, f64)| took / reference;
        let (took, reference) =
            (self.median(|(took, _)| *took) * 1000.0, self.median(|(_, reference)| *reference) * 1000.0);
        let all = || self.rounds.iter().map(ratio);
        let (least, greatest) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
        let median = self.median(ratio);
        write!(
            f,
            "{what}: {took:.1} ms beside {reference:.1} ms of {beside}, ratio {median:.2} ({least:.2} to {greatest:.2})"
        )?;
        match most {
            Some(most) => write!(f, ": {} at most {most}", if median <= *most { "meets" } else { "MISSES" }),
            None => Ok(()),
        }
    }
}
