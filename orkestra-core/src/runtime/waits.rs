//! What a task can wait for, and how it starts work beside its own: timers, signals, questions, other runs, growth, maps.
//!
//! A task that only waits is dropped from memory after a while and called again when its wait is over: its steps are
//! remembered, everything else is done anew.

use std::future::Future;
use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::TaskRequest;
use crate::model::{Growth, Name, Payload, Timestamp};

use super::child::child_id;
use super::context::Context;
use super::task::{TaskError, TaskResult};

impl Context {
    /// Waits for a while. Durable: the wait goes on over crashes, its end does not move.
    ///
    /// # Errors
    /// When the engine cannot write the wait down.
    pub async fn sleep(&self, duration: Duration) -> TaskResult<()> {
        self.sleep_until(self.clock().now().saturating_add(duration)).await
    }

    /// Waits until a point in time, as [`sleep`](Self::sleep) does. A point that has passed is no wait.
    ///
    /// # Errors
    /// When the engine cannot write the wait down.
    pub async fn sleep_until(&self, due: Timestamp) -> TaskResult<()> {
        let step = self.unique("sleep".into());
        self.settle(step.clone(), || TaskRequest::Sleep { step, due }).await.map(drop)
    }

    /// Waits for the signal `name` and takes it. Durable: it is taken once, and remembered.
    ///
    /// # Errors
    /// When the signal's payload is no `T`, or the engine cannot write the wait down.
    pub async fn signal<T: DeserializeOwned>(&self, name: &str) -> TaskResult<T> {
        let signal = Name::new(name)?;
        let step = self.unique(format!("signal:{signal}"));
        let payload = self.settle(step.clone(), || TaskRequest::AwaitSignal { step, signal }).await?;
        Ok(payload.to()?)
    }

    /// Asks somebody outside and waits for the answer, for days if need be. Durable: the question is asked once, and its
    /// answer remembered. Whoever reads the run's events sees a `QuestionAsked`; its position is the question's id, for
    /// [`Run::answer`](crate::Run::answer).
    ///
    /// # Errors
    /// When the question does not serialise, the answer is no `T`, or the engine cannot write the question down.
    pub async fn ask<T: DeserializeOwned>(&self, question: impl Serialize) -> TaskResult<T> {
        let question = self.keep(Payload::large(&question)?).await?;
        let step = self.unique("ask".into());
        let answer = self.settle(step.clone(), || TaskRequest::Ask { step, question }).await?;
        Ok(answer.to()?)
    }

    /// Starts a run of the registered workflow `workflow` and waits for its output; once, however often the task is
    /// called. The other run's id begins with this run, node and `key`, and is this request's alone; it is found in
    /// [`RunView`](crate::projection::RunView) and by [`RunQuery::parent`](crate::store::RunQuery::parent). It is cancelled
    /// when this node ends before it, also when it has not begun yet. Its spending counts for this run too. The wait
    /// outlives an attempt: the next one that asks with the same key gets the same run.
    ///
    /// # Errors
    /// Of kind `child_failed`, `child_cancelled`, `child_terminated` or `child_timed_out`, permanent, when the other run
    /// ended like that; of kind `child_not_started` when it could not be started, or when a run with its id is there that
    /// this request did not ask for; when its output is no `T`.
    pub async fn child<T: DeserializeOwned>(&self, key: &str, workflow: &str, input: impl Serialize) -> TaskResult<T> {
        let (workflow, input) = (Name::new(workflow)?, self.keep(Payload::large(&input)?).await?);
        let step = self.unique(format!("child:{key}"));
        let child = child_id(self, &step)?;
        let output = self.settle(step.clone(), || TaskRequest::Child { step, child, workflow, input }).await?;
        Ok(output.to()?)
    }

    /// Adds nodes and edges to the run's graph; once, however often the task is called. New nodes name tasks that the
    /// engine knows; those that wait for nothing start at once.
    ///
    /// # Errors
    /// When the growth does not fit the graph: an unknown or repeated name, a cycle, an edge into a node that has
    /// started. The graph is as it was then.
    pub async fn grow(&self, key: &str, growth: Growth) -> TaskResult<()> {
        let step = self.unique(format!("grow:{key}"));
        self.settle(step.clone(), || TaskRequest::Grow { step, growth }).await.map(drop)
    }

    /// Does `work` for each of `items`, at most `at_once` of them at a time, each as a memoised step named `key[n]`.
    /// Results are in the order of the items. The first error ends it; items that are done stay done.
    ///
    /// # Errors
    /// Those of the work, of the first item that fails.
    pub async fn map<I, T, E, F, Fut>(&self, key: &str, at_once: usize, items: I, work: F) -> TaskResult<Vec<T>>
    where
        I: IntoIterator,
        I::IntoIter: Send,
        I::Item: Clone + Send + Sync,
        F: Fn(I::Item) -> Fut + Send + Sync,
        Fut: Future<Output = Result<T, E>> + Send,
        T: Serialize + DeserializeOwned + Send,
        E: Into<TaskError>,
    {
        let work = &work;
        let one = |(place, item): (usize, I::Item)| async move {
            self.step(format!("{key}[{place}]"), || work(item.clone())).await
        };
        // All at once in memory: the order in which keys are given must be the order of the items.
        let items: Vec<_> = items.into_iter().enumerate().map(one).collect();
        stream::iter(items).buffered(at_once.max(1)).try_collect().await
    }

    /// Runs the registered workflow `workflow` for each of `items`, at most `at_once` of them at a time, each as a child
    /// run with the key `key[n]`: they can be driven by other engines on the same store. Outputs are in the order of the
    /// items. The first error ends it.
    ///
    /// # Errors
    /// As [`child`](Self::child).
    pub async fn map_runs<I, T>(&self, key: &str, at_once: usize, workflow: &str, items: I) -> TaskResult<Vec<T>>
    where
        I: IntoIterator,
        I::Item: Serialize + Send,
        T: DeserializeOwned + Send,
    {
        let one = |(place, item): (usize, I::Item)| async move {
            self.child(&format!("{key}[{place}]"), workflow, item).await
        };
        let items: Vec<_> = items.into_iter().enumerate().map(one).collect();
        stream::iter(items).buffered(at_once.max(1)).try_collect().await
    }
}
