//! The grade of a documented percentage, and the interval of a strict pass rate. Pure.

use std::fmt;

use serde::Serialize;

/// What a percentage may be short of a limit because floating point numbers are rounded.
pub(super) const ROUNDING: f64 = 1e-9;

/// The 97.5 % quantile of the normal distribution, for intervals of 95 %.
const Z_95: f64 = 1.959_963_984_540_054;

/// The grade of a documented percentage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Grade {
    /// 90 % and more.
    S,
    /// 80 % and more.
    A,
    /// 70 % and more.
    B,
    /// 60 % and more.
    C,
    /// 50 % and more.
    D,
    /// Below 50 %.
    F,
}

/// Where a rate lies with a confidence of 95 %, 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Interval {
    /// Its lower end.
    pub low: f64,
    /// Its upper end.
    pub high: f64,
}

impl Grade {
    /// The grade of a percentage, 0 to 100.
    #[must_use]
    pub fn of(percentage: f64) -> Self {
        let limits = [(90.0, Self::S), (80.0, Self::A), (70.0, Self::B), (60.0, Self::C), (50.0, Self::D)];
        limits.into_iter().find(|(limit, _)| percentage + ROUNDING >= *limit).map_or(Self::F, |(_, grade)| grade)
    }
}

impl fmt::Display for Grade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Interval {
    /// The Wilson score interval of `successes` out of `trials`; `None` without trials.
    ///
    /// It is the set of rates that a test against the normal distribution does not reject at 5 %. Other than the textbook interval
    /// it stays within 0 and 1, and is of use for few trials and for rates of 0 and 1.
    #[must_use]
    pub fn wilson(successes: usize, trials: usize) -> Option<Self> {
        if trials == 0 {
            return None;
        }
        let count = trials as f64;
        let rate = successes as f64 / count;
        let square = Z_95 * Z_95;
        let centre = rate + square / (2.0 * count);
        let spread = Z_95 * (rate * (1.0 - rate) / count + square / (4.0 * count * count)).sqrt();
        let scale = 1.0 + square / count;
        Some(Self { low: ((centre - spread) / scale).max(0.0), high: ((centre + spread) / scale).min(1.0) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grades_have_exact_limits() {
        let grades = [
            (100.0, Grade::S),
            (90.0, Grade::S),
            (89.99, Grade::A),
            (80.0, Grade::A),
            (79.99, Grade::B),
            (70.0, Grade::B),
            (60.0, Grade::C),
            (59.99, Grade::D),
            (50.0, Grade::D),
            (49.99, Grade::F),
            (0.0, Grade::F),
        ];
        for (percentage, grade) in grades {
            assert_eq!(Grade::of(percentage), grade, "{percentage}");
        }
    }

    /// `scipy.stats.binomtest(k, n).proportion_ci(method="wilson")` of scipy 1.17.1.
    #[test]
    fn intervals_are_those_of_scipy() {
        let intervals = [
            (0, 1, 0.0, 0.7934506856227626),
            (1, 1, 0.20654931437723745, 1.0),
            (0, 10, 0.0, 0.27753279986288926),
            (7, 10, 0.39677814746114526, 0.892208732593699),
            (10, 10, 0.7224672001371109, 1.0),
            (12, 20, 0.38658150076225317, 0.7811934676271829),
            (1, 100, 0.001767432064140647, 0.054486196178705315),
            (500, 1000, 0.4690696003681042, 0.5309303996318958),
        ];
        for (solved, trials, low, high) in intervals {
            let found = Interval::wilson(solved, trials).expect("there are trials");
            assert!(
                (found.low - low).abs() < 1e-12 && (found.high - high).abs() < 1e-12,
                "{solved}/{trials}: {found:?}"
            );
        }
        assert_eq!(Interval::wilson(0, 0), None);
    }
}
