//! Gathers the commits of many writers like the engine's committer: during one write, those for the next. Writes them to a store,
//! or to a plain file for comparison.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use orkestra::model::limits::{BATCH_BYTES_MAX, BATCH_COMMITS_MAX, COMMITTER_QUEUE_MAX};
use orkestra::store::{Append, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::BenchResult;

/// Where commits go.
#[derive(Clone)]
pub(crate) enum Into {
    Store(Arc<dyn Store>),
    File(Arc<File>),
}

impl Into {
    /// Writes a batch with one sync.
    pub(crate) async fn write(&self, batch: Vec<Append>) -> BenchResult {
        match self {
            Self::Store(store) => store.append(batch).await.into_iter().try_for_each(|answer| Ok(answer?)),
            Self::File(file) => {
                let file = Arc::clone(file);
                let write = move || {
                    let bytes: Vec<_> = batch.iter().flat_map(|append| append.commit.body.iter().copied()).collect();
                    (&*file).write_all(&bytes)?;
                    file.sync_data()
                };
                Ok(tokio::task::spawn_blocking(write).await??)
            }
        }
    }
}

type Waiting = (Append, oneshot::Sender<()>);

/// The handle to a gatherer.
#[derive(Clone)]
pub(crate) struct Gatherer(mpsc::Sender<Waiting>);

impl Gatherer {
    /// Starts a gatherer. Once all handles are dropped, it returns the number of batches.
    pub(crate) fn start(into: Into) -> (Self, JoinHandle<BenchResult<u32>>) {
        let (sender, receiver) = mpsc::channel(COMMITTER_QUEUE_MAX);
        (Self(sender), tokio::spawn(gather(into, receiver)))
    }

    /// Returns when the commit is durable.
    pub(crate) async fn write(&self, append: Append) -> BenchResult {
        let (ack, acknowledged) = oneshot::channel();
        self.0.send((append, ack)).await.map_err(|_| "an earlier write failed")?;
        Ok(acknowledged.await?)
    }
}

async fn gather(into: Into, mut queue: mpsc::Receiver<Waiting>) -> BenchResult<u32> {
    let mut batches = 0;
    while let Some((first, ack)) = queue.recv().await {
        let mut bytes = first.commit.body.len();
        let (mut batch, mut acks) = (vec![first], vec![ack]);
        while batch.len() < BATCH_COMMITS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok((next, ack)) = queue.try_recv() else { break };
            bytes += next.commit.body.len();
            batch.push(next);
            acks.push(ack);
        }
        into.write(batch).await?;
        batches += 1;
        for ack in acks {
            // A writer that is gone has failed and reports that itself.
            let _ = ack.send(());
        }
    }
    Ok(batches)
}
