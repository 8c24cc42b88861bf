//! A permutation test of the documented scores: how often would chance make a difference as large as the observed one? Pure, and
//! the same for the same scores.

/// How often the scores are shared out anew. The standard error of a p-value of 0.05 is then 0.0007.
const SHUFFLES: u32 = 100_000;
/// Where chance begins: any number, always the same one.
const SEED: u64 = 0x6f72_6b65_7374_7261;
/// What sums of floating point numbers may differ by and still count as equal.
const TOLERANCE: f64 = 1e-9;

/// The documented scores of the trials of a task, of the first contestant and of the second.
pub(super) type Scores = (Vec<f64>, Vec<f64>);

/// The two-sided p-value of the sum of the tasks' mean differences.
///
/// Within each task the scores are shared out among the contestants by chance again and again. The observed sharing counts as one
/// of them, so that the p-value is never 0. Every task needs a score of each contestant.
pub(super) fn p_value(tasks: &[Scores]) -> f64 {
    let observed: f64 = tasks.iter().map(|(first, second)| mean(second) - mean(first)).sum();
    let mut pools: Vec<Pool> = tasks.iter().map(Pool::new).collect();
    let mut chance = Chance(SEED);
    let mut hits = 0_u32;
    for _ in 0..SHUFFLES {
        let shuffled: f64 = pools.iter_mut().map(|pool| pool.shuffled(&mut chance)).sum();
        hits += u32::from(shuffled.abs() >= observed.abs() - TOLERANCE);
    }
    f64::from(hits + 1) / f64::from(SHUFFLES + 1)
}

fn mean(scores: &[f64]) -> f64 {
    scores.iter().sum::<f64>() / scores.len() as f64
}

/// All scores of a task.
struct Pool {
    scores: Vec<f64>,
    sum: f64,
    /// How many of them are those of the second contestant.
    second: usize,
}

impl Pool {
    fn new((first, second): &Scores) -> Self {
        let scores: Vec<f64> = first.iter().chain(second).copied().collect();
        Self { sum: scores.iter().sum(), scores, second: second.len() }
    }

    /// The difference of the means after the scores were shared out by chance.
    fn shuffled(&mut self, chance: &mut Chance) -> f64 {
        // The first steps of a Fisher-Yates shuffle draw the second contestant's scores.
        for index in 0..self.second {
            let other = index + chance.below(self.scores.len() - index);
            self.scores.swap(index, other);
        }
        let second: f64 = self.scores[..self.second].iter().sum();
        let first_count = (self.scores.len() - self.second) as f64;
        second / self.second as f64 - (self.sum - second) / first_count
    }
}

/// SplitMix64: small, fast, and good enough to shuffle.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `count`. Its bias is below one in 2⁵⁰ for any number of trials.
    fn below(&mut self, count: usize) -> usize {
        let scaled = (u128::from(self.next()) * count as u128) >> 64;
        usize::try_from(scaled).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scores of the first and of the second contestant, for each task.
    type Given = &'static [(&'static [u8], &'static [u8])];

    /// Computed in Python with fractions: all ways to choose which scores of a task are the second's, combined over the tasks.
    #[test]
    fn the_test_is_near_that_of_an_enumeration() {
        let values: [(Given, f64); 6] = [
            (&[(&[10], &[0])], 1.0),
            (&[(&[0, 0, 0], &[10, 10, 10])], 0.1),
            (&[(&[10, 5, 5, 0], &[10, 10, 10, 5])], 0.37142857142857144),
            (&[(&[0, 5, 10, 10], &[10, 10, 10, 10]), (&[2, 2, 6], &[10, 6, 6])], 0.06428571428571428),
            (&[(&[5, 5], &[5, 5])], 1.0),
            (&[(&[0, 0, 0, 5, 5], &[5, 5, 10, 10, 10]), (&[0, 5, 5], &[10, 10, 5, 10])], 0.0027210884353741495),
        ];
        for (tasks, p) in values {
            let floats = |scores: &[u8]| scores.iter().copied().map(f64::from).collect::<Vec<_>>();
            let scores: Vec<_> = tasks.iter().map(|(first, second)| (floats(first), floats(second))).collect();
            let found = p_value(&scores);
            // Five standard errors; the seed is fixed, so this holds always or never.
            let error = 5.0 * (p * (1.0 - p) / f64::from(SHUFFLES)).sqrt() + 1e-5;
            assert!((found - p).abs() < error, "{tasks:?}: {found} instead of {p}");
            assert!(p_value(&scores).total_cmp(&found).is_eq(), "the same again");
        }
    }
}
