//! Panics of tasks become failures with message and backtrace. No panic takes the engine down: neither one of a task,
//! nor its own, nor the store's.

use std::any::Any;
use std::backtrace::Backtrace;
use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Once;
use std::task::Poll;

use crate::model::{Failure, FailureKind};

thread_local! {
    static IN_TASK: Cell<bool> = const { Cell::new(false) };
    static BACKTRACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Installs a panic hook that keeps a backtrace when a task panics. The previous hook is still called.
pub(in crate::runtime) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if IN_TASK.get() {
                BACKTRACE.set(Some(Backtrace::force_capture().to_string()));
            }
            before(info);
        }));
    });
}

/// Runs `work` to its end; a panic becomes a failure.
pub(in crate::runtime) async fn catch<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let mut work = pin!(work);
    poll_fn(|cx| {
        IN_TASK.set(true);
        let polled = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx)));
        IN_TASK.set(false);
        polled.unwrap_or_else(|panic| Poll::Ready(Err(failure(&*panic))))
    })
    .await
}

/// Runs work of the engine itself; a panic ends it and returns its message.
pub(in crate::runtime) async fn guard<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let mut work = pin!(work);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled.map(Ok),
        Err(panic) => Poll::Ready(Err(message(&*panic))),
    })
    .await
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into())
}

fn failure(panic: &(dyn Any + Send)) -> Failure {
    let failure = Failure::retryable(FailureKind::Panic, message(panic));
    match BACKTRACE.take() {
        Some(backtrace) => failure.with_backtrace(backtrace),
        None => failure,
    }
}
