//! A figure, measured many times, each time with its reference.

use std::fmt;

/// Measurements of one thing.
pub(crate) struct Figure {
    what: String,
    /// Whether smaller is better.
    is_time: bool,
    /// What the ratio refers to.
    of: &'static str,
    rounds: Vec<(f64, f64)>,
    note: String,
}

impl Figure {
    /// Times, in milliseconds.
    pub(crate) fn times(what: &str, of: &'static str) -> Self {
        Self { what: what.into(), is_time: true, of, rounds: Vec::new(), note: String::new() }
    }

    /// Rates per second.
    pub(crate) fn rates(what: &str, of: &'static str) -> Self {
        Self { is_time: false, ..Self::times(what, of) }
    }

    pub(crate) fn add(&mut self, value: f64, reference: f64) {
        self.rounds.push((value, reference));
    }

    /// Sets a note about the last round.
    pub(crate) fn note(&mut self, note: String) {
        self.note = note;
    }

    fn best(&self, of: impl Fn(&(f64, f64)) -> f64) -> f64 {
        let values = self.rounds.iter().map(of);
        if self.is_time { values.fold(f64::MAX, f64::min) } else { values.fold(0.0, f64::max) }
    }

    fn show(&self, value: f64) -> String {
        if self.is_time { format!("{value:.3} ms") } else { format!("{value:.0}/s") }
    }
}

/// The median of `values`.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, of, note, .. } = self;
        let ratios = || self.rounds.iter().map(|(value, reference)| value / reference);
        let (best, reference) = (self.best(|(value, _)| *value), self.best(|(_, reference)| *reference));
        let (least, most) = (ratios().fold(f64::MAX, f64::min), ratios().fold(f64::MIN, f64::max));
        // Other load slows both down from time to time; the best values are those without it.
        write!(f, "{what}: at best {} beside {}, {:.2} {of}", self.show(best), self.show(reference), best / reference)?;
        write!(
            f,
            "; in the median {}, {:.2}",
            self.show(median(self.rounds.iter().map(|(value, _)| *value))),
            median(ratios())
        )?;
        write!(f, " ({least:.2} to {most:.2}){note}")
    }
}
