//! What a running call of a task is doing, as far as it can be seen from outside: waiting, working at a step, silent.
//!
//! Counters that the task's side moves and the driver's side reads; nothing is decided here.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::model::Timestamp;

/// The counters of one call.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests to the driver that have not been answered.
    asks: AtomicUsize,
    /// Those of them that are answered from outside the task.
    waits: AtomicUsize,
    /// Steps whose work is under way.
    steps: AtomicUsize,
    /// When the task last gave a sign of life, in milliseconds since the Unix epoch.
    beat: AtomicU64,
}

/// Counts for as long as it lives.
pub(super) struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Activity {
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { beat: AtomicU64::new(now.as_millis()), ..Self::default() }
    }

    pub(super) fn asking(&self) -> Counted<'_> {
        Counted::new(&self.asks)
    }

    pub(super) fn waiting(&self) -> Counted<'_> {
        Counted::new(&self.waits)
    }

    pub(super) fn working(&self) -> Counted<'_> {
        Counted::new(&self.steps)
    }

    pub(super) fn beat(&self, now: Timestamp) {
        self.beat.fetch_max(now.as_millis(), Ordering::SeqCst);
    }

    pub(super) fn last_beat(&self) -> Timestamp {
        Timestamp::from_millis(self.beat.load(Ordering::SeqCst))
    }

    /// Whether the task waits for something outside and works at no step. What it does beside that is not seen: it is
    /// done again when the task is called again.
    pub(super) fn only_waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst) > 0 && self.steps.load(Ordering::SeqCst) == 0
    }

    /// Whether the task cannot go on before the driver answers it.
    pub(super) fn is_held(&self) -> bool {
        self.asks.load(Ordering::SeqCst) > 0 && self.steps.load(Ordering::SeqCst) == 0
    }

    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst) > 0
    }
}
