//! Exact tests of whether two contestants solve different shares of the trials. Pure.
//!
//! Given how many trials of a task were solved by both together, chance alone would share them out by a hypergeometric
//! distribution. Fisher's test asks how unlikely the observed share is; over several tasks, the distributions are convolved, which
//! is the exact conditional form of the Cochran-Mantel-Haenszel test. Easy and hard tasks are thus never mixed.
//!
//! The distribution follows from the ratios of neighbours alone, so no special functions are needed.

/// The solved trials of a task, of so many trials of each contestant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counts {
    /// Solved by the first.
    pub(super) first: usize,
    /// The trials of the first.
    pub(super) first_trials: usize,
    /// Solved by the second.
    pub(super) second: usize,
    /// The trials of the second.
    pub(super) second_trials: usize,
}

/// By how much, relatively, a probability may exceed that of the observed table and still count as equal: sums of floating point
/// numbers differ in their last digits only.
const TOLERANCE: f64 = 1e-7;

/// What chance would do: the probabilities of `start`, `start + 1`, … trials solved by the second contestant.
struct Chance {
    start: usize,
    probabilities: Vec<f64>,
}

/// The two-sided p-value of Fisher's exact test: the probability of all tables that are not more likely than this one.
pub(super) fn fisher(counts: Counts) -> f64 {
    stratified(&[counts])
}

/// The two-sided p-value of the exact conditional Cochran-Mantel-Haenszel test over these tasks; 1 without tasks.
///
/// Probabilities below the range of `f64` count as 0.
pub(super) fn stratified(tasks: &[Counts]) -> f64 {
    let mut chance = Chance { start: 0, probabilities: vec![1.0] };
    for task in tasks {
        chance = chance.and(&Chance::of(*task));
    }
    let observed: usize = tasks.iter().map(|task| task.second).sum();
    let limit = chance.probabilities[observed - chance.start] * (1.0 + TOLERANCE);
    let sum: f64 = chance.probabilities.iter().filter(|probability| **probability <= limit).sum();
    sum.min(1.0)
}

/// How many trials more than by chance the second contestant solved.
pub(super) fn excess(tasks: &[Counts]) -> f64 {
    let of_task = |task: &Counts| {
        let share = task.second_trials as f64 / (task.first_trials + task.second_trials).max(1) as f64;
        task.second as f64 - (task.first + task.second) as f64 * share
    };
    tasks.iter().map(of_task).sum()
}

impl Chance {
    /// The hypergeometric distribution of a task, unfolded from its most likely value so that nothing overflows.
    fn of(counts: Counts) -> Self {
        let solved = counts.first + counts.second;
        let (ours, theirs) = (counts.second_trials, counts.first_trials);
        let start = solved.saturating_sub(theirs);
        let end = solved.min(ours);
        // probability(k + 1) / probability(k)
        let ratio = |k: usize| {
            let up = (solved - k) as f64 * (ours - k) as f64;
            up / ((k + 1) as f64 * (theirs + k + 1 - solved) as f64)
        };
        let mode = (start..end).find(|k| ratio(*k) <= 1.0).unwrap_or(end);
        let mut probabilities = vec![0.0; end - start + 1];
        probabilities[mode - start] = 1.0;
        for k in mode..end {
            probabilities[k + 1 - start] = probabilities[k - start] * ratio(k);
        }
        for k in (start..mode).rev() {
            probabilities[k - start] = probabilities[k + 1 - start] / ratio(k);
        }
        let sum: f64 = probabilities.iter().sum();
        for probability in &mut probabilities {
            *probability /= sum;
        }
        Self { start, probabilities }
    }

