//! Group commit: while one durable write is under way, the commits of all runs gather for the next.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::model::limits::{BATCH_BYTES_MAX, BATCH_COMMITS_MAX, COMMITTER_QUEUE_MAX};
use crate::store::{Append, AppendError, Store};

use super::telemetry::Commits;
use super::timeout::{SILENT, Timeout};

pub(super) type Ack = oneshot::Receiver<Result<(), AppendError>>;

/// The way to the committer. Cheap to clone; the committer ends when the last one is gone.
#[derive(Clone, Debug)]
pub(super) struct Committer(mpsc::Sender<Waiting>);

#[derive(Debug)]
struct Waiting {
    append: Append,
    ack: oneshot::Sender<Result<(), AppendError>>,
    since: Instant,
}

impl Committer {
    pub(super) fn start(store: Arc<dyn Store>, timeout: Timeout, seen: Commits) -> Self {
        let (sender, receiver) = mpsc::channel(COMMITTER_QUEUE_MAX);
        tokio::spawn(commit_all(store, timeout, receiver, seen));
        Self(sender)
    }

    /// Hands a commit over. Commits of one caller are written in the order in which they are handed over.
    pub(super) async fn submit(&self, append: Append) -> Ack {
        let (ack, acknowledged) = oneshot::channel();
        // A committer that is gone drops the other end: the caller sees that as an unknown outcome.
        drop(self.0.send(Waiting { append, ack, since: Instant::now() }).await);
        acknowledged
    }

    /// How many commits wait for those under way.
    pub(super) fn waiting(&self) -> usize {
        self.0.max_capacity() - self.0.capacity()
    }
}

async fn commit_all(store: Arc<dyn Store>, timeout: Timeout, mut queue: mpsc::Receiver<Waiting>, seen: Commits) {
    while let Some(first) = queue.recv().await {
        let mut bytes = first.append.commit.body.len();
        let (mut batch, mut acks) = (vec![first.append], vec![(first.ack, first.since)]);
        while batch.len() < BATCH_COMMITS_MAX && bytes < BATCH_BYTES_MAX {
            let Ok(next) = queue.try_recv() else { break };
            bytes += next.append.commit.body.len();
            batch.push(next.append);
            acks.push((next.ack, next.since));
        }
        let (commits, began) = (batch.len(), Instant::now());
        let results = timeout.wait(store.append(batch)).await;
        let results = results.unwrap_or_else(|| vec![Err(AppendError::Unknown(SILENT.into())); commits]);
        seen.wrote(commits, bytes, began.elapsed());
        debug_assert_eq!(results.len(), acks.len(), "a store answers every commit");
        for ((ack, since), result) in acks.into_iter().zip(results) {
            seen.answered(&result, since.elapsed());
            // A driver that is gone needs no answer: its run is loaded from the journal next time.
            drop(ack.send(result));
        }
    }
}
