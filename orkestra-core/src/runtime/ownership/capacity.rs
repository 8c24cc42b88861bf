//! An engine's capacity: how many runs it drives at once, and what to search for when some becomes free.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The capacity for runs in memory.
#[derive(Debug)]
pub(in crate::runtime) struct Capacity {
    runs_max: usize,
    /// Whether runs that owe work may be waiting for a driver.
    waiting: AtomicBool,
    /// Whether another engine has left runs, some of which may wait for slots.
    left_behind: AtomicBool,
    /// Idle runs in memory that cannot be parked because they hold slots: the runs they wait for may need their
    /// capacity.
    idle: AtomicUsize,
}

impl Capacity {
    pub(in crate::runtime) const fn new(runs_max: usize) -> Self {
        Self {
            runs_max,
            waiting: AtomicBool::new(false),
            left_behind: AtomicBool::new(false),
            idle: AtomicUsize::new(0),
        }
    }

    /// Whether no run is driven here at all: runs are only started, and sent letters, for other engines to drive.
    pub(in crate::runtime) const fn is_closed(&self) -> bool {
        self.runs_max == 0
    }

    /// Whether there is no capacity for another run, with `live` in memory.
    pub(super) const fn is_full(&self, live: usize) -> bool {
        live >= self.runs_max
    }

    /// The capacity, if `live` runs in memory use it up.
    pub(in crate::runtime) fn used_up(&self, live: usize) -> Option<usize> {
        (!self.is_closed() && self.is_full(live)).then_some(self.runs_max)
    }

    /// How many more runs there is capacity for.
    pub(super) const fn left(&self, live: usize) -> usize {
        self.runs_max.saturating_sub(live)
    }

    /// Whether the `live` runs in memory exceed the capacity.
    pub(in crate::runtime) const fn is_over(&self, live: usize) -> bool {
        live > self.runs_max
    }

    /// A run in memory becomes idle.
    pub(in crate::runtime) fn add_idle(&self) {
        self.idle.fetch_add(1, Ordering::Relaxed);
    }

    /// A run in memory is no longer idle.
    pub(in crate::runtime) fn remove_idle(&self) {
        self.idle.fetch_sub(1, Ordering::Relaxed);
    }

    /// How many of the `live` runs in memory count against the capacity.
    pub(in crate::runtime) fn busy(&self, live: usize) -> usize {
        live.saturating_sub(self.idle.load(Ordering::Relaxed))
    }

    /// Runs that owe work may be waiting, here or after another engine has left them.
    pub(super) fn note_waiting(&self) {
        self.waiting.store(true, Ordering::Relaxed);
    }

    /// Whether to search for such runs; clears the flag.
    pub(super) fn take_waiting(&self) -> bool {
        self.waiting.swap(false, Ordering::Relaxed)
    }

    /// Whether such runs will have to be searched for.
    pub(in crate::runtime) fn has_waiting(&self) -> bool {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Another engine has left runs, which may include runs that wait for slots.
    pub(super) fn note_left_behind(&self) {
        self.left_behind.store(true, Ordering::Relaxed);
    }

    /// Whether to search for all of them; clears the flag.
    pub(super) fn take_left_behind(&self) -> bool {
        self.left_behind.swap(false, Ordering::Relaxed)
    }
}
