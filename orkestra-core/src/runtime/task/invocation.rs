//! One call of a task, running in its own tokio task.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::model::{Failure, Name, Payload};

use super::activity::Activity;
use super::message::Message;
use crate::runtime::support::panics;
use crate::runtime::support::watch;
use crate::runtime::telemetry::Attempt;

/// How long an ended driver waits for the futures of its tasks to be dropped. A task that blocks its thread is left
/// behind: it ends only by returning, and its result is ignored.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// A running call. Dropping it drops the task's future at its next await point.
#[derive(Debug)]
pub(in crate::runtime) struct Invocation {
    pub(in crate::runtime) attempt: u32,
    pub(in crate::runtime) activity: Arc<Activity>,
    cancel: watch::Sender<bool>,
    handle: JoinHandle<()>,
}

impl Invocation {
    pub(in crate::runtime) fn spawn(
        node: Name,
        attempt: u32,
        activity: Arc<Activity>,
        cancel: watch::Sender<bool>,
        driver: mpsc::Sender<Message>,
        seen: Attempt,
        work: impl Future<Output = Result<Payload, Failure>> + Send + 'static,
    ) -> Self {
        let own = Arc::clone(&activity);
        let handle = tokio::spawn(async move {
            own.bind_to_task();
            let result = seen.watch(panics::catch(work)).await;
            // A driver that is gone does not need the result: the attempt continues wherever the run is driven next.
            drop(driver.send(Message::Ended { node, attempt, result }).await);
        });
        Self { attempt, activity, cancel, handle }
    }

    /// Asks the task to stop.
    pub(in crate::runtime) fn ask_to_stop(&self) {
        self.cancel.send_replace(true);
    }

    /// Ends the calls and waits until their futures are dropped, so that none of them acts concurrently with a later
    /// attempt.
    pub(in crate::runtime) async fn end_all(invocations: Vec<Self>) {
        for invocation in &invocations {
            // IMPORTANT: first, so that waits dropped with the task are not withdrawn.
            invocation.activity.end();
            invocation.handle.abort();
        }
        let all = async {
            for mut invocation in invocations {
                drop((&mut invocation.handle).await);
            }
        };
        if tokio::time::timeout(DROP_WAIT, all).await.is_err() {
            tracing::warn!("a task blocks its thread; it was left behind");
        }
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.activity.end();
        self.handle.abort();
    }
}
