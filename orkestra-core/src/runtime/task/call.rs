//! One call of a task's code, as its driver sees it: polled with a waker that tells whether it only waits, and asked after each
//! poll what it has let go.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use crate::model::{Failure, Payload};

use super::context::Inner;
use super::given::LetGo;
use crate::runtime::support::panics;

/// Runs the code to its end. A panic is its failure.
///
/// What it lets go on the way is withdrawn. An attempt that fails lets go only what others may be waiting for: its other waits
/// go on, for the next attempt.
pub(in crate::runtime) async fn watched(
    inner: Arc<Inner>,
    code: impl Future<Output = Result<Payload, Failure>>,
) -> Result<Payload, Failure> {
    let mut code = pin!(panics::catch(code));
    poll_fn(|cx| {
        let polled = inner.activity.root().poll(cx, |cx| code.as_mut().poll(cx));
        let fails = matches!(polled, Poll::Ready(Err(_)));
        inner.tell_let_go(|what: &LetGo| what.at_once || !fails);
        polled
    })
    .await
}
