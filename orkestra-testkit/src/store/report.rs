//! The report of a suite.

use std::fmt;

use orkestra_core::store::{AppendError, Refusal, StoreError};

/// How a store breaks its contract.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach(pub(super) String);

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<StoreError> for Breach {
    fn from(error: StoreError) -> Self {
        Self(format!("the store failed ({:?}): {error}", error.kind()))
    }
}

impl From<AppendError> for Breach {
    fn from(error: AppendError) -> Self {
        Self(format!("a commit was refused: {error} ({error:?})"))
    }
}

/// Compares what was seen with what was expected.
pub(super) fn same<T: fmt::Debug + PartialEq>(what: &str, seen: &T, wanted: &T) -> Result<(), Breach> {
    if seen == wanted { Ok(()) } else { Err(Breach(format!("{what}: {seen:?} instead of {wanted:?}"))) }
}

/// A breach unless the store refused the call with the error that all stores give.
pub(super) fn refused<T>(what: &str, seen: Result<T, StoreError>, wanted: Refusal) -> Result<(), Breach> {
    same(what, &seen.map(drop), &Err(wanted.into()))
}

/// A breach with the text of `what`, unless `holds`.
pub(super) fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), Breach> {
    if holds { Ok(()) } else { Err(Breach(what())) }
}

/// The results of the tests of a suite, in order.
#[derive(Clone, Debug, Default)]
pub struct SuiteReport {
    outcomes: Vec<(&'static str, Result<(), Breach>)>,
}

impl SuiteReport {
    pub(super) fn add(&mut self, name: &'static str, outcome: Result<(), Breach>) {
        self.outcomes.push((name, outcome));
    }

    /// How many tests were run.
    #[must_use]
    pub fn tests(&self) -> usize {
        self.outcomes.len()
    }

    /// The tests that failed, and why.
    pub fn breaches(&self) -> impl Iterator<Item = (&'static str, &Breach)> {
        self.outcomes.iter().filter_map(|(name, outcome)| Some((*name, outcome.as_ref().err()?)))
    }

    /// Asserts that all tests passed.
    ///
    /// # Panics
    /// With the whole report, when a test failed.
    pub fn assert_passed(&self) {
        assert!(self.breaches().next().is_none(), "the store breaks its contract:\n{self}");
    }
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, outcome) in &self.outcomes {
            match outcome {
                Ok(()) => writeln!(f, "  ok      {name}")?,
                Err(breach) => writeln!(f, "  BROKEN  {name}: {breach}")?,
            }
        }
        write!(f, "{} of {} tests failed", self.breaches().count(), self.tests())
    }
}
