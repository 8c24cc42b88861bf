//! The sides of a race: each has keys of its own, so that what is asked for on one of them shifts no key of the other, nor of
//! what comes after. When the task is called again the side that has lost is not polled and asks for nothing.

use std::cell::RefCell;
use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Polling, Poll};

use super::context::{Context, Inner};
use super::given::LetGo;

thread_local! {
    /// The race that is being polled.
    static POLLED: RefCell<Option<Polled>> = const { RefCell::new(None) };
}

struct Polled {
    /// The call whose race it is, by its address.
    of: usize,
    /// What the keys of that side begin with.
    keys: Arc<str>,
    taken: Arc<Taken>,
}

/// The waits for signals that stood on a side of a race and were ready.
#[derive(Debug, Default)]
struct Taken(Mutex<Vec<String>>);

fn address(call: &Arc<Inner>) -> usize {
    Arc::as_ptr(call).addr()
}

/// What the keys of a scope begin with, here and now. A scope that was made on this side is as it was made.
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

/// A wait for a signal is ready. What was asked for on this side is its own business.
pub(super) fn took(call: &Arc<Inner>, step: String) {
    POLLED.with_borrow(|polled| {
        if let Some(Polled { of, keys, taken }) = polled
            && *of == address(call)
            && !step.starts_with(&**keys)
        {
            taken.0.lock().unwrap_or_else(PoisonError::into_inner).push(step);
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

/// A race until its winner is written down. When it is dropped before, nobody has won: what the winner had received goes to
/// whoever waits next, and the race is never ready.
pub(super) struct Unwritten<'a> {
    cx: &'a Context,
    step: String,
    taken: Arc<Taken>,
    is_open: bool,
}

impl<'a> Unwritten<'a> {
    pub(super) fn new(cx: &'a Context, step: &str) -> Self {
        Self { cx, step: step.to_owned(), taken: Arc::default(), is_open: false }
    }

    /// The side of the race at `place`.
    pub(super) fn side<F>(&self, place: u8, work: F) -> Side<'a, F> {
        let keys = format!("{}[{place}]>", self.step).into();
        Side { call: self.cx.inner(), keys, taken: Arc::clone(&self.taken), work: Box::pin(work) }
    }

    /// Somebody has won.
    pub(super) const fn open(&mut self) {
        self.is_open = true;
    }

    /// Who it was is written down.
    pub(super) const fn close(&mut self) {
        self.is_open = false;
    }
}

impl Drop for Unwritten<'_> {
    fn drop(&mut self) {
        if !self.is_open {
            return;
        }
        let mut steps = mem::take(&mut *self.taken.0.lock().unwrap_or_else(PoisonError::into_inner));
        steps.push(mem::take(&mut self.step));
        for step in steps {
            self.cx.let_go(LetGo { step, begun: false, at_once: true });
        }
    }
}
