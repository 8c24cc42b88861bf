//! What all clones of a store share, and how it is written to. Everything here blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::model::{RunId, Timestamp, WorkerId};
use orkestra_core::store::{Append, AppendError, Bell, Claimed, Lease, LetterId, StoreError};
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
use super::read;
use super::report::OpenReport;

/// A store that a backend has opened.
pub struct Opened {
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

    /// The right to write. An error when nothing can be told any more.
    pub(crate) fn writing(&self) -> Result<Writing<'_>, StoreError> {
        // A panic while it was held has poisoned the store as well.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.health.check()?;
        Ok(Writing { shared: self, writer })
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
        let sent = self.writing().and_then(|mut writing| writing.send(&sendings));
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
}

/// The right to write, for as long as it is kept.
pub(crate) struct Writing<'a> {
    shared: &'a Shared,
    writer: MutexGuard<'a, Writer>,
}

impl Writing<'_> {
    /// What `plan` makes of what is there.
    pub(crate) fn plan<T>(
        &mut self,
        plan: impl FnOnce(&dyn View, &mut Heads) -> Result<T, Trouble>,
    ) -> Result<T, StoreError> {
        let (shared, heads) = (self.shared, &mut self.writer.heads);
        without_panic(|| plan(&*shared.map.view(), heads)).map_err(|trouble| shared.health.told(trouble))
    }

    /// Writes `changes`, if there are any, to last as `lasting` says. The error says why nobody can tell whether they are there.
    pub(crate) fn write(&mut self, changes: Changes, lasting: Lasting) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        let written = without_panic(|| self.writer.log.write(changes, lasting));
        written.map_err(|trouble| self.shared.health.poison("a write", trouble))
    }

    /// Writes `appends` with one durable write. An answer for each.
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
            Err(trouble) => {
                // The heads may tell of commits that are not there.
                let error = shared.health.poison("planning", trouble);
                return Ok(appends.iter().map(|_| Err(error.clone().into())).collect());
            }
        };
        let written = self.write(changes, Lasting::AsOpened);
        shared.leases().set_writing(std::iter::empty());
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(|error| AppendError::Unknown(error.to_string())),
            Planned::There => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(trouble) => Err(shared.health.told(trouble).into()),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// Writes letters with one durable write. An answer for each.
    fn send(&mut self, sendings: &[Sending]) -> Result<Vec<Result<LetterId, StoreError>>, StoreError> {
        let shared = self.shared;
        let Writer { heads, ids, .. } = &mut *self.writer;
        let planned = without_panic(|| {
            let view = &*shared.map.view();
            let mut changes = Changes::default();
            let mut send = |sending: &Sending| {
                let sent = inbox::send(view, heads, ids, &mut changes, (&sending.run, &sending.body));
                sent.map_err(|trouble| shared.health.told(trouble))
            };
            let answers: Vec<_> = sendings.iter().map(&mut send).collect();
            Ok((changes, answers))
        });
        // The heads may tell of letters that are not there.
        let (changes, answers) = planned.map_err(|trouble| shared.health.poison("planning", trouble))?;
        self.write(changes, Lasting::AsOpened)?;
        Ok(answers)
    }

    /// Forgets where `run` stands and who has it: it was deleted.
    pub(crate) fn forget(&mut self, run: &RunId) {
        self.writer.heads.forget(run);
        self.shared.leases().forget(run);
    }
}
