//! The tokio tasks of an engine: spawned on the runtime that it was started on, and counted, so that a shutdown knows
//! when the last of them has dropped the store.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use super::watch;

/// Jobs that are counted together.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Jobs {
    runtime: Handle,
    count: watch::Sender<usize>,
}

struct Counted(watch::Sender<usize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

impl Jobs {
    /// An empty set of jobs on the current runtime.
    pub(in crate::runtime) fn here() -> Self {
        Self { runtime: Handle::current(), count: watch::Sender::new(0) }
    }

    /// Spawns a task on the engine's runtime, wherever the caller runs. If that runtime is gone, the task is dropped at
    /// once.
    pub(in crate::runtime) fn spawn<F>(&self, work: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        self.runtime.spawn(self.counted(work))
    }

    /// The same work, counted until it has ended and is dropped.
    pub(in crate::runtime) fn counted<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        self.count.send_modify(|count| *count += 1);
        let counted = Counted(self.count.clone());
        async move {
            // IMPORTANT: the work and everything it holds is dropped before the count goes down.
            let output = work.await;
            drop(counted);
            output
        }
    }

    /// Returns when all have ended.
    pub(in crate::runtime) async fn idle(&self) {
        // An error is impossible: the sender is a field of `self`.
        drop(self.count.subscribe().wait_for(|count| *count == 0).await);
    }
}
