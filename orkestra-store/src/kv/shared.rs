//! What all clones of a store share, and how it is written to. Everything here blocks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use orkestra_core::model::RunId;
use orkestra_core::store::{Append, AppendError, StoreError};

use super::append::{GroupCommit, Heads, Plan, Planned};
use super::changes::Changes;
use super::error::{Trouble, without_panic};
use super::health::Health;
use super::lease::Leases;
use super::map::{Lasting, Log, Map, View};
use super::owner::Owner;
use super::report::OpenReport;
use super::{remove, small};

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
}

/// What all clones share. IMPORTANT: the order of the fields is the order in which they are dropped: what is written in the
/// background ends before the database is closed, and that is before the directory is given up.
pub(crate) struct Shared {
    writer: Mutex<Writer>,
    pub(crate) map: Arc<dyn Map>,
    pub(crate) health: Arc<Health>,
    leases: Mutex<Leases>,
    pub(crate) report: OpenReport,
    _owner: Owner,
}

impl Shared {
    pub(crate) fn new(opened: Opened) -> Self {
        let Opened { log, map, health, boot, report, owner } = opened;
        let writer = Mutex::new(Writer { log, heads: Heads::default() });
        Self { writer, map, health, leases: Mutex::new(Leases::new(boot)), report, _owner: owner }
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
        let written = without_panic(|| writer.log.write(changes, Lasting::AsOpened));
        written.map_err(|trouble| self.health.poison("a write", trouble))
    }

    pub(crate) fn append(&self, appends: &[Append]) -> Result<Vec<Result<(), AppendError>>, StoreError> {
        let mut writer = self.writer()?;
        let planned = without_panic(|| {
            let (view, leases) = (self.map.view(), self.leases());
            Ok(Plan::new(&*view, &mut writer.heads, &leases).make(appends))
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
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(|error| AppendError::Unknown(error.to_string())),
            Planned::There => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(trouble) => Err(self.health.told(trouble).into()),
        };
        Ok(answers.into_iter().map(answer).collect())
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