    /// The distribution of the sum of both.
    fn and(&self, other: &Self) -> Self {
        let mut probabilities = vec![0.0; self.probabilities.len() + other.probabilities.len() - 1];
        for (index, left) in self.probabilities.iter().enumerate() {
            for (sum, right) in probabilities[index..].iter_mut().zip(&other.probabilities) {
                *sum += left * right;
            }
        }
        Self { start: self.start + other.start, probabilities }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts([first, first_trials, second, second_trials]: [usize; 4]) -> Counts {
        Counts { first, first_trials, second, second_trials }
    }

    fn assert_close(found: f64, expected: f64, of: &impl std::fmt::Debug) {
        assert!((found - expected).abs() <= 1e-9 * expected, "{of:?}: {found} instead of {expected}");
    }

    /// `scipy.stats.fisher_exact([[a, n - a], [b, m - b]])` of scipy 1.17.1.
    #[test]
    fn fishers_test_is_that_of_scipy() {
        let values = [
            (0, 1, 0, 1, 1.0),
            (0, 1, 1, 1, 1.0),
            (5, 20, 12, 20, 0.05355099259437413),
            (0, 10, 10, 10, 1.082508822446903e-05),
            (3, 10, 7, 10, 0.1788954079975752),
            (2, 5, 8, 9, 0.0949050949050949),
            (1, 10, 1, 10, 1.0),
            (10, 10, 10, 10, 1.0),
            (0, 3, 3, 3, 0.10000000000000002),
            (4, 10, 9, 10, 0.05727554179566563),
            (1, 24, 23, 50, 0.00017948283499528457),
            (100, 1000, 140, 1000, 0.0071854281040752),
            (0, 40, 40, 40, 1.8603403656036264e-23),
        ];
        for (first, first_trials, second, second_trials, expected) in values {
            let given = [first, first_trials, second, second_trials];
            assert_close(fisher(counts(given)), expected, &given);
            let swapped = [second, second_trials, first, first_trials];
            assert_close(fisher(counts(swapped)), expected, &swapped);
        }
    }

    /// Computed in Python with whole numbers and fractions: every combination of tables of all tasks that has the same margins is
    /// listed, its weight is the product of its binomial coefficients, and the weights of sums that are not more likely than the
    /// observed one are added.
    #[test]
    fn the_test_over_all_tasks_is_that_of_an_enumeration() {
        let values: [(&[[usize; 4]], f64); 9] = [
            (&[[5, 20, 12, 20]], 0.05355099259437413),
            (&[[1, 5, 4, 5], [2, 5, 5, 5]], 0.0205026455026455),
            (&[[0, 10, 3, 10], [5, 10, 9, 10], [10, 10, 10, 10]], 0.01910542610395959),
            (&[[3, 10, 3, 10], [2, 4, 2, 4]], 1.0),
            (&[[1, 3, 3, 4], [0, 5, 2, 5], [2, 6, 5, 5], [1, 1, 1, 1]], 0.0067821067821067825),
            (&[[9, 10, 2, 10], [8, 10, 3, 10]], 0.00040294128706746483),
            (&[[1, 10, 4, 10], [1, 10, 4, 10], [1, 10, 4, 10], [1, 10, 4, 10], [1, 10, 4, 10]], 0.0012376587387216674),
            (&[[0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1], [0, 1, 1, 1]], 0.03125),
            (&[[0, 2, 0, 2], [2, 2, 2, 2]], 1.0),
        ];
        for (tasks, expected) in values {
            let tasks: Vec<_> = tasks.iter().copied().map(counts).collect();
            assert_close(stratified(&tasks), expected, &tasks);
        }
    }

    #[test]
    fn extreme_counts_have_a_p_value() {
        assert!((stratified(&[]) - 1.0).abs() < 1e-12);
        assert!((fisher(counts([0, 0, 0, 0])) - 1.0).abs() < 1e-12);
        assert!((fisher(counts([0, 0, 3, 5])) - 1.0).abs() < 1e-12);
        assert!(fisher(counts([0, 2000, 2000, 2000])) < 1e-300);
    }

    #[test]
    fn the_excess_compares_within_tasks() {
        assert!((excess(&[counts([0, 10, 10, 10])]) - 5.0).abs() < 1e-12);
        // The first solves more within both tasks, the second more in sum, because its trials are those of the easy task.
        let tasks = [counts([9, 10, 80, 100]), counts([20, 100, 1, 10])];
        assert!(excess(&tasks) < 0.0);
    }
}
