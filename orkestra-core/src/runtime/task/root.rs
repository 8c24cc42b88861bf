//! Tells whether a task truly only waits: whether anything but this engine could wake it.
//!
//! A future that is not ready must keep the waker that it was polled with, or nobody would ever poll it again. So the
//! task's future is polled with a waker of ours that counts its copies. The engine's own waits ([`Quiet`]) keep none
//! of them: they are woken past it. What is left over belongs to something that the engine knows nothing of: a timer, a socket, a channel,
//! another task. A task that has such work under way is not dropped from memory.
//!
//! Who wakes the task may let go of its waker by that: from then until it is polled the task is about to do something.
//!
//! It errs on one side only. A waker that somebody has forgotten keeps a task in memory; none that is there is
//! overlooked.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The wakers of one call of a task.
#[derive(Debug, Default)]
pub(super) struct Root(Arc<Counts>);

/// What those wake who are not ours.
#[derive(Debug, Default)]
struct Counts(Arc<Past>);

/// Wakes the tokio task that the call runs in.
#[derive(Debug, Default)]
struct Past {
    waker: Mutex<Option<Waker>>,
    /// Whether somebody has woken the task since it was last polled. Who has may keep no waker any more.
    woken: AtomicBool,
    polls: AtomicU64,
}

impl Past {
    fn waker(&self) -> Option<Waker> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn polled_with(&self, waker: &Waker) {
        let mut known = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        drop(known);
        self.polls.fetch_add(1, SeqCst);
        self.woken.store(false, SeqCst);
    }

    fn wake_task(&self) {
        self.woken.store(true, SeqCst);
        if let Some(waker) = self.waker() {
            waker.wake();
        }
    }
}

impl Wake for Past {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_task();
    }
}

impl Wake for Counts {
    fn wake(self: Arc<Self>) {
        self.0.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_task();
    }
}

impl Root {
    /// Whether something that is not ours keeps a waker of the task, or the task is being polled right now, or is about to be.
    pub(super) fn is_kept(&self) -> bool {
        let polls = self.0.0.polls.load(SeqCst);
        let kept = Arc::strong_count(&self.0) > 1;
        // IMPORTANT: in this order. Whoever lets go of its waker has woken the task before, and a poll that makes that
        // forgotten is counted.
        fence(SeqCst);
        kept || self.0.0.woken.load(SeqCst) || self.0.0.polls.load(SeqCst) != polls
    }

    /// Polls the task's future with the waker that counts.
    pub(super) fn poll<T>(&self, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        // IMPORTANT: the waker first. Whoever looks meanwhile sees it, or that the task was woken.
        let waker = Waker::from(Arc::clone(&self.0));
        self.0.0.polled_with(cx.waker());
        poll(&mut Context::from_waker(&waker))
    }

    /// The waker to wait with: past the one that counts, where that is the one that came.
    fn past(&self, came: &Waker) -> Option<Waker> {
        std::ptr::eq(came.data(), Arc::as_ptr(&self.0).cast()).then(|| Waker::from(Arc::clone(&self.0.0)))
    }
}

/// A wait of the engine's own: it wakes the task without keeping a waker that counts.
pub(super) struct Quiet<'a, F> {
    root: &'a Root,
    wait: F,
}

impl<'a, F> Quiet<'a, F> {
    pub(super) const fn new(root: &'a Root, wait: F) -> Self {
        Self { root, wait }
    }
}

impl<F: Future + Unpin> Future for Quiet<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.root.past(cx.waker()) {
            Some(past) => Pin::new(&mut self.wait).poll(&mut Context::from_waker(&past)),
            // A future between has a waker of its own: it must be the one that hears.
            None => Pin::new(&mut self.wait).poll(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::pin::pin;
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    /// Whether the root is kept while `work` is under way.
    async fn is_kept(root: &Root, work: impl Future<Output = ()>) -> bool {
        let mut work = pin!(work);
        poll_fn(|cx| Poll::Ready(root.poll(cx, |cx| work.as_mut().poll(cx)))).await.is_pending() && root.is_kept()
    }

    #[tokio::test]
    async fn only_what_is_not_ours_keeps_a_waker() {
        let root = Root::default();
        let (_sender, answer) = oneshot::channel::<()>();
        let (_other, another) = oneshot::channel::<()>();
        let ours = || Quiet::new(&root, pending::<()>());
        assert!(!is_kept(&root, ours()).await);
        assert!(!is_kept(&root, async { drop(Quiet::new(&root, answer).await) }).await);
        assert!(is_kept(&root, async { drop(another.await) }).await);
        assert!(is_kept(&root, async { tokio::time::sleep(Duration::from_secs(9)).await }).await);
        let both = async {
            tokio::select! { () = ours() => {} () = tokio::time::sleep(Duration::from_secs(9)) => {} }
        };
        assert!(is_kept(&root, both).await);
        let two = async {
            tokio::join!(ours(), ours());
        };
        assert!(!is_kept(&root, two).await);
        assert!(!root.is_kept(), "what was dropped keeps nothing");
    }

    #[tokio::test]
    async fn what_is_ours_wakes_the_task() {
        let root = Arc::new(Root::default());
        let (sender, answer) = oneshot::channel::<u8>();
        let inner = Arc::clone(&root);
        let task = tokio::spawn(async move {
            let mut work = pin!(async { Quiet::new(&inner, answer).await });
            poll_fn(|cx| inner.poll(cx, |cx| work.as_mut().poll(cx))).await
        });
        tokio::task::yield_now().await;
        assert!(!root.is_kept());
        sender.send(7).expect("somebody waits");
        assert_eq!(task.await.expect("it does not panic"), Ok(7));
    }
}
