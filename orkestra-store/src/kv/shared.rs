//! What all clones of a store share, and how it is written to. Everything here blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{Append, AppendError, Bell, Claimed, Lease, LetterId, Snapshot, StoreError};
use tokio::sync::oneshot;

use super::append::{GroupCommit, Plan, Planned};
use super::changes::Changes;
use super::error::{Trouble, without_panic};
use super::heads::Heads;
use super::health::Health;
use super::inbox::{self, LetterIds};
use super::lease::Leases;
use super::map::{Lasting, Log, Map, View};
use super::owner::Owner;
use super::report::OpenReport;
use super::{read, remove, small, snapshot};

/// A store that a backend has opened.
pub(crate) struct Opened {
    /// Who writes.
    pub(crate) log: Box<dyn Log>,
    /// What is read.
    pub(crate) map: Arc<dyn Map>,
    /// Shared with what the backend does in the background.
    pub(crate) health: Arc<Health>,
    /// How often the store was opened. Durable by now, in every durability: epochs depend on it.
    pub(crate) boot: u32,
    /// For the user.
    pub(crate) report: OpenReport,
    /// The right to the directory.
    pub(crate) owner: Owner,
}

/// What whoever writes has to itself.
struct Writer {
    log: Box<dyn Log>,
    heads: Heads,
    ids: LetterIds,
}

/// A letter on its way.
pub(crate) struct Sending {
    pub(crate) run: RunId,
    pub(crate) body: Vec<u8>,
    pub(crate) answer: oneshot::Sender<Result<LetterId, StoreError>>,
}

