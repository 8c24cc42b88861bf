//! Leaves a search engine alone after it failed or refused. Pure: the time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{SEARCH_FAILURES_MAX, SEARCH_PAUSE, SEARCH_PAUSE_MAX};

/// Closed, or open until an instant; after it, one more failure opens it again.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    open_until: Option<Instant>,
}

impl Breaker {
    /// For how long it is still open, if it is.
    pub(super) fn open_for(&self, now: Instant) -> Option<Duration> {
        self.open_until.map(|until| until.saturating_duration_since(now)).filter(|left| !left.is_zero())
    }

    pub(super) fn succeeded(&mut self) {
        *self = Self::default();
    }

    pub(super) fn failed(&mut self, now: Instant) {
        self.failures += 1;
        if self.failures >= SEARCH_FAILURES_MAX {
            self.open_until = Some(now + SEARCH_PAUSE);
        }
    }

    pub(super) fn refused(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.failures = self.failures.max(SEARCH_FAILURES_MAX - 1) + 1;
        self.open_until = Some(now + retry_after.unwrap_or(SEARCH_PAUSE).min(SEARCH_PAUSE_MAX));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{Breaker, SEARCH_PAUSE, SEARCH_PAUSE_MAX};

    #[test]
    fn it_opens_after_failures_in_a_row_or_a_refusal_and_closes_after_its_time_and_a_success() {
        let (mut breaker, start) = (Breaker::default(), Instant::now());
        breaker.failed(start);
        breaker.failed(start);
        assert_eq!(breaker.open_for(start), None);
        breaker.succeeded();
        breaker.failed(start);
        breaker.failed(start);
        assert_eq!(breaker.open_for(start), None);
        breaker.failed(start);
        assert_eq!(breaker.open_for(start), Some(SEARCH_PAUSE));
        let later = start + SEARCH_PAUSE;
        assert_eq!(breaker.open_for(later), None);
        breaker.failed(later);
        assert_eq!(breaker.open_for(later), Some(SEARCH_PAUSE), "the next failure opens it at once");
        breaker.succeeded();
        breaker.refused(later, None);
        assert_eq!(breaker.open_for(later), Some(SEARCH_PAUSE));
        breaker.refused(later, Some(Duration::from_secs(7)));
        assert_eq!(breaker.open_for(later), Some(Duration::from_secs(7)));
        breaker.refused(later, Some(Duration::from_secs(u64::MAX)));
        assert_eq!(breaker.open_for(later), Some(SEARCH_PAUSE_MAX));
    }
}
