//! One call of a task's code: polled with a waker that detects whether it only waits; after each poll its withdrawals
//! are sent.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::model::{Failure, Payload};

use super::context::Inner;
use super::given::Withdrawal;
use crate::runtime::support::panics;

/// Runs the code to its end. A panic becomes a failure.
///
/// Dropped waits are withdrawn. A failed attempt withdraws only waits for signals, which others may be waiting for; its
/// other waits continue for the next attempt.
pub(in crate::runtime) async fn watched(
    inner: Arc<Inner>,
    code: impl Future<Output = Result<Payload, Failure>>,
) -> Result<Payload, Failure> {
    let mut code = pin!(panics::catch(code));
    poll_fn(|cx| {
        let polled = inner.activity.root().poll(cx, |cx| code.as_mut().poll(cx));
        let fails = matches!(polled, Poll::Ready(Err(_)));
        inner.send_withdrawals(|what: &Withdrawal| what.at_once || !fails);
        polled
    })
    .await
}
