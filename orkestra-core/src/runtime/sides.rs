//! The sides of a race: each has keys of its own, so that what is asked for on one of them shifts no key of the other, nor of
//! what comes after. When the task is called again the side that has lost is not polled and asks for nothing.

use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Polling, Poll};

use super::context::{Context, Inner};

thread_local! {
    /// The call whose race is being polled, by its address, and what the keys of that side begin with.
    static POLLED: RefCell<Option<(usize, Arc<str>)>> = const { RefCell::new(None) };
}

fn address(call: &Arc<Inner>) -> usize {
    Arc::as_ptr(call).addr()
}

/// What the keys of a scope begin with, here and now. A scope that was made on this side is as it was made.
pub(super) fn scope_here(call: &Arc<Inner>, scope: &Arc<str>) -> Arc<str> {
    POLLED.with_borrow(|polled| match polled {
        Some((of, side)) if *of == address(call) && !scope.starts_with(&**side) => {
            if scope.is_empty() {
                Arc::clone(side)
            } else {
                format!("{side}>{scope}").into()
            }
        }
        _ => Arc::clone(scope),
    })
}

/// One side of a race.
pub(super) struct Side<'a, F> {
    call: &'a Arc<Inner>,
    keys: Arc<str>,
    work: Pin<Box<F>>,
}

impl<'a, F> Side<'a, F> {
    /// The side at `place` of the race `step`.
    pub(super) fn new(cx: &'a Context, step: &str, place: u8, work: F) -> Self {
        Self { call: cx.inner(), keys: format!("{step}[{place}]>").into(), work: Box::pin(work) }
    }
}

impl<F: Future> Future for Side<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Polling<'_>) -> Poll<F::Output> {
        struct Restore(Option<(usize, Arc<str>)>);
        impl Drop for Restore {
            fn drop(&mut self) {
                POLLED.set(self.0.take());
            }
        }
        let here = (address(self.call), Arc::clone(&self.keys));
        let _restore = Restore(POLLED.replace(Some(here)));
        self.work.as_mut().poll(cx)
    }
}
