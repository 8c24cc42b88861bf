//! How much output of commands a run may stream into its journal. Results and artifacts have their own limits.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of output that one process streams into the journal of one run: more than a person reads, and little on a disk. A
/// command alone may stream 16 MiB, and agents run many.
const STREAMED_BYTES_MAX: u64 = 32 * 1024 * 1024;
/// What each line costs beside its text: an event with its time and position.
const LINE_BYTES: u64 = 100;

/// Counts what the commands of a run have streamed.
#[derive(Debug, Default)]
pub(crate) struct StreamBudget {
    bytes: AtomicU64,
}

/// What is to be done with a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Streamed {
    /// It is streamed.
    Yes,
    /// It is the first one that is not streamed.
    NoMore,
    /// It is not streamed.
    No,
}

impl StreamBudget {
    /// Counts a line.
    pub(crate) fn take(&self, line: &str) -> Streamed {
        let cost = line.len() as u64 + LINE_BYTES;
        let before = self.bytes.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) <= STREAMED_BYTES_MAX {
            Streamed::Yes
        } else if before <= STREAMED_BYTES_MAX {
            Streamed::NoMore
        } else {
            Streamed::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_streamed_up_to_its_limit_and_its_end_is_told_once() {
        let budget = StreamBudget::default();
        let line = "x".repeat(8 * 1024);
        let told: Vec<Streamed> = (0..10_000).map(|_| budget.take(&line)).collect();
        let count = |wanted: Streamed| told.iter().filter(|streamed| **streamed == wanted).count() as u64;
        assert_eq!(count(Streamed::NoMore), 1);
        assert!(count(Streamed::Yes) * (8 * 1024 + LINE_BYTES) <= STREAMED_BYTES_MAX && count(Streamed::Yes) > 4_000);
        assert!(count(Streamed::No) > 5_000);
    }
}
