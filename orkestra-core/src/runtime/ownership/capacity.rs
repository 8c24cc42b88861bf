//! How many runs one engine drives at once, and what is to be looked for when there is room again.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The room for runs in memory.
#[derive(Debug)]
pub(in crate::runtime) struct Capacity {
    runs_max: usize,
    /// Whether runs that owe work may be waiting for a driver.
    waiting: AtomicBool,
    /// Whether another engine has left runs, some of which may wait for slots.
    left_behind: AtomicBool,
    /// Runs in memory that only wait and cannot be parked, since they hold slots: what they wait for may need their room.
    resting: AtomicUsize,
}

impl Capacity {
    pub(in crate::runtime) const fn new(runs_max: usize) -> Self {
        Self {
            runs_max,
            waiting: AtomicBool::new(false),
            left_behind: AtomicBool::new(false),
            resting: AtomicUsize::new(0),
        }
    }

    /// Whether no run is driven here at all: runs are begun and told, for other engines to drive.
    pub(in crate::runtime) const fn is_closed(&self) -> bool {
        self.runs_max == 0
    }

    /// Whether no further run is looked for, with `live` in memory.
    pub(super) const fn is_full(&self, live: usize) -> bool {
        live >= self.runs_max
    }

    /// How many runs are driven at once, when `live` in memory leave no room for another.
    pub(in crate::runtime) fn used_up(&self, live: usize) -> Option<usize> {
        (!self.is_closed() && self.is_full(live)).then_some(self.runs_max)
    }

    /// How many more runs there is room for.
    pub(super) const fn left(&self, live: usize) -> usize {
        self.runs_max.saturating_sub(live)
    }

    /// Whether one of `live` runs in memory is too many.
    pub(in crate::runtime) const fn is_over(&self, live: usize) -> bool {
        live > self.runs_max
    }

    /// A run in memory only waits from now on.
    pub(in crate::runtime) fn rests(&self) {
        self.resting.fetch_add(1, Ordering::Relaxed);
    }

    /// It does not any more.
    pub(in crate::runtime) fn stirs(&self) {
        self.resting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Those of `live` runs in memory that take room.
    pub(in crate::runtime) fn busy(&self, live: usize) -> usize {
        live.saturating_sub(self.resting.load(Ordering::Relaxed))
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
    pub(in crate::runtime) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Another engine has left runs: those too may be among them that wait for slots.
    pub(super) fn some_left(&self) {
        self.left_behind.store(true, Ordering::Relaxed);
    }

    /// Whether to look for all of them; asked once.
    pub(super) fn take_left(&self) -> bool {
        self.left_behind.swap(false, Ordering::Relaxed)
    }
}
