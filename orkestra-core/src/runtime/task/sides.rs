//! The two sides of a race. Each has its own keys, so that requests on one side do not shift the keys of the other side
//! or of what follows. When the task is called again, the losing side is not polled and requests nothing.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Polling, Poll};

use crate::kernel::StepState;

use super::context::{Context, Inner};
use super::given::Withdrawal;
use super::keys::is_signal;

thread_local! {
    /// The race side that is being polled on this thread.
    static POLLED: RefCell<Option<Polled>> = const { RefCell::new(None) };
}

struct Polled {
    /// The address of the call that the race belongs to.
    of: usize,
    /// The prefix of that side's keys.
    keys: Arc<str>,
    taken: Arc<Taken>,
}

/// Signals received on a side of a race whose payload has not led to anything yet: the keys of their waits.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<String>>);

impl Taken {
    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn address(call: &Arc<Inner>) -> usize {
    Arc::as_ptr(call).addr()
}

/// The prefix of a scope's keys at this point. A scope that was created on this side keeps its prefix.
pub(super) fn scope_here(call: &Arc<Inner>, scope: &Arc<str>) -> Arc<str> {
    POLLED.with_borrow(|polled| match polled {
        Some(Polled { of, keys, .. }) if *of == address(call) && !scope.starts_with(&**keys) => {
            if scope.is_empty() {
                Arc::clone(keys)
            } else {
                format!("{keys}>{scope}").into()
            }
        }
        _ => Arc::clone(scope),
    })
}

/// Notes that a wait for a signal is ready.
pub(super) fn signal_taken(call: &Arc<Inner>, step: String) {
    POLLED.with_borrow(|polled| {
        if let Some(Polled { of, taken, .. }) = polled
            && *of == address(call)
        {
            taken.lock().push(step);
        }
    });
}

/// Notes that something was done on this side, perhaps because of the signals it received: those that it requested
/// itself are used up. Given to another wait, they would cause the same again.
pub(super) fn acted(call: &Arc<Inner>) {
    POLLED.with_borrow(|polled| {
        if let Some(Polled { of, keys, taken }) = polled
            && *of == address(call)
        {
            taken.lock().retain(|step| !step.starts_with(&**keys));
        }
    });
}

/// One side of a race.
pub(super) struct Side<'a, F> {
    call: &'a Arc<Inner>,
    keys: Arc<str>,
    taken: Arc<Taken>,
    work: Pin<Box<F>>,
}

impl<F: Future> Future for Side<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<F::Output> {
        struct Restore(Option<Polled>);
        impl Drop for Restore {
            fn drop(&mut self) {
                POLLED.set(self.0.take());
            }
        }
        let Self { call, keys, taken, .. } = &*self;
        let here = Polled { of: address(call), keys: Arc::clone(keys), taken: Arc::clone(taken) };
        let _restore = Restore(POLLED.replace(Some(here)));
        self.work.as_mut().poll(cx)
    }
}

/// A race until its winner is durable. If it is dropped before, nobody has won: signals that the winner had received go
/// to the next waits, and the race is never ready.
pub(super) struct UndecidedRace<'a> {
    cx: &'a Context,
    step: String,
    taken: Arc<Taken>,
    has_won: bool,
    /// Whether the winner is known or durable.
    is_decided: bool,
}

impl<'a> UndecidedRace<'a> {
    pub(super) fn new(cx: &'a Context, step: &str) -> Self {
        let is_decided = matches!(cx.known(step), Some(StepState::Done(_) | StepState::Failed(_)));
        Self { cx, step: step.to_owned(), taken: Arc::default(), has_won: false, is_decided }
    }

    fn keys(&self, place: u8) -> String {
        format!("{}[{place}]>", self.step)
    }

    /// The side of the race at `place`.
    pub(super) fn side<F>(&self, place: u8, work: F) -> Side<'a, F> {
        Side {
            call: self.cx.inner(),
            keys: self.keys(place).into(),
            taken: Arc::clone(&self.taken),
            work: Box::pin(work),
        }
    }

    /// The side at `place` has lost. Withdraws what an earlier call of the task requested on it and this call did not
    /// reach; nothing else would.
    pub(super) fn side_lost(&self, place: u8) {
        let (cx, keys) = (self.cx, self.keys(place));
        for (step, known) in cx.inner().steps.iter().filter(|(step, _)| step.starts_with(&keys)) {
            let at_once = is_signal(step);
            let is_open = known.is_wait() || at_once && matches!(known, StepState::Done(_));
            if is_open && !cx.was_asked_for(step) {
                cx.withdraw(Withdrawal { step: step.clone(), begun: false, at_once });
            }
        }
    }

    /// One side has won.
    pub(super) const fn set_won(&mut self) {
        self.has_won = true;
    }

    /// The winner is durable. If the race is itself on a side of another race, that side has received the signals.
    pub(super) fn set_durable(&mut self) {
        (self.has_won, self.is_decided) = (false, true);
        mem::take(&mut *self.taken.lock()).into_iter().for_each(|step| signal_taken(self.cx.inner(), step));
    }
}

impl Drop for UndecidedRace<'_> {
    fn drop(&mut self) {
        if !self.is_decided {
            [0, 1].into_iter().for_each(|place| self.side_lost(place));
        }
        if !self.has_won {
            return;
        }
        let mut steps = mem::take(&mut *self.taken.lock());
        steps.push(mem::take(&mut self.step));
        for step in steps {
            self.cx.withdraw(Withdrawal { step, begun: false, at_once: true });
        }
    }
}
