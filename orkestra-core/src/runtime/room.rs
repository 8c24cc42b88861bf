//! How many runs one engine drives at once, and what is to be looked for when there is room again.

use std::sync::atomic::{AtomicBool, Ordering};

/// The room for runs in memory.
#[derive(Debug)]
pub(super) struct Room {
    runs_max: usize,
    /// Whether runs that owe work may be waiting for a driver.
    waiting: AtomicBool,
}

impl Room {
    pub(super) const fn new(runs_max: usize) -> Self {
        Self { runs_max, waiting: AtomicBool::new(false) }
    }

    /// Whether no run is driven here at all: runs are begun and told, for other engines to drive.
    pub(super) const fn is_closed(&self) -> bool {
        self.runs_max == 0
    }

    /// Whether no further run is looked for, with `live` in memory.
    pub(super) const fn is_full(&self, live: usize) -> bool {
        live >= self.runs_max
    }

    /// How many more runs there is room for.
    pub(super) const fn left(&self, live: usize) -> usize {
        self.runs_max.saturating_sub(live)
    }

    /// Whether one of `live` runs in memory is too many.
    pub(super) const fn is_over(&self, live: usize) -> bool {
        live > self.runs_max
    }

    /// Runs that owe work may be waiting, here or with an engine that has let them go.
    pub(super) fn some_wait(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Whether to look for them; asked once.
    pub(super) fn take_waiting(&self) -> bool {
        self.waiting.swap(false, Ordering::Relaxed)
    }

    /// Whether somebody will have to look for them.
    pub(super) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }
}
