//! The state shared by all clones of a store, and the write path. Every function here blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{Append, AppendError, Bell, Claimed, Lease, LetterId, StoreError};
use tokio::sync::oneshot;

use super::append::{GroupCommit, Plan, Planned};
use super::changes::Changes;
use super::error::{BackendError, without_panic};
use super::heads::Heads;
use super::health::Health;
use super::inbox::{self, LetterIds};
use super::lease::Leases;
use super::map::{Log, Map, Persistence, View};
use super::owner::Owner;
use super::read;
use super::report::OpenReport;

/// A store opened by a backend.
pub struct Opened {
    /// Where changes are written.
    pub(crate) log: Box<dyn Log>,
    /// Where they are read.
    pub(crate) map: Arc<dyn Map>,
    /// Shared with the backend's background threads.
    pub(crate) health: Arc<Health>,
    /// The boot number. Already durable, whatever the durability of the store: epochs depend on it.
    pub(crate) boot: u32,
    /// For the caller.
    pub(crate) report: OpenReport,
    /// The lock on the directory.
    pub(crate) owner: Owner,
}

/// The state that only the writer uses.
struct Writer {
    log: Box<dyn Log>,
    heads: Heads,
    ids: LetterIds,
}

/// A letter to be written.
pub(crate) struct Sending {
    pub(crate) run: RunId,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Result<LetterId, StoreError>>,
}

/// The state shared by all clones.
///
/// IMPORTANT: fields are dropped in this order: background writes end before the database is closed, and the database
/// is closed before the directory is unlocked.
pub(crate) struct Shared {
    writer: Mutex<Writer>,
    pub(crate) map: Arc<dyn Map>,
    pub(crate) health: Arc<Health>,
    leases: Mutex<Leases>,
    /// Letters not yet written. One write takes all of them.
    outbox: Mutex<Vec<Sending>>,
    pub(crate) bell: Bell,
    pub(crate) report: OpenReport,
    _owner: Owner,
}

impl Shared {
    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { log, map, health, boot, report, owner } = opened;
        let writer = Mutex::new(Writer { log, heads: Heads::default(), ids: LetterIds::new(boot) });
        let leases = Mutex::new(Leases::new(boot));
        Self { writer, map, health, leases, outbox: Mutex::default(), bell: Bell::default(), report, _owner: owner }
    }

    pub(crate) fn leases(&self) -> MutexGuard<'_, Leases> {
        // No panic can happen in the middle of a change of the leases.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the writer. Fails when the store is poisoned.
    pub(crate) fn writing(&self) -> Result<Writing<'_>, StoreError> {
        // A panic while the lock was held has also poisoned the store.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.check()?;
        Ok(Writing { shared: self, writer })
    }

    /// Claims `runs`. The answers include all commits of earlier owners.
    pub(crate) fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, BackendError> {
        let (claimed, are_written) = {
            let mut leases = self.leases();
            let claimed: Result<Vec<_>, _> = runs.iter().map(|run| leases.claim(run, worker, now, until)).collect();
            (claimed?, leases.are_written(runs.iter()))
        };
        if are_written {
            // Commits planned before the claim count, and their positions are only known once they are written.
            drop(self.writer.lock());
        }
        let view = self.map.view();
        let answer = |lease: Lease| {
            let (last, mail) = (read::last(&*view, &lease.run)?, inbox::has_letters(&*view, &lease.run)?);
            Ok(Claimed { lease, last, mail })
        };
        claimed.into_iter().map(|lease| lease.map(answer).transpose()).collect()
    }

    /// Queues a letter for the next call of [`send_all`](Self::send_all).
    pub(crate) fn post(&self, sending: Sending) {
        self.outbox().push(sending);
    }

    fn outbox(&self) -> MutexGuard<'_, Vec<Sending>> {
        // No panic can happen in the middle of a change of the queue.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all queued letters in one write.
    pub(crate) fn send_all(&self) {
        let sendings = std::mem::take(&mut *self.outbox());
        if sendings.is_empty() {
            return;
        }
        let sent = self.writing().and_then(|mut writing| writing.send(&sendings));
        for (number, Sending { run, answer, .. }) in sendings.into_iter().enumerate() {
            let result = match &sent {
                Ok(sent) => sent[number].clone(),
                Err(error) => Err(error.clone()),
            };
            if result.is_ok() {
                self.bell.ring(&run);
            }
            // The sender may have stopped waiting.
            drop(answer.send(result));
        }
    }
}

/// Exclusive access to the writer.
pub(crate) struct Writing<'a> {
    shared: &'a Shared,
    writer: MutexGuard<'a, Writer>,
}

impl Writing<'_> {
    /// Runs `plan` on the current state.
    pub(crate) fn plan<T>(
        &mut self,
        plan: impl FnOnce(&dyn View, &mut Heads) -> Result<T, BackendError>,
    ) -> Result<T, StoreError> {
        let (shared, heads) = (self.shared, &mut self.writer.heads);
        without_panic(|| plan(&*shared.map.view(), heads)).map_err(|error| shared.health.error(error))
    }

    /// Writes `changes`, if there are any. After an error it is unknown whether they are durable.
    pub(crate) fn write(&mut self, changes: Changes, persistence: Persistence) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let written = without_panic(|| self.writer.log.write(changes, persistence));
        written.map_err(|error| self.shared.health.poison("a write", error))
    }

    /// Writes `appends` in one durable write. Returns one answer each.
    pub(crate) fn append(&mut self, appends: &[Append]) -> Result<Vec<Result<(), AppendError>>, StoreError> {
        let shared = self.shared;
        let planned = without_panic(|| {
            let (view, mut leases) = (shared.map.view(), shared.leases());
            let planned = Plan::new(&*view, &mut self.writer.heads, &leases).make(appends);
            leases.set_writing(appends.iter().map(|append| append.commit.run.clone()));
            Ok(planned)
        });
        let GroupCommit { changes, answers } = match planned {
            Ok(planned) => planned,
            Err(error) => {
                // The heads may include commits that do not exist.
                let error = shared.health.poison("planning", error);
                return Ok(appends.iter().map(|_| Err(error.clone().into())).collect());
            }
        };
        let written = self.write(changes, Persistence::AsOpened);
        shared.leases().set_writing(std::iter::empty());
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(|error| AppendError::Unknown(error.to_string())),
            Planned::Duplicate => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(error) => Err(shared.health.error(error).into()),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Writes letters in one durable write. Returns one answer each.
    fn send(&mut self, sendings: &[Sending]) -> Result<Vec<Result<LetterId, StoreError>>, StoreError> {
        let shared = self.shared;
        let Writer { heads, ids, .. } = &mut *self.writer;
        let planned = without_panic(|| {
            let view = &*shared.map.view();
            let mut changes = Changes::default();
            let mut send = |sending: &Sending| {
                let sent = inbox::send(view, heads, ids, &mut changes, (&sending.run, &sending.body));
                sent.map_err(|error| shared.health.error(error))
            };
            let answers: Vec<_> = sendings.iter().map(&mut send).collect();
            Ok((changes, answers))
        });
        // The heads may include letters that do not exist.
        let (changes, answers) = planned.map_err(|error| shared.health.poison("planning", error))?;
        self.write(changes, Persistence::AsOpened)?;
        Ok(answers)
    }

    /// Forgets the head and lease of a deleted run.
    pub(crate) fn forget(&mut self, run: &RunId) {
        self.writer.heads.forget(run);
        self.shared.leases().forget(run);
    }
}
