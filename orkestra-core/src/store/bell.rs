//! Notifies listeners in the same process that a letter was sent.
//!
//! Never waits for a listener: a slow one learns that it missed some letters.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Poll, Waker};

use async_trait::async_trait;

use crate::model::RunId;

use super::inbox::Listener;

/// How many runs one listener may have pending. Beyond that it has to look at all runs.
const PENDING_MAX: usize = 1024;

/// Notifies listeners of letters. Clones share their listeners.
#[derive(Clone, Debug, Default)]
pub struct Bell(Arc<Mutex<Vec<Weak<Subscriber>>>>);

#[derive(Debug, Default)]
struct Subscriber(Mutex<Pending>);

#[derive(Debug, Default)]
struct Pending {
    runs: VecDeque<RunId>,
    missed: bool,
    waker: Option<Waker>,
}

impl Subscriber {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        // Changes under this lock cannot panic half-way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bell {
    /// Notifies all listeners of a letter for `run`.
    pub fn ring(&self, run: &RunId) {
        self.tell(|pending| {
            if pending.runs.len() < PENDING_MAX {
                pending.runs.push_back(run.clone());
            } else {
                pending.missed = true;
            }
        });
    }

    /// Tells all listeners that they may have missed letters.
    pub fn ring_for_all(&self) {
        self.tell(|pending| pending.missed = true);
    }

    /// A listener for all letters from now on.
    #[must_use]
    pub fn listen(&self) -> Box<dyn Listener> {
        let subscriber = Arc::new(Subscriber::default());
        self.lock().push(Arc::downgrade(&subscriber));
        Box::new(Subscription(subscriber))
    }

    fn tell(&self, add: impl Fn(&mut Pending)) {
        let mut wakers = Vec::new();
        self.lock().retain(|subscriber| {
            let Some(subscriber) = subscriber.upgrade() else { return false };
            let mut pending = subscriber.lock();
            add(&mut pending);
            wakers.extend(pending.waker.take());
            true
        });
        wakers.into_iter().for_each(Waker::wake);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Subscriber>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Subscription(Arc<Subscriber>);

#[async_trait]
impl Listener for Subscription {
    async fn next(&mut self) -> Option<RunId> {
        poll_fn(|context| {
            let mut pending = self.0.lock();
            if std::mem::take(&mut pending.missed) {
                pending.runs.clear();
                return Poll::Ready(None);
            }
            match pending.runs.pop_front() {
                Some(run) => Poll::Ready(Some(run)),
                None => {
                    pending.waker = Some(context.waker().clone());
                    Poll::Pending
                }
            }
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(number: usize) -> RunId {
        RunId::new(format!("r{number}")).expect("an id")
    }

    #[tokio::test]
    async fn all_listeners_are_notified_and_slow_ones_learn_that_they_missed_some() {
        let bell = Bell::default();
        bell.ring(&run(0));
        let (mut one, mut two) = (bell.listen(), bell.clone().listen());
        bell.ring(&run(1));
        bell.ring(&run(2));
        assert_eq!([one.next().await, one.next().await], [Some(run(1)), Some(run(2))]);
        (3..PENDING_MAX + 3).for_each(|number| bell.ring(&run(number)));
        assert_eq!(two.next().await, None, "its queue overflowed");
        let waiting = tokio::spawn(async move { two.next().await });
        tokio::task::yield_now().await;
        bell.ring(&run(7));
        assert_eq!(waiting.await.expect("it does not panic"), Some(run(7)));
        assert_eq!(one.next().await, None, "its queue overflowed too");
        drop(one);
        bell.ring_for_all();
        assert_eq!(bell.lock().len(), 0, "no listener is left");
    }
}
