//! Background jobs that run as long as the engine does.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::runtime::support::panics;

/// The delay before a job that panicked is restarted.
const AFTER_PANIC: Duration = Duration::from_secs(1);

impl Shared {
    /// Runs `work` in the background until it returns. If it panics, it is restarted: the engine must not be left
    /// without it.
    pub(in crate::runtime) fn run_restarting<F, W>(self: &Arc<Self>, what: &'static str, work: F)
    where
        F: Fn(Arc<Self>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let shared = Arc::clone(self);
        self.jobs.spawn(async move {
            while let Err(panic) = panics::guard(work(Arc::clone(&shared))).await {
                tracing::error!(what, panic, "a background job panicked; it is restarted");
                tokio::select! {
                    biased;
                    () = shared.down() => return,
                    () = tokio::time::sleep(AFTER_PANIC) => {}
                }
            }
        });
    }
}
