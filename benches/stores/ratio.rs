//! A figure, measured often, each time beside its reference.

use std::fmt;

/// Measurements of one thing.
pub(crate) struct Figure {
    what: String,
    /// What a value is, and how often it is what the reference is.
    units: (&'static str, &'static str),
    rounds: Vec<(f64, f64)>,
    note: String,
}

impl Figure {
    pub(crate) fn new(what: &str, units: (&'static str, &'static str)) -> Self {
        Self { what: what.into(), units, rounds: Vec::new(), note: String::new() }
    }

    pub(crate) fn add(&mut self, value: f64, reference: f64) {
        self.rounds.push((value, reference));
    }

    /// Says something about the last round.
    pub(crate) fn note(&mut self, note: String) {
        self.note = note;
    }
}

/// The middle one of `values`.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratios = || self.rounds.iter().map(|(value, reference)| value / reference);
        let (value, reference) =
            (median(self.rounds.iter().map(|(value, _)| *value)), median(self.rounds.iter().map(|(_, other)| *other)));
        let (least, most) = (ratios().fold(f64::MAX, f64::min), ratios().fold(f64::MIN, f64::max));
        let (what, (unit, of), note) = (&self.what, self.units, &self.note);
        let ratio = median(ratios());
        write!(f, "{what}: {value:.2} {unit} beside {reference:.2}, {ratio:.2} {of} ({least:.2} to {most:.2}){note}")
    }
}
