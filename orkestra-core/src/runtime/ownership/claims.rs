//! Claims and releases of many runs, in batches: while one call of the store is in progress, new ones wait for the
//! next. A store on the network is called once for a thousand runs that start, not a thousand times.

use std::collections::HashSet;
use std::future::Future;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::model::limits::{COMMITTER_QUEUE_MAX, READ_COMMITS_MAX};
use crate::model::{RunId, WorkerId};
use crate::store::{Claimed, Lease, Store, StoreError, StoreErrorKind};

use crate::runtime::clock::Clock;
use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::panics;
use crate::runtime::support::timeout::Timeout;
use crate::runtime::support::watch;

/// The first delay before a failed release is repeated; it grows. A lease that is not released blocks the run until it
/// expires.
const RELEASE_AGAIN: Duration = Duration::from_millis(10);
/// After a longer delay than this, the lease is left to expire.
const RELEASE_AGAIN_MAX: Duration = Duration::from_millis(160);

type Answer<T> = oneshot::Sender<Result<T, StoreError>>;

/// The handle to the task that claims runs. The task ends when it is told to, or when the last handle is dropped.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Claims(mpsc::Sender<Wanted>);

#[derive(Debug)]
enum Wanted {
    Claim(RunId, Answer<Option<Claimed>>),
    Release(Lease, Answer<()>),
}

impl Claims {
    /// Starts the task as one of `jobs`. It ends when `stopped` is true and all requests are answered.
    pub(in crate::runtime) fn start(jobs: &Jobs, claimer: Claimer, stopped: watch::Receiver<bool>) -> Self {
        let (sender, receiver) = mpsc::channel(COMMITTER_QUEUE_MAX);
        jobs.spawn(claimer.claim_all(receiver, stopped));
        Self(sender)
    }

    /// Claims the right to drive `run`; `None` if another engine owns it.
    pub(in crate::runtime) async fn claim(&self, run: &RunId) -> Result<Option<Claimed>, StoreError> {
        self.ask(|answer| Wanted::Claim(run.clone(), answer)).await
    }

    /// Releases a lease.
    pub(in crate::runtime) async fn release(&self, lease: Lease) -> Result<(), StoreError> {
        let mut delay = RELEASE_AGAIN;
        loop {
            let released = self.ask(|answer| Wanted::Release(lease.clone(), answer)).await;
            if released.is_ok() || delay > RELEASE_AGAIN_MAX {
                return released;
            }
            tokio::time::sleep(delay).await;
            delay *= 4;
        }
    }

    async fn ask<T>(&self, wanted: impl FnOnce(Answer<T>) -> Wanted) -> Result<T, StoreError> {
        let (sender, answer) = oneshot::channel();
        // If the task has ended, the answer's sender is dropped.
        drop(self.0.send(wanted(sender)).await);
        answer.await.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Io, "the engine has shut down")))
    }
}

/// The task that claims runs, and its parameters.
pub(in crate::runtime) struct Claimer {
    pub(in crate::runtime) store: Arc<dyn Store>,
    pub(in crate::runtime) clock: Arc<dyn Clock>,
    pub(in crate::runtime) worker: WorkerId,
    /// How long a lease lasts.
    pub(in crate::runtime) lasts: Duration,
    /// Limits a call, because one that hangs delays all later ones.
    pub(in crate::runtime) timeout: Timeout,
}

/// The requests of one call.
#[derive(Default)]
struct Batch {
    runs: Vec<RunId>,
    claims: Vec<Answer<Option<Claimed>>>,
    leases: Vec<Lease>,
    releases: Vec<Answer<()>>,
    named: HashSet<RunId>,
}

impl Batch {
    /// Adds a request, unless the batch already has one for the same run.
    fn add(&mut self, wanted: Wanted) -> Result<(), Wanted> {
        let run = match &wanted {
            Wanted::Claim(run, _) => run,
            Wanted::Release(lease, _) => &lease.run,
        };
        if !self.named.insert(run.clone()) {
            return Err(wanted);
        }
        match wanted {
            Wanted::Claim(run, answer) => {
                self.runs.push(run);
                self.claims.push(answer);
            }
            Wanted::Release(lease, answer) => {
                self.leases.push(lease);
                self.releases.push(answer);
            }
        }
        Ok(())
    }
}

impl Claimer {
    async fn claim_all(self, mut queue: mpsc::Receiver<Wanted>, mut stopped: watch::Receiver<bool>) {
        let mut left_over = None;
        loop {
            let first = match left_over.take() {
                Some(wanted) => Some(wanted),
                None => tokio::select! {
                    biased;
                    wanted = queue.recv() => wanted,
                    _ = stopped.wait_for(|stopped| *stopped) => None,
                },
            };
            let Some(first) = first else { return };
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(wanted) = next {
                if let Err(again) = batch.add(wanted) {
                    left_over = Some(again);
                    break;
                }
                next = if batch.named.len() < READ_COMMITS_MAX { queue.try_recv().ok() } else { None };
            }
            self.ask(batch).await;
        }
    }

    /// Receivers may have stopped waiting: a lease that is not used expires.
    async fn ask(&self, mut batch: Batch) {
        if !batch.leases.is_empty() {
            let released = self.guarded(self.store.release(&batch.leases)).await;
            batch.releases.drain(..).for_each(|answer| drop(answer.send(released.clone())));
        }
        if batch.runs.is_empty() {
            return;
        }
        let now = self.clock.now();
        let claim = self.store.claim(&batch.runs, &self.worker, now, now.saturating_add(self.lasts));
        let claimed = self.guarded(claim).await;
        let answers = mem::take(&mut batch.claims).into_iter();
        match claimed {
            Ok(claimed) => answers.zip(claimed).for_each(|(answer, claimed)| drop(answer.send(Ok(claimed)))),
            Err(error) => answers.for_each(|answer| drop(answer.send(Err(error.clone())))),
        }
    }
    /// A call that panics has failed, like one that is not answered in time.
    async fn guarded<T>(&self, call: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let panicked = |panic| StoreError::new(StoreErrorKind::Io, format!("the store panicked: {panic}"));
        panics::guard(self.timeout.call(call)).await.unwrap_or_else(|panic| Err(panicked(panic)))
    }
}
