//! The scores of a benchmark: documented scores, strict scores, and what the trials used. Pure.

use serde::Serialize;

use super::grade::{Grade, Interval};
use super::{BenchmarkResult, Ending, TaskResult, TrialResult};

/// What trials used, in sum. A sum of which one part is unknown is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Usage {
    /// How often agents attempted their part.
    pub attempts: Option<u64>,
    /// Tokens of the model's input.
    pub input_tokens: Option<u64>,
    /// Tokens of the model's output.
    pub output_tokens: Option<u64>,
    /// Calls of the model.
    pub model_calls: Option<u64>,
    /// Dollars.
    pub cost_usd: Option<f64>,
    /// The median of the seconds that agents worked; `None` without trials.
    pub median_seconds: Option<f64>,
    /// How often a trial was begun anew.
    pub restarts: u64,
}

/// The scores of some trials: those of a task, or all of them.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// The trials that were graded.
    pub trials: usize,
    /// Those of them that every hidden test passed.
    pub solved: usize,
    /// The hidden tests that passed, in all trials.
    pub tests_passed: usize,
    /// The hidden tests that were reported, in all trials.
    pub tests: usize,
    /// What the trials used.
    pub usage: Usage,
}

/// The scores of a whole benchmark, or of what was graded so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// All trials together.
    pub tally: Tally,
    /// How many trials the benchmark has when it is complete.
    pub planned: usize,
    /// How many of them are still missing.
    pub missing: usize,
    /// How many tasks have a graded trial.
    pub graded_tasks: usize,
    /// The documented percentage of the tasks that have a graded trial; `None` when no task has one.
    pub percentage: Option<f64>,
}

/// How many trials ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Endings {
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) out_of_time: u64,
    pub(super) out_of_tokens: u64,
}

impl Usage {
    fn of(trials: &[&TrialResult]) -> Self {
        let mut seconds: Vec<f64> = trials.iter().map(|trial| trial.seconds).collect();
        Self {
            attempts: sum(trials, |trial| trial.attempts.map(u64::from)),
            input_tokens: sum(trials, |trial| trial.input_tokens),
            output_tokens: sum(trials, |trial| trial.output_tokens),
            model_calls: sum(trials, |trial| trial.model_calls),
            cost_usd: trials
                .iter()
                .try_fold(0.0, |sum, trial| Some(sum + trial.cost_usd.filter(|cost| cost.is_finite())?)),
            median_seconds: median(&mut seconds),
            restarts: trials.iter().map(|trial| u64::from(trial.restarts)).sum(),
        }
    }

    /// Tokens of input and output; `None` when one of them is unknown.
    #[must_use]
    pub fn tokens(&self) -> Option<u64> {
        Some(self.input_tokens?.saturating_add(self.output_tokens?))
    }
}

impl Tally {
    fn of(trials: &[&TrialResult]) -> Self {
        let tests = || trials.iter().flat_map(|trial| &trial.strict.tests);
        Self {
            trials: trials.len(),
            solved: trials.iter().filter(|trial| trial.strict.is_solved()).count(),
            tests_passed: tests().filter(|test| test.passed).count(),
            tests: tests().count(),
            usage: Usage::of(trials),
        }
    }

    /// The interval of the rate of solved trials; `None` without trials.
    ///
    /// It treats the trials as alike, so it is meant for the trials of one task.
    #[must_use]
    pub fn interval(&self) -> Option<Interval> {
        Interval::wilson(self.solved, self.trials)
    }
}

impl Summary {
    /// The grade of the percentage; `None` when nothing was graded yet.
    #[must_use]
    pub fn grade(&self) -> Option<Grade> {
        self.percentage.map(Grade::of)
    }

    /// Whether every trial of every task was graded.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.missing == 0
    }
}

impl TaskResult {
    /// The documented score of the task, 0 to 10: the mean over its trials; `None` without trials.
    #[must_use]
    pub fn documented(&self) -> Option<f64> {
        let sum: f64 = self.trials.iter().map(|trial| trial.documented.score()).sum();
        (!self.trials.is_empty()).then(|| sum / self.trials.len() as f64)
    }

