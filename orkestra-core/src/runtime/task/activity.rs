//! What a running call of a task is doing, as seen from outside: waiting, executing a step, silent.
//!
//! Counters that the task writes and the driver reads; nothing is decided here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::model::Timestamp;

use super::root::Root;

/// The counters of one call.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Activity {
    /// Unanswered requests to the driver.
    asks: AtomicUsize,
    /// Those of them whose answer comes from outside the task.
    waits: AtomicUsize,
    /// Waits that an earlier call of the task withdrew: they never end.
    withdrawn: AtomicUsize,
    /// Steps being executed, until their result is durable.
    steps: AtomicUsize,
    /// Whether anything else could wake the task.
    root: Root,
    /// The tokio task that the call runs in.
    own_task: OnceLock<Option<tokio::task::Id>>,
    /// Whether the context was used from another tokio task, whose activity cannot be seen.
    used_elsewhere: AtomicBool,
    /// Whether the call has ended, by its driver or by itself. What is left of it has no effect any more.
    over: AtomicBool,
    /// When the task last showed that it is alive, in milliseconds since the Unix epoch.
    beat: AtomicU64,
}

/// Increments a counter for as long as it lives.
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
    pub(in crate::runtime) fn begin(now: Timestamp) -> Self {
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

    pub(in crate::runtime) fn beat(&self, now: Timestamp) {
        self.beat.fetch_max(now.as_millis(), Ordering::SeqCst);
    }

    pub(in crate::runtime) fn last_beat(&self) -> Timestamp {
        Timestamp::from_millis(self.beat.load(Ordering::SeqCst))
    }

    /// Counts a wait that an earlier call withdrew.
    pub(super) fn waiting_forever(&self) -> Counted<'_> {
        Counted::new(&self.withdrawn)
    }

    /// Whether the task only waits for something outside. If in doubt, it does not.
    pub(in crate::runtime) fn only_waits(&self) -> bool {
        self.waits() && self.asks.load(Ordering::SeqCst) == self.waits.load(Ordering::SeqCst) && !self.does_something()
    }

    /// Whether a request to the driver is unanswered.
    pub(in crate::runtime) fn asks(&self) -> bool {
        self.asks.load(Ordering::SeqCst) > 0
    }

    /// Whether the task cannot continue before the driver answers.
    pub(in crate::runtime) fn waits_for_driver(&self) -> bool {
        self.asks() && !self.does_something()
    }

    /// Whether the task waits only for what an earlier call of it withdrew: it will never be woken.
    pub(in crate::runtime) fn waits_forever(&self) -> bool {
        let lost = self.withdrawn.load(Ordering::SeqCst) > 0 && self.asks.load(Ordering::SeqCst) == 0;
        lost && !self.does_something()
    }

    fn does_something(&self) -> bool {
        self.steps.load(Ordering::SeqCst) > 0
            || self.used_elsewhere.load(Ordering::SeqCst)
            || self.root.has_other_wakers()
    }

    pub(in crate::runtime) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst) > 0
    }

    pub(super) const fn root(&self) -> &Root {
        &self.root
    }

    /// The call begins in the current tokio task.
    pub(super) fn bind_to_task(&self) {
        self.own_task.get_or_init(tokio::task::try_id);
    }

    /// Whether the current tokio task is the one that the call runs in.
    pub(super) fn is_own_task(&self) -> bool {
        self.own_task.get().is_some_and(|own_task| *own_task == tokio::task::try_id())
    }

    /// Notes which tokio task uses the context.
    pub(super) fn used(&self) {
        if !self.is_own_task() {
            self.used_elsewhere.store(true, Ordering::SeqCst);
        }
    }

    /// The call is over.
    pub(super) fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}