/// What all clones share. IMPORTANT: the order of the fields is the order in which they are dropped: what is written in the
/// background ends before the database is closed, and that is before the directory is given up.
pub(crate) struct Shared {
    writer: Mutex<Writer>,
    pub(crate) map: Arc<dyn Map>,
    pub(crate) health: Arc<Health>,
    leases: Mutex<Leases>,
    /// Letters that nobody has written yet: one write takes all of them.
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
        // Nothing that holds it can panic half-way through a change.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        // A panic while it was held has poisoned the store as well.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.check()?;
        Ok(writer)
    }

    /// Writes `changes` durably; the error says why nobody can tell whether they are.
    fn write(&self, writer: &mut Writer, changes: Changes) -> Result<(), StoreError> {
        self.write_as(writer, changes, Lasting::AsOpened)
    }

    fn write_as(&self, writer: &mut Writer, changes: Changes, lasting: Lasting) -> Result<(), StoreError> {
        let written = without_panic(|| writer.log.write(changes, lasting));
        written.map_err(|trouble| self.health.poison("a write", trouble))
    }

    pub(crate) fn append(&self, appends: &[Append]) -> Result<Vec<Result<(), AppendError>>, StoreError> {
        let mut writer = self.writer()?;
        let planned = without_panic(|| {
            let (view, mut leases) = (self.map.view(), self.leases());
            let planned = Plan::new(&*view, &mut writer.heads, &leases).make(appends);
            leases.set_writing(appends.iter().map(|append| append.commit.run.clone()));
            Ok(planned)
        });
        let GroupCommit { changes, answers } = match planned {
            Ok(planned) => planned,
            Err(trouble) => {
                // The heads may tell of commits that are not there.
                let error = self.health.poison("planning", trouble);
                return Ok(appends.iter().map(|_| Err(error.clone().into())).collect());
            }
        };
        let written = if changes.is_empty() { Ok(()) } else { self.write(&mut writer, changes) };
        self.leases().set_writing(std::iter::empty());
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(|error| AppendError::Unknown(error.to_string())),
            Planned::There => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(trouble) => Err(self.health.told(trouble).into()),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Claims `runs`. What is told of each is what is there after all that a holder before it wrote.
    pub(crate) fn claim(
        &self,
        runs: &[RunId],
        worker: &WorkerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Vec<Option<Claimed>>, Trouble> {
        let (claimed, are_written) = {
            let mut leases = self.leases();
            let claimed: Result<Vec<_>, _> = runs.iter().map(|run| leases.claim(run, worker, now, until)).collect();
            (claimed?, leases.are_written(runs.iter()))
        };
        if are_written {
            // Commits that were planned before the claim count: where they end is known when they are written.
            drop(self.writer.lock());
        }
        let view = self.map.view();
        let told = |lease: Lease| {
            let (last, mail) = (read::last(&*view, &lease.run)?, inbox::has_mail(&*view, &lease.run)?);
            Ok(Claimed { lease, last, mail })
        };
        claimed.into_iter().map(|lease| lease.map(told).transpose()).collect()
    }

    /// Puts a letter where the next call of [`send_all`](Self::send_all) finds it.
    pub(crate) fn post(&self, sending: Sending) {
        self.outbox().push(sending);
    }

    fn outbox(&self) -> MutexGuard<'_, Vec<Sending>> {
        // Nothing that holds it can panic half-way through a change.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes the letters that wait to be written, all in one write.
    pub(crate) fn send_all(&self) {
        let sendings = std::mem::take(&mut *self.outbox());
        if sendings.is_empty() {
            return;
        }
        let sent = self.send_these(&sendings);
        for (number, Sending { run, answer, .. }) in sendings.into_iter().enumerate() {
            let told = match &sent {
                Ok(sent) => sent[number].clone(),
                Err(error) => Err(error.clone()),
            };
            if told.is_ok() {
                self.bell.ring(&run);
            }
            // Whoever sent it may not listen any more.
            drop(answer.send(told));
        }
    }

    fn send_these(&self, sendings: &[Sending]) -> Result<Vec<Result<LetterId, StoreError>>, StoreError> {
        let mut writer = self.writer()?;
        let Writer { heads, ids, .. } = &mut *writer;
        let planned = without_panic(|| {
            let view = &*self.map.view();
            let mut changes = Changes::default();
            let mut send = |sending: &Sending| {
                let sent = inbox::send(view, heads, ids, &mut changes, (&sending.run, &sending.body));
                sent.map_err(|trouble| self.health.told(trouble))
            };
            let answers: Vec<_> = sendings.iter().map(&mut send).collect();
            Ok((changes, answers))
        });
        // The heads may tell of letters that are not there.
        let (changes, answers) = planned.map_err(|trouble| self.health.poison("planning", trouble))?;
        if !changes.is_empty() {
            self.write(&mut writer, changes)?;
        }
        Ok(answers)
    }

    pub(crate) fn discard(&self, run: &RunId, letters: &[LetterId]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let changes = self.plan(|view| inbox::discard(view, &mut writer.heads, run, letters))?;
        if changes.is_empty() { Ok(()) } else { self.write(&mut writer, changes) }
    }

    pub(crate) fn put_snapshot(&self, run: &RunId, snapshot: &Snapshot) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let head = self.plan(|view| writer.heads.of(view, run))?;
        if !head.has_journal() {
            // It would be that of another run of the same id one day.
            return Ok(());
        }
        let changes = self.plan(|view| snapshot::put(view, run, snapshot))?;
        self.write_as(&mut writer, changes, Lasting::Cache)
    }

    /// What `plan` makes of what is there.
    fn plan<T>(&self, plan: impl FnOnce(&dyn View) -> Result<T, Trouble>) -> Result<T, StoreError> {
        without_panic(|| plan(&*self.map.view())).map_err(|trouble| self.health.told(trouble))
    }

    pub(crate) fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if let Some(changes) = self.plan(|view| remove::run(view, run))? {
            self.write(&mut writer, changes)?;
        }
        writer.heads.forget(run);
        self.leases().forget(run);
        Ok(())
    }

    pub(crate) fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let changes = self.plan(|view| small::put_blob(view, run, key, bytes))?;
        self.write(&mut writer, changes)
    }

    pub(crate) fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let mut writer = self.writer()?;
        let Some((changes, version)) = self.plan(|view| small::put(view, key, expected, bytes))? else {
            return Ok(None);
        };
        self.write(&mut writer, changes)?;
        Ok(Some(version))
    }
}
