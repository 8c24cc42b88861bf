//! Wraps the tasks of a user's workflow to inject failures and interruptions.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use orkestra_core::model::{Failure, Payload, RunId};
use orkestra_core::{Context, ErasedTask, TypeTag};
use tokio::sync::Notify;

/// What is injected into attempts.
pub(super) enum Injection {
    /// The first attempt of this node fails.
    Fail { node: String, failure: Failure },
    /// Every attempt is held back when it is about to end for the first time; see [`Held`].
    Hold(Arc<Held>),
}

/// The attempts that were held back at their end.
#[derive(Default)]
pub(super) struct Held {
    seen: Mutex<BTreeSet<(RunId, String, u32)>>,
    pub(super) news: Notify,
}

pub(super) struct InjectedTask {
    pub(super) task: Arc<dyn ErasedTask>,
    pub(super) injection: Arc<Injection>,
}

#[async_trait]
impl ErasedTask for InjectedTask {
    async fn call(&self, cx: Context, input: Payload) -> Result<Payload, Failure> {
        let (run, node, attempt) = (cx.run_id().clone(), cx.node().to_owned(), cx.attempt());
        match &*self.injection {
            Injection::Fail { node: failing, failure } if *failing == node && attempt == 1 => Err(failure.clone()),
            Injection::Fail { .. } => self.task.call(cx, input).await,
            Injection::Hold(held) => {
                let result = self.task.call(cx, input).await;
                if held.seen.lock().unwrap_or_else(PoisonError::into_inner).insert((run, node, attempt)) {
                    held.news.notify_one();
                    // Its result is lost with its process.
                    std::future::pending::<()>().await;
                }
                result
            }
        }
    }

    fn input(&self) -> TypeTag {
        self.task.input()
    }

    fn output(&self) -> TypeTag {
        self.task.output()
    }
}
