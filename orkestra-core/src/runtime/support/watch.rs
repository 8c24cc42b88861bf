//! A value that can be watched. Like `tokio::sync::watch`, but waiters are woken in the order in which they began to
//! wait. Tokio's order is random; a simulation needs one that repeats.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Changes the value. Cheap to clone.
#[derive(Debug)]
pub(in crate::runtime) struct Sender<T>(Arc<Shared<T>>);

/// Observes the value.
#[derive(Debug)]
pub(in crate::runtime) struct Receiver<T> {
    shared: Arc<Shared<T>>,
    seen: u64,
}

/// All senders are gone.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Closed;

#[derive(Debug)]
struct Shared<T> {
    state: Mutex<State<T>>,
    changed: Notify,
    receivers: AtomicUsize,
}

#[derive(Debug)]
struct State<T> {
    value: T,
    version: u64,
    senders: usize,
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // A panic in `send_modify` leaves a valid value behind.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Sender<T> {
    pub(in crate::runtime) fn new(value: T) -> Self {
        let state = Mutex::new(State { value, version: 0, senders: 1 });
        Self(Arc::new(Shared { state, changed: Notify::new(), receivers: AtomicUsize::new(0) }))
    }

    /// Changes the value in place and wakes all waiters, even if it stays the same.
    pub(in crate::runtime) fn send_modify(&self, modify: impl FnOnce(&mut T)) {
        let mut state = self.0.lock();
        modify(&mut state.value);
        state.version += 1;
        drop(state);
        self.0.changed.notify_waiters();
    }

    /// Sets the value and wakes all waiters.
    pub(in crate::runtime) fn send_replace(&self, value: T) {
        self.send_modify(|old| *old = value);
    }

    /// A receiver that has seen the current value.
    pub(in crate::runtime) fn subscribe(&self) -> Receiver<T> {
        self.0.receivers.fetch_add(1, Ordering::Relaxed);
        let seen = self.0.lock().version;
        Receiver { shared: Arc::clone(&self.0), seen }
    }

    pub(in crate::runtime) fn receiver_count(&self) -> usize {
        self.0.receivers.load(Ordering::Relaxed)
    }
}

impl<T: Copy> Sender<T> {
    /// The current value.
    pub(in crate::runtime) fn get(&self) -> T {
        self.0.lock().value
    }
}

impl<T: Default> Default for Sender<T> {
    fn default() -> Self {
        Self::new(T::default())
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        self.0.lock().senders += 1;
        Self(Arc::clone(&self.0))
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.senders -= 1;
        let last = state.senders == 0;
        drop(state);
        if last {
            self.0.changed.notify_waiters();
        }
    }
}

impl<T> Receiver<T> {
    /// Marks the current value as seen.
    pub(in crate::runtime) fn mark_unchanged(&mut self) {
        self.seen = self.shared.lock().version;
    }

    /// Returns when the value has changed since it was last seen. Cancel safe.
    pub(in crate::runtime) async fn changed(&mut self) -> Result<(), Closed> {
        loop {
            // Registered before the check, so that no change is missed in between.
            let notified = self.shared.changed.notified();
            {
                let state = self.shared.lock();
                if state.version != self.seen {
                    self.seen = state.version;
                    return Ok(());
                }
                if state.senders == 0 {
                    return Err(Closed);
                }
            }
            notified.await;
        }
    }

    /// Returns when the value satisfies `is_it`.
    pub(in crate::runtime) async fn wait_for(&mut self, is_it: impl Fn(&T) -> bool) -> Result<(), Closed> {
        loop {
            {
                let state = self.shared.lock();
                self.seen = state.version;
                if is_it(&state.value) {
                    return Ok(());
                }
            }
            self.changed().await?;
        }
    }
}

impl<T: Copy> Receiver<T> {
    /// The current value.
    pub(in crate::runtime) fn get(&self) -> T {
        self.shared.lock().value
    }
}

impl<T> Clone for Receiver<T> {
    fn clone(&self) -> Self {
        self.shared.receivers.fetch_add(1, Ordering::Relaxed);
        Self { shared: Arc::clone(&self.shared), seen: self.seen }
    }
}

impl<T> Drop for Receiver<T> {
    fn drop(&mut self) {
        self.shared.receivers.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Creates a value with a sender and a receiver.
pub(in crate::runtime) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
    let sender = Sender::new(value);
    let receiver = sender.subscribe();
    (sender, receiver)
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[tokio::test]
    async fn a_change_is_seen_once_and_the_end_too() {
        let (sender, mut receiver) = channel(1);
        sender.send_replace(2);
        assert_eq!(receiver.changed().await, Ok(()));
        assert_eq!(receiver.get(), 2);
        sender.send_modify(|value| *value += 1);
        receiver.mark_unchanged();
        let other = sender.clone();
        drop(sender);
        let waiting = tokio::spawn(async move { receiver.wait_for(|value| *value == 9).await });
        tokio::task::yield_now().await;
        assert_eq!(other.receiver_count(), 1);
        drop(other);
        assert_eq!(waiting.await.expect("it does not panic"), Err(Closed));
    }

    #[tokio::test]
    async fn those_who_wait_are_woken_in_the_order_in_which_they_came() {
        let sender = Sender::new(false);
        let order = Arc::new(Mutex::new(Vec::new()));
        let waiting: Vec<_> = (0..20)
            .map(|place| {
                let (mut receiver, order) = (sender.subscribe(), Arc::clone(&order));
                tokio::spawn(async move {
                    receiver.wait_for(|on| *on).await.expect("the sender lives");
                    order.lock().expect("nobody panics").push(place);
                })
            })
            .collect();
        tokio::task::yield_now().await;
        sender.send_replace(true);
        for waiter in waiting {
            waiter.await.expect("it does not panic");
        }
        assert_eq!(*order.lock().expect("nobody panics"), (0..20).collect::<Vec<_>>());
    }
}
