//! Detects whether a task only waits for the engine, or whether anything else could wake it.
//!
//! A pending future must keep the waker that it was polled with, or it would never be polled again. So the task's
//! future is polled with a waker that counts its clones. The engine's own waits ([`EngineWait`]) keep none of them: they use
//! another waker. Whatever clones remain belong to something that the engine does not know: a timer, a socket, a
//! channel, another task. A task with such work in progress is not dropped from memory.
//!
//! Waking the task may drop the last clone. From then until it is polled, the task counts as active.
//!
//! Errors are on one side only: a leaked waker keeps a task in memory, but no existing waker is overlooked.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// The wakers of one call of a task.
#[derive(Debug, Default)]
pub(super) struct Root(Arc<CountedWaker>);

/// The waker that everything but the engine's own waits gets.
#[derive(Debug, Default)]
struct CountedWaker(Arc<TaskWaker>);

/// The waker of the engine's own waits: wakes the call's tokio task.
#[derive(Debug, Default)]
struct TaskWaker {
    waker: Mutex<Option<Waker>>,
    /// Whether the task was woken since it was last polled. What woke it may keep no waker any more.
    woken: AtomicBool,
    polls: AtomicU64,
}

impl TaskWaker {
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

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_task();
    }
}

impl Wake for CountedWaker {
    fn wake(self: Arc<Self>) {
        self.0.wake_task();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.wake_task();
    }
}

impl Root {
    /// Whether anything but the engine's waits keeps a waker of the task, or the task is being polled or about to be.
    pub(super) fn has_other_wakers(&self) -> bool {
        let polls = self.0.0.polls.load(SeqCst);
        let kept = Arc::strong_count(&self.0) > 1;
        // IMPORTANT: in this order. Before a waker is dropped it has woken the task; a poll that resets the flag is
        // counted.
        fence(SeqCst);
        kept || self.0.0.woken.load(SeqCst) || self.0.0.polls.load(SeqCst) != polls
    }

    /// Polls the task's future with the counting waker.
    pub(super) fn poll<T>(&self, cx: &Context<'_>, poll: impl FnOnce(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
        // IMPORTANT: the waker first. A concurrent check then sees either it or that the task was woken.
        let waker = Waker::from(Arc::clone(&self.0));
        self.0.0.polled_with(cx.waker());
        poll(&mut Context::from_waker(&waker))
    }

    /// The uncounted waker, if `waker` is the counting one.
    fn uncounted(&self, waker: &Waker) -> Option<Waker> {
        std::ptr::eq(waker.data(), Arc::as_ptr(&self.0).cast()).then(|| Waker::from(Arc::clone(&self.0.0)))
    }
}

/// A wait of the engine's own: it wakes the task without keeping a counted waker.
pub(super) struct EngineWait<'a, F> {
    root: &'a Root,
    wait: F,
}

impl<'a, F> EngineWait<'a, F> {
    pub(super) const fn new(root: &'a Root, wait: F) -> Self {
        Self { root, wait }
    }
}

impl<F: Future + Unpin> Future for EngineWait<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.root.uncounted(cx.waker()) {
            Some(waker) => Pin::new(&mut self.wait).poll(&mut Context::from_waker(&waker)),
            // A combinator in between has its own waker, which must be the one that is woken.
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

    /// Whether the root is kept while `work` is pending.
    async fn has_other_wakers(root: &Root, work: impl Future<Output = ()>) -> bool {
        let mut work = pin!(work);
        poll_fn(|cx| Poll::Ready(root.poll(cx, |cx| work.as_mut().poll(cx)))).await.is_pending()
            && root.has_other_wakers()
    }

    #[tokio::test]
    async fn only_what_is_not_ours_keeps_a_waker() {
        let root = Root::default();
        let (_sender, answer) = oneshot::channel::<()>();
        let (_other, another) = oneshot::channel::<()>();
        let ours = || EngineWait::new(&root, pending::<()>());
        assert!(!has_other_wakers(&root, ours()).await);
        assert!(!has_other_wakers(&root, async { drop(EngineWait::new(&root, answer).await) }).await);
        assert!(has_other_wakers(&root, async { drop(another.await) }).await);
        assert!(has_other_wakers(&root, async { tokio::time::sleep(Duration::from_secs(9)).await }).await);
        let both = async {
            tokio::select! { () = ours() => {} () = tokio::time::sleep(Duration::from_secs(9)) => {} }
        };
        assert!(has_other_wakers(&root, both).await);
        let two = async {
            tokio::join!(ours(), ours());
        };
        assert!(!has_other_wakers(&root, two).await);
        assert!(!root.has_other_wakers(), "what was dropped keeps nothing");
    }

    #[tokio::test]
    async fn what_is_ours_wakes_the_task() {
        let root = Arc::new(Root::default());
        let (sender, answer) = oneshot::channel::<u8>();
        let inner = Arc::clone(&root);
        let task = tokio::spawn(async move {
            let mut work = pin!(async { EngineWait::new(&inner, answer).await });
            poll_fn(|cx| inner.poll(cx, |cx| work.as_mut().poll(cx))).await
        });
        tokio::task::yield_now().await;
        assert!(!root.has_other_wakers());
        sender.send(7).expect("somebody waits");
        assert_eq!(task.await.expect("it does not panic"), Ok(7));
    }
}
