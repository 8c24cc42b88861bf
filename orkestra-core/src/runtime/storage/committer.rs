//! Group commit: while one durable write is in progress, the commits of all runs gather for the next.
//!
//! ```text
//! queue ──► batch ──► store ──► Ok, or a final error ──► the run's driver
//!   ▲         ▲         │ failed, or outcome unknown
//!   │         └─ backlog of the run: the same commits again, in order, after a growing delay
//!   └─ later commits of the run wait behind them
//! ```
//!
//! It must never write the commits of one run out of order, and never change one that is written again: the store
//! answers `Ok` for a commit that already exists.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::model::limits::{BATCH_BYTES_MAX, BATCH_COMMITS_MAX, COMMITTER_QUEUE_MAX, STORE_PATIENCE};
use crate::model::{RunId, Seq};
use crate::store::{Append, AppendError, Store, StoreErrorKind};

use crate::runtime::support::jobs::Jobs;
use crate::runtime::support::panics;
use crate::runtime::support::timeout::{SILENT, Timeout};
use crate::runtime::support::watch;
use crate::runtime::telemetry::Commits;

/// The first delay before a failed write is repeated; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The longest such delay: how late a run may notice that its store works again.
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);

pub(in crate::runtime) type Ack = oneshot::Receiver<Result<(), AppendError>>;

/// The handle of the committer. Cheap to clone. The committer ends when it is told to, or when the last handle is
/// dropped.
#[derive(Clone, Debug)]
pub(in crate::runtime) struct Committer {
    queue: mpsc::Sender<Waiting>,
    /// How many commits are being written again.
    failing: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Waiting {
    append: Append,
    ack: oneshot::Sender<Result<(), AppendError>>,
    since: Instant,
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.append.commit.body.len()
    }
}

/// The commits of a run whose oldest one is being written again.
#[derive(Debug)]
struct Backlog {
    commits: VecDeque<Waiting>,
    /// When the first write of them failed.
    since: Instant,
    delay: Duration,
    due: Instant,
}

impl Committer {
    /// Starts the committer as one of `jobs`. It ends when `stopped` is true and everything submitted is written.
    pub(in crate::runtime) fn start(
        jobs: &Jobs,
        store: Arc<dyn Store>,
        timeout: Timeout,
        seen: Commits,
        stopped: watch::Receiver<bool>,
    ) -> Self {
        let (queue, receiver) = mpsc::channel(COMMITTER_QUEUE_MAX);
        let failing = Arc::default();
        let writer = Writer { store, timeout, seen, backlogs: BTreeMap::new(), failing: Arc::clone(&failing) };
        jobs.spawn(writer.commit_all(receiver, stopped));
        Self { queue, failing }
    }

    /// Submits a commit. Commits of one caller are written in the order in which they are submitted.
    pub(in crate::runtime) async fn submit(&self, append: Append) -> Ack {
        let (ack, acknowledged) = oneshot::channel();
        // If the committer has ended, the sender is dropped: the caller sees an unknown outcome.
        drop(self.queue.send(Waiting { append, ack, since: Instant::now() }).await);
        acknowledged
    }

    /// How many commits wait for the write in progress.
    pub(in crate::runtime) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity() + self.failing()
    }

    /// How many of them wait because a write of their run failed.
    pub(in crate::runtime) fn failing(&self) -> usize {
        self.failing.load(Ordering::Relaxed)
    }
}

struct Writer {
    store: Arc<dyn Store>,
    timeout: Timeout,
    seen: Commits,
    backlogs: BTreeMap<RunId, Backlog>,
    failing: Arc<AtomicUsize>,
}

/// The contents of one durable write.
#[derive(Default)]
struct Batch {
    commits: Vec<Waiting>,
    bytes: usize,
}

impl Batch {
    fn has_space(&self) -> bool {
        self.commits.len() < BATCH_COMMITS_MAX && self.bytes < BATCH_BYTES_MAX
    }

    fn push(&mut self, waiting: Waiting) {
        self.bytes += waiting.bytes();
        self.commits.push(waiting);
    }
}

impl Writer {
    async fn commit_all(mut self, mut queue: mpsc::Receiver<Waiting>, mut stopped: watch::Receiver<bool>) {
        loop {
            self.forget_abandoned();
            let due = self.backlogs.values().map(|backlog| backlog.due).min();
            let first = tokio::select! {
                biased;
                next = queue.recv() => match next {
                    Some(next) => Some(next),
                    None => return,
                },
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => None,
                // Drivers have left before `stopped` is set: what still fails is not waited for.
                _ = stopped.wait_for(|stopped| *stopped) => return,
            };
            let batch = self.gather(first, &mut queue);
            if !batch.commits.is_empty() {
                self.write(batch).await;
            }
        }
    }

    /// Drops commits whose receiver is gone: its driver has lost the run or given it up.
    fn forget_abandoned(&mut self) {
        self.backlogs.retain(|_, backlog| {
            backlog.commits.retain(|waiting| !waiting.ack.is_closed());
            !backlog.commits.is_empty()
        });
        let failing = self.backlogs.values().map(|backlog| backlog.commits.len()).sum();
        self.failing.store(failing, Ordering::Relaxed);
    }

