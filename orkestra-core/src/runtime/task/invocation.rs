//! One call of a task, running beside its driver.

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
/// behind: nothing can end it but its own return, and nobody hears what it says.
const DROP_WAIT: Duration = Duration::from_secs(5);

/// A running call. Dropping it drops the task's future at its next point of waiting.
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
            own.come_home();
            let result = seen.watch(panics::catch(work)).await;
            // A driver that is gone does not want to know: the attempt goes on wherever the run is driven next.
            drop(driver.send(Message::Ended { node, attempt, result }).await);
        });
        Self { attempt, activity, cancel, handle }
    }

    /// Tells the task that it should end.
    pub(in crate::runtime) fn ask_to_stop(&self) {
        self.cancel.send_replace(true);
    }

    /// Ends the calls and waits until their futures are gone, so that nothing of them acts beside a later attempt.
    pub(in crate::runtime) async fn end_all(invocations: Vec<Self>) {
        for invocation in &invocations {
            // First: what is dropped with the task is not let go by it.
            invocation.activity.end();
            invocation.handle.abort();
        }
        let all = async {
            for mut invocation in invocations {
                drop((&mut invocation.handle).await);
            }
        };
        if tokio::time::timeout(DROP_WAIT, all).await.is_err() {
            tracing::warn!("a task blocks its thread and was left behind");
        }
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        self.activity.end();
        self.handle.abort();
    }
}
