//! Counts the verdicts on all states, and keeps a line about each state that failed.

use std::collections::BTreeMap;
use std::fmt;

use super::judge::{VERDICTS, Verdict};
use super::model::{MODELS, Model};
use super::recording::Scenario;

/// How many states of one model had each verdict.
#[derive(Default)]
pub(super) struct Counts(BTreeMap<Verdict, usize>);

/// The verdicts on all states.
#[derive(Default)]
pub(super) struct Outcome {
    /// In the order of `MODELS`.
    counts: [Counts; MODELS.len()],
    /// A line for each state whose verdict breaks a promise.
    pub(super) failures: Vec<String>,
}

impl Counts {
    pub(super) fn of(&self, verdict: Verdict) -> usize {
        self.0.get(&verdict).copied().unwrap_or(0)
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opened = self.of(Verdict::Whole) + self.of(Verdict::Older);
        write!(f, "{} states, opened {opened}", self.0.values().sum::<usize>())?;
        VERDICTS[1..].iter().try_for_each(|verdict| write!(f, ", {verdict} {}", self.of(*verdict)))
    }
}

impl Outcome {
    /// Adds one verdict. `model` is an index into `MODELS`, `state` describes the state, `why` the verdict.
    pub(super) fn note(&mut self, scenario: &Scenario, model: usize, state: &str, (verdict, why): (Verdict, &str)) {
        *self.counts[model].0.entry(verdict).or_default() += 1;
        if !verdict.is_right(scenario, MODELS[model]) {
            self.failures.push(format!("{verdict}: {scenario}, {state}: {why}"));
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        for (counts, more) in self.counts.iter_mut().zip(other.counts) {
            more.0.into_iter().for_each(|(verdict, count)| *counts.0.entry(verdict).or_default() += count);
        }
        self.failures.extend(other.failures);
    }

    pub(super) fn by_model(&self) -> impl Iterator<Item = (Model, &Counts)> {
        MODELS.into_iter().zip(&self.counts)
    }
}