    /// The strict score and the sums of the task's trials.
    #[must_use]
    pub fn tally(&self) -> Tally {
        Tally::of(&self.trials.iter().collect::<Vec<_>>())
    }
}

impl BenchmarkResult {
    /// The scores of the benchmark. While it is incomplete they cover the graded trials only.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let scores: Vec<f64> = self.tasks.iter().filter_map(TaskResult::documented).collect();
        let sum: f64 = scores.iter().sum();
        let per_task = usize::try_from(self.trials).unwrap_or(usize::MAX);
        Summary {
            tally: Tally::of(&self.all_trials().collect::<Vec<_>>()),
            planned: self.tasks.len().saturating_mul(per_task),
            missing: self.tasks.iter().map(|task| per_task.saturating_sub(task.trials.len())).sum(),
            graded_tasks: scores.len(),
            percentage: (!scores.is_empty()).then(|| sum / (10.0 * scores.len() as f64) * 100.0),
        }
    }

    pub(super) fn all_trials(&self) -> impl Iterator<Item = &TrialResult> {
        self.tasks.iter().flat_map(|task| &task.trials)
    }

    pub(super) fn endings(&self) -> Endings {
        let mut endings = Endings::default();
        for trial in self.all_trials() {
            match trial.ending {
                Ending::Finished => endings.finished += 1,
                Ending::Failed { .. } => endings.failed += 1,
                Ending::OutOfTime => endings.out_of_time += 1,
                Ending::OutOfTokens => endings.out_of_tokens += 1,
            }
        }
        endings
    }
}

/// `None` as soon as one part is.
fn sum(trials: &[&TrialResult], part: impl Fn(&TrialResult) -> Option<u64>) -> Option<u64> {
    trials.iter().try_fold(0_u64, |sum, trial| Some(sum.saturating_add(part(trial)?)))
}

fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    if values.len() % 2 == 1 { Some(upper) } else { Some(f64::midpoint(values[middle - 1], upper)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample::{benchmark, task, trial};

    #[test]
    fn the_percentage_is_the_mean_of_the_tasks() {
        // Task one: 10 and 5 of 10. Task two: 10. Task three has not been graded.
        let tasks = vec![
            task("one", vec![trial(1, [4, 4], [2, 2]), trial(2, [2, 4], [1, 2])]),
            task("two", vec![trial(1, [3, 3], [0, 2])]),
            task("three", Vec::new()),
        ];
        let result = benchmark(2, tasks);
        let summary = result.summary();
        assert_eq!(result.tasks[0].documented(), Some(7.5));
        assert_eq!(result.tasks[2].documented(), None);
        assert_eq!(summary.percentage, Some(87.5));
        assert_eq!(summary.grade(), Some(Grade::A));
        assert_eq!((summary.tally.solved, summary.tally.trials, summary.planned, summary.missing), (1, 3, 6, 3));
        assert_eq!((summary.tally.tests_passed, summary.tally.tests), (3, 6));
        assert!(!summary.is_complete());
        assert_eq!(benchmark(1, Vec::new()).summary().percentage, None);
    }

    #[test]
    fn a_sum_with_an_unknown_part_is_unknown() {
        let mut trials = vec![trial(1, [1, 1], [1, 1]), trial(2, [1, 1], [1, 1]), trial(3, [1, 1], [1, 1])];
        for (trial, seconds) in trials.iter_mut().zip([9.0, 1.0, 4.0]) {
            trial.seconds = seconds;
        }
        let usage = task("one", trials.clone()).tally().usage;
        assert_eq!((usage.cost_usd, usage.tokens(), usage.attempts), (Some(0.75), Some(3300), Some(6)));
        assert_eq!(usage.median_seconds, Some(4.0));
        trials[1].cost_usd = None;
        trials[0].attempts = None;
        trials[2].input_tokens = None;
        let usage = task("one", trials).tally().usage;
        assert_eq!(
            (usage.cost_usd, usage.tokens(), usage.attempts, usage.output_tokens),
            (None, None, None, Some(300))
        );
    }
}
