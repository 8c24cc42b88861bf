//! A token bucket that counts in whole numbers and tolerates clock jumps.

use std::time::Duration;

use crate::model::Timestamp;

use super::limit::Rate;

/// A token is worth the period in milliseconds, and each millisecond adds `count`: nothing is ever rounded.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    token: u64,
    per_millisecond: u64,
    full: u64,
    level: u64,
    last: Timestamp,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(rate: Rate, at: Timestamp) -> Self {
        let (token, per_millisecond) = (rate.period_ms, u64::from(rate.count));
        let full = token.saturating_mul(per_millisecond);
        Self { token, per_millisecond, full, level: full, last: at }
    }

    /// Adds what the time since the last call is worth. A clock that jumps back adds nothing, and time continues from
    /// there: the jump costs at most the wait for one token. A clock that jumps ahead adds as much as fits, as if the
    /// time had passed.
    fn fill(&mut self, at: Timestamp) {
        let passed = at.as_millis().saturating_sub(self.last.as_millis());
        self.level = self.level.saturating_add(passed.saturating_mul(self.per_millisecond)).min(self.full);
        self.last = at;
    }

    pub(super) fn has_token(&mut self, at: Timestamp) -> bool {
        self.fill(at);
        self.level >= self.token
    }

    /// Takes a token, which must exist.
    pub(super) fn take(&mut self, at: Timestamp) {
        self.fill(at);
        debug_assert!(self.level >= self.token, "a token was taken from an empty bucket");
        self.level = self.level.saturating_sub(self.token);
    }

    /// When the next token is available.
    pub(super) fn next(&self) -> Timestamp {
        let millis = self.token.saturating_sub(self.level).div_ceil(self.per_millisecond.max(1));
        self.last.saturating_add(Duration::from_millis(millis))
    }

    pub(super) fn is_full(&mut self, at: Timestamp) -> bool {
        self.fill(at);
        self.level == self.full
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn full(count: u32, period_ms: u64, millis: u64) -> Bucket {
        Bucket::new(Rate { count, period_ms }, at(millis))
    }

    fn taken(bucket: &mut Bucket, at: Timestamp) -> usize {
        std::iter::from_fn(|| bucket.has_token(at).then(|| bucket.take(at))).count()
    }

    #[test]
    fn tokens_come_evenly_and_nothing_is_rounded() {
        let mut bucket = full(3, 1000, 0);
        assert_eq!(taken(&mut bucket, at(0)), 3, "full at first");
        assert_eq!(bucket.next(), at(334), "a third of a second, rounded up");
        let found: Vec<_> = [333, 334, 666, 667, 999, 1000].map(|millis| taken(&mut bucket, at(millis))).into();
        assert_eq!(found, [0, 1, 0, 1, 0, 1]);
        assert_eq!(taken(&mut bucket, at(1_000_000)), 3, "never more than full");
        let mut fast = full(1000, 1, 0);
        assert_eq!(taken(&mut fast, at(0)), 1000);
        assert_eq!(taken(&mut fast, at(1)), 1000);
    }

    #[test]
    fn a_clock_that_jumps_back_gives_nothing_and_blocks_for_one_token_at_most() {
        let mut bucket = full(1, 1000, 100_000);
        assert_eq!(taken(&mut bucket, at(100_000)), 1);
        assert_eq!(taken(&mut bucket, at(5_000)), 0, "jumped back");
        assert_eq!(bucket.next(), at(6_000));
        assert_eq!(taken(&mut bucket, at(6_000)), 1);
        let mut longest = full(u32::MAX, u32::MAX.into(), 0);
        assert!(longest.has_token(at(u64::MAX)) && longest.is_full(at(0)));
    }

    proptest! {
        #[test]
        fn within_any_time_no_more_than_a_full_bucket_and_what_came(
            count in 1..20_u32, per in 1..5000_u64, moves in prop::collection::vec((any::<bool>(), 0..3000_u64), 0..60),
        ) {
            let mut bucket = full(count, per, 1_000_000);
            let (mut now, mut forward, mut granted) = (1_000_000_u64, 0_u64, 0_u64);
            for (back, millis) in moves {
                now = if back { now - millis } else { now + millis };
                forward += if back { 0 } else { millis };
                granted += taken(&mut bucket, at(now)) as u64;
                prop_assert!(granted * per <= u64::from(count) * (per + forward));
                prop_assert!(bucket.next() > at(now) && bucket.next() <= at(now + per.div_ceil(u64::from(count))));
            }
        }
    }
}
