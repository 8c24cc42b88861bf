//! What a running call of a task is doing, as far as it can be seen from outside: waiting, working at a step, silent.
//!
//! Counters that the task's side moves and the driver's side reads; nothing is decided here.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::model::Timestamp;

use super::root::Root;

/// The counters of one call.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Activity {
    /// Requests to the driver that have not been answered.
    asks: AtomicUsize,
    /// Those of them that are answered from outside the task.
    waits: AtomicUsize,
    /// Waits that an earlier call of the task has let go: nothing ends them.
    let_go: AtomicUsize,
    /// Steps that are under way: until their result is durable.
    steps: AtomicUsize,
    /// Who else could wake the task.
    root: Root,
    /// The tokio task that the call runs in.
    home: OnceLock<Option<tokio::task::Id>>,
    /// Whether the context was used from another tokio task: what that one does is not seen.
    strays: AtomicBool,
    /// Whether the call was ended, by its driver or by itself. What is left of it says nothing any more.
    over: AtomicBool,
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

    /// Counts a wait that an earlier call has let go.
    pub(super) fn waiting_for_nothing(&self) -> Counted<'_> {
        Counted::new(&self.let_go)
    }

    /// Whether the task does nothing but wait for something outside. When that cannot be known it does something.
    pub(in crate::runtime) fn only_waits(&self) -> bool {
        self.waits() && self.asks.load(Ordering::SeqCst) == self.waits.load(Ordering::SeqCst) && !self.does_something()
    }

    /// Whether the task has asked the driver for something and was not answered yet.
    pub(in crate::runtime) fn asks(&self) -> bool {
        self.asks.load(Ordering::SeqCst) > 0
    }

    /// Whether the task cannot go on before the driver answers it.
    pub(in crate::runtime) fn is_held(&self) -> bool {
        self.asks() && !self.does_something()
    }

    /// Whether the task waits for nothing but what an earlier call of it has let go: nobody will ever wake it.
    pub(in crate::runtime) fn is_lost(&self) -> bool {
        let lost = self.let_go.load(Ordering::SeqCst) > 0 && self.asks.load(Ordering::SeqCst) == 0;
        lost && !self.does_something()
    }

    fn does_something(&self) -> bool {
        self.steps.load(Ordering::SeqCst) > 0 || self.strays.load(Ordering::SeqCst) || self.root.is_kept()
    }

    pub(in crate::runtime) fn waits(&self) -> bool {
        self.waits.load(Ordering::SeqCst) > 0
    }

    pub(super) const fn root(&self) -> &Root {
        &self.root
    }

    /// The call begins in the current tokio task.
    pub(super) fn come_home(&self) {
        self.home.get_or_init(tokio::task::try_id);
    }

    /// Whether the current tokio task is the one that the call runs in.
    pub(super) fn is_home(&self) -> bool {
        self.home.get().is_some_and(|home| *home == tokio::task::try_id())
    }

    /// Notes from where the context is used.
    pub(super) fn used(&self) {
        if !self.is_home() {
            self.strays.store(true, Ordering::SeqCst);
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
