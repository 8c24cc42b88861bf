//! What goes on beside the runs for as long as the engine does.

use std::sync::Arc;
use std::time::Duration;

use super::Shared;
use crate::runtime::support::panics;

/// The delay before a task is begun anew that panicked.
const AFTER_PANIC: Duration = Duration::from_secs(1);

impl Shared {
    /// Does `work` beside the runs until it returns. One that panics is begun anew: it must not leave the engine without it.
    pub(in crate::runtime) fn keep_doing<F, W>(self: &Arc<Self>, what: &'static str, work: F)
    where
        F: Fn(Arc<Self>) -> W + Send + 'static,
        W: Future<Output = ()> + Send,
    {
        let shared = Arc::clone(self);
        self.jobs.spawn(async move {
            while let Err(panic) = panics::guard(work(Arc::clone(&shared))).await {
                tracing::error!(what, panic, "a task of the engine panicked, it is begun anew");
                tokio::select! {
                    biased;
                    () = shared.down() => return,
                    () = tokio::time::sleep(AFTER_PANIC) => {}
                }
            }
        });
    }
}
