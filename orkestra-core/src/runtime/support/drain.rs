//! Counts running steps and stops new ones: a draining engine waits for the first and starts none of the second.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The running steps of one engine.
#[derive(Debug, Default)]
pub(in crate::runtime) struct Drain {
    steps: Mutex<Steps>,
    ended: Notify,
}

#[derive(Debug, Default)]
struct Steps {
    under_way: usize,
    draining: bool,
}

/// A running step, until it is dropped.
#[derive(Debug)]
pub(in crate::runtime) struct UnderWay(Arc<Drain>);

impl Drain {
    /// Starts a step, unless the engine is draining.
    pub(in crate::runtime) fn begin(self: &Arc<Self>) -> Option<UnderWay> {
        let mut steps = self.lock();
        if steps.draining {
            return None;
        }
        steps.under_way += 1;
        Some(UnderWay(Arc::clone(self)))
    }

    pub(in crate::runtime) fn is_draining(&self) -> bool {
        self.lock().draining
    }

    /// Lets no step start from now on; returns when none is running.
    pub(in crate::runtime) async fn empty(&self) {
        self.lock().draining = true;
        loop {
            let ended = self.ended.notified();
            if self.lock().under_way == 0 {
                return;
            }
            ended.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Steps> {
        self.steps.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut steps = self.0.lock();
        steps.under_way -= 1;
        if steps.draining && steps.under_way == 0 {
            self.0.ended.notify_waiters();
        }
    }
}