    /// Failed commits come first, then new ones. New commits of a run with a backlog go behind it.
    fn gather(&mut self, first: Option<Waiting>, queue: &mut mpsc::Receiver<Waiting>) -> Batch {
        let (mut batch, now) = (Batch::default(), Instant::now());
        for backlog in self.backlogs.values_mut().filter(|backlog| backlog.due <= now) {
            while batch.has_space()
                && let Some(waiting) = backlog.commits.pop_front()
            {
                batch.push(waiting);
            }
        }
        let mut next = first;
        while let Some(waiting) = next {
            match self.backlogs.get_mut(&waiting.append.commit.run) {
                Some(backlog) => backlog.commits.push_back(waiting),
                None => batch.push(waiting),
            }
            next = if batch.has_space() { queue.try_recv().ok() } else { None };
        }
        batch
    }

    async fn write(&mut self, batch: Batch) {
        let Batch { commits: waiting, bytes } = batch;
        let appends: Vec<_> = waiting.iter().map(|waiting| waiting.append.clone()).collect();
        let (commits, began) = (appends.len(), Instant::now());
        let written = panics::guard(self.timeout.wait(self.store.append(appends))).await;
        let unknown = |why: String| vec![Err(AppendError::Unknown(why)); commits];
        let mut results = match written {
            Ok(Some(results)) => results,
            Ok(None) => unknown(SILENT.into()),
            Err(panic) => unknown(format!("the store panicked: {panic}")),
        };
        self.seen.wrote(commits, bytes, began.elapsed());
        // A store must answer every commit. If one is not answered, its outcome is unknown.
        results.resize(commits, Err(AppendError::Unknown("the store did not answer for this commit".into())));
        self.sort(waiting, results);
    }

    /// Answers final results; other commits are written again, together with the later ones of the same run.
    fn sort(&mut self, waiting: Vec<Waiting>, results: Vec<Result<(), AppendError>>) {
        let mut again: BTreeMap<RunId, (AppendError, Vec<Waiting>)> = BTreeMap::new();
        let mut settled = Vec::new();
        for (waiting, result) in waiting.into_iter().zip(results) {
            let run = &waiting.append.commit.run;
            match (again.get_mut(run), result) {
                (Some((_, behind)), _) => behind.push(waiting),
                (None, Err(error)) if is_passing(&error, waiting.append.commit.first) => {
                    self.seen.refused(&error);
                    again.insert(run.clone(), (error, vec![waiting]));
                }
                (None, result) => {
                    settled.push(run.clone());
                    self.answer(waiting, result);
                }
            }
        }
        for run in settled {
            // The store works again: the rest of the backlog is written at once.
            match self.backlogs.get_mut(&run) {
                Some(backlog) if backlog.commits.is_empty() && !again.contains_key(&run) => {
                    self.backlogs.remove(&run);
                }
                Some(backlog) => {
                    let now = Instant::now();
                    (backlog.since, backlog.delay, backlog.due) = (now, AGAIN_AFTER, now);
                }
                None => {}
            }
        }
        for (run, (error, commits)) in again {
            self.put_back(run, &error, commits);
        }
    }

    /// Keeps commits for another try, or gives them up after [`STORE_PATIENCE`].
    fn put_back(&mut self, run: RunId, error: &AppendError, commits: Vec<Waiting>) {
        let now = Instant::now();
        let new = || Backlog { commits: VecDeque::new(), since: now, delay: AGAIN_AFTER, due: now };
        let mut backlog = self.backlogs.remove(&run).unwrap_or_else(new);
        commits.into_iter().rev().for_each(|waiting| backlog.commits.push_front(waiting));
        if backlog.since.elapsed() >= STORE_PATIENCE {
            tracing::error!(%run, %error, "giving up a write that keeps failing");
            backlog.commits.drain(..).for_each(|waiting| self.answer(waiting, Err(error.clone())));
            return;
        }
        tracing::warn!(%run, %error, commits = backlog.commits.len(), "a write failed; trying again");
        backlog.due = now + backlog.delay;
        backlog.delay = (backlog.delay * 2).min(AGAIN_AFTER_MAX);
        self.backlogs.insert(run, backlog);
    }

    fn answer(&self, waiting: Waiting, result: Result<(), AppendError>) {
        self.seen.answered(&result, waiting.since.elapsed());
        // A driver that is gone needs no answer: its run is read from the journal next time.
        drop(waiting.ack.send(result));
    }
}

/// Whether the same commit may be written again. A conflict with a journal that ends right before the commit is a
/// contradiction, so it may.
fn is_passing(error: &AppendError, first: Seq) -> bool {
    match error {
        AppendError::Failed(error) => matches!(error.kind(), StoreErrorKind::Io | StoreErrorKind::Busy),
        AppendError::Unknown(_) => true,
        AppendError::Conflict { last } => last.plus(1) == first,
        AppendError::Fenced { .. } => false,
    }
}
