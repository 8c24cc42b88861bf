//! A measured figure with its reference and its target.

use std::fmt;
use std::time::Duration;

/// The target of a figure.
pub(crate) enum Target {
    /// At most this many times its reference.
    Most(f64, &'static str),
    /// At least this many times its reference.
    Least(f64, &'static str),
    /// No target: the figure only describes the machine.
    None(&'static str),
    /// At most this many seconds, whatever the reference.
    Seconds(f64),
}

/// Measurements of one thing, each with the reference that was measured at the same time.
pub(crate) struct Figure {
    what: String,
    target: Target,
    rounds: Vec<(f64, f64)>,
}

impl Figure {
    pub(crate) fn new(what: &str, target: Target) -> Self {
        Self { what: what.into(), target, rounds: Vec::new() }
    }

    pub(crate) fn add(&mut self, value: f64, reference: f64) {
        self.rounds.push((value, reference));
    }

    pub(crate) fn add_time(&mut self, took: Duration, reference: Duration) {
        self.add(took.as_secs_f64(), reference.as_secs_f64());
    }

    /// The median reference, shown as a time.
    pub(crate) fn reference_time(&self) -> String {
        show(Duration::from_secs_f64(self.reference()))
    }

    /// The median reference.
    pub(crate) fn reference(&self) -> f64 {
        self.median(|(_, reference)| *reference)
    }

    fn median(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let mut values: Vec<_> = self.rounds.iter().map(of).collect();
        values.sort_unstable_by(f64::total_cmp);
        values[values.len() / 2]
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.median(|(value, _)| *value);
        let ratios = |(value, reference): &(f64, f64)| value / reference;
        let ratio = self.median(ratios);
        let all = self.rounds.iter().map(ratios);
        let (least, most) = (all.clone().fold(f64::MAX, f64::min), all.fold(f64::MIN, f64::max));
        let (shown, target, meets) = match self.target {
            Target::None(unit) => {
                let shown = show(Duration::from_secs_f64(value));
                return write!(f, "{}: {shown}, ratio {ratio:.2} {unit} ({least:.2} to {most:.2})", self.what);
            }
            Target::Most(limit, unit) => {
                (show(Duration::from_secs_f64(value)), format!("at most {limit} {unit}"), ratio <= limit)
            }
            Target::Least(limit, unit) => {
                (format!("{value:.0}/s"), format!("at least {limit:.3} {unit}"), ratio >= limit)
            }
            Target::Seconds(limit) => {
                (show(Duration::from_secs_f64(value)), format!("at most {limit} s"), value <= limit)
            }
        };
        let verdict = if meets { "meets" } else { "MISSES" };
        write!(f, "{}: {shown}, ratio {ratio:.2} ({least:.2} to {most:.2}): {verdict} {target}", self.what)
    }
}

pub(crate) fn show(duration: Duration) -> String {
    format!("{:.3} ms", duration.as_secs_f64() * 1000.0)
}
