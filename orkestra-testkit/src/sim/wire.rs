//! Writes that are not durable yet and that a crash may lose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{Append, AppendError, RunRecord, Store};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Bug;
use super::world::{Kind, Process, World, lock};

type Answers = Vec<Result<(), AppendError>>;

/// All writes that are not durable yet, in the order in which they arrived.
#[derive(Default)]
pub(super) struct Wire {
    pending: BTreeMap<u64, PendingWrite>,
    sent: u64,
    /// When the last batch becomes durable that was acknowledged too early; these batches keep their order.
    head: Option<Instant>,
}

/// One batch that is not durable yet.
struct PendingWrite {
    from: Arc<Process>,
    batch: Vec<Append>,
    /// For each commit: which incarnation of its run existed when it was sent.
    incarnations: Vec<usize>,
    reply: oneshot::Sender<Answers>,
    /// Whether the store has already acknowledged it, which only a store with [`Bug::AckBeforeSync`] does.
    acknowledged: bool,
}

impl Wire {
    fn add(&mut self, pending_write: PendingWrite, mut landing: Instant) -> (u64, Instant) {
        if pending_write.acknowledged {
            landing = self.head.map_or(landing, |head| landing.max(head + Duration::from_millis(1)));
            self.head = Some(landing);
        }
        self.sent += 1;
        self.pending.insert(self.sent, pending_write);
        (self.sent, landing)
    }
}

impl World {
    /// Sends a batch. It becomes durable, and is answered, after `millis` milliseconds, whatever happens to its sender.
    pub(super) async fn send(
        self: &Arc<Self>,
        from: &Arc<Process>,
        batch: Vec<Append>,
        millis: u64,
    ) -> oneshot::Receiver<Answers> {
        let (reply, mut answer) = oneshot::channel();
        let acknowledged = self.bug == Some(Bug::AckBeforeSync);
        let incarnations = batch.iter().map(|append| self.audit().incarnation(&append.commit.run)).collect();
        let mut pending_write = PendingWrite { from: Arc::clone(from), batch, incarnations, reply, acknowledged };
        if acknowledged {
            let answers = self.write(pending_write.batch.clone()).await;
            let mut written = answers.iter();
            pending_write.batch.retain(|_| written.next().is_some_and(Result::is_ok));
            let (early, acknowledged) = oneshot::channel();
            drop(early.send(answers));
            answer = acknowledged;
        }
        let (id, landing) = lock(&self.wire).add(pending_write, Instant::now() + Duration::from_millis(millis));
        let world = Arc::clone(self);
        tokio::spawn(async move {
            tokio::time::sleep_until(landing).await;
            world.land(id, usize::MAX).await;
        });
        answer
    }

    /// Makes the first `commits` commits of a batch durable.
    async fn land(&self, id: u64, commits: usize) {
        let Some(pending_write) = lock(&self.wire).pending.remove(&id) else { return };
        let PendingWrite { mut batch, incarnations, reply, acknowledged, .. } = pending_write;
        batch.truncate(commits);
        // NOTE: a write that arrives after its run was deleted could create it again, which no store can detect, see
        // docs/limits.md. The simulator drops such writes.
        let was_deleted =
            |(append, incarnation): (&Append, &usize)| self.audit().incarnation(&append.commit.run) > *incarnation;
        let late: Vec<bool> = batch.iter().zip(&incarnations).map(was_deleted).collect();
        let mut rest = late.iter();
        batch.retain(|_| !rest.next().is_some_and(|late| *late));
        let mut answers = if acknowledged { vec![Ok(()); batch.len()] } else { self.write(batch.clone()).await };
        for (append, answer) in batch.iter().zip(&answers) {
            let Append { commit, record, .. } = append;
            self.note(format_args!("disk {} {}..{} {:?}", commit.run, commit.first, commit.last, answer));
            if answer.is_ok() {
                self.audit().durable(commit, record.as_ref());
            }
        }
        for (place, _) in late.iter().enumerate().filter(|(_, late)| **late) {
            answers.insert(place.min(answers.len()), Err(AppendError::Unknown("its run was deleted meanwhile".into())));
        }
        // The receiver is gone if the sender has died or was answered before.
        drop(reply.send(answers));
    }

    async fn write(&self, batch: Vec<Append>) -> Answers {
        let mut answers = self.disk.append(batch.clone()).await;
        if self.bug == Some(Bug::NoFenceCheck) {
            for (append, answer) in batch.into_iter().zip(&mut answers) {
                if let Err(AppendError::Fenced { held }) = *answer {
                    let commit = Written { epoch: held, ..append.commit };
                    *answer = self.disk.append(vec![Append { commit, ..append }]).await.remove(0);
                }
            }
        }
        answers
    }

    /// Simulates a power failure: some of the first pending writes become durable, the rest is lost. With `of`, only that process
    /// dies: its pending writes to a shared store may still become durable later.
    pub(super) async fn lose_writes(&self, of: Option<&Arc<Process>>) {
        let outlives = of.is_some() && self.kind == Kind::Shared;
        let ids: Vec<u64> = {
            let wire = lock(&self.wire);
            let theirs = wire
                .pending
                .iter()
                .filter(|(_, pending_write)| of.is_none_or(|of| Arc::ptr_eq(of, &pending_write.from)));
            theirs.filter(|(_, pending_write)| !(outlives && pending_write.acknowledged)).map(|(id, _)| *id).collect()
        };
        let landed = self.draw(|chance| chance.below(ids.len() + 1));
        for (index, id) in ids.into_iter().enumerate() {
            if index < landed && outlives {
                continue;
            }
            let commits = if index < landed { usize::MAX } else { 0 };
            let part = if index == landed && !outlives { self.draw(|chance| chance.below(3)) } else { commits };
            self.lose_after(id, part).await;
        }
    }

    async fn lose_after(&self, id: u64, commits: usize) {
        let lost = {
            let wire = lock(&self.wire);
            let acknowledged = wire.pending.get(&id).filter(|pending_write| pending_write.acknowledged);
            acknowledged.map(|pending_write| {
                pending_write.batch.iter().skip(commits).map(|append| append.commit.clone()).collect::<Vec<_>>()
            })
        };
        if commits == 0 {
            lock(&self.wire).pending.remove(&id);
        } else {
            self.land(id, commits).await;
        }
        for commit in lost.into_iter().flatten() {
            self.truncate(&commit.run, commit.first).await;
        }
    }

    /// Removes what was acknowledged and never durable.
    async fn truncate(&self, run: &RunId, from: Seq) {
        let journal = self.disk.read(run, Seq(1), usize::MAX).await.unwrap_or_default();
        if journal.iter().all(|commit| commit.first < from) {
            return;
        }
        self.note(format_args!("disk {run} ends before {from}: the rest was never durable"));
        let mut replayer = Replayer::new(run.clone());
        for commit in journal.iter().filter(|commit| commit.first < from) {
            if replayer.add(commit).is_err() {
                return self.broken(format!("the journal of `{run}` cannot be read"));
            }
        }
        self.disk.cut(run, from, replayer.state().map(RunRecord::of));
    }
}
