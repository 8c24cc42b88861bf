//! What all clones of a store share, and how it is written to. Everything here blocks.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, RwLockWriteGuard};

use orkestra_core::model::RunId;
use orkestra_core::store::{Append, AppendError, StoreError, StoreErrorKind};

use super::checkpoint::Checkpoints;
use super::database::Database;
use super::options::{Durability, OpenReport};
use super::overlay::{Layer, Overlay};
use super::sync::Syncer;
use super::view::View;
use super::wal::Wal;
use crate::kv::append::{GroupCommit, Heads, Plan, Planned};
use crate::kv::changes::Changes;
use crate::kv::error::{Trouble, without_panic};
use crate::kv::keys::META_BOOT;
use crate::kv::lease::Leases;
use crate::kv::mark::Mark;
use crate::kv::owner::Owner;
use crate::kv::{remove, small};

/// What readers, writers and checkpoints share.
pub(super) struct Core {
    pub(super) database: Database,
    pub(super) overlay: RwLock<Overlay>,
    pub(super) syncer: Syncer,
    /// Why nothing can be told any more, once that is so.
    pub(super) poison: OnceLock<String>,
    pub(super) path: PathBuf,
}

impl Core {
    pub(super) fn healthy(&self) -> Result<(), StoreError> {
        let Some(why) = self.poison.get() else {
            return Ok(());
        };
        let message = format!("{} must be opened anew: a write failed before ({why})", self.path.display());
        Err(StoreError::new(StoreErrorKind::Poisoned, message))
    }

    pub(super) fn told(&self, trouble: Trouble) -> StoreError {
        trouble.at(&self.path.display().to_string())
    }

    pub(super) fn view(&self) -> View<'_> {
        let overlay = self.overlay.read().unwrap_or_else(PoisonError::into_inner);
        View { db: &self.database, overlay }
    }

    pub(super) fn overlay_mut(&self) -> RwLockWriteGuard<'_, Overlay> {
        // Nothing that holds it can panic half-way through a change.
        self.overlay.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What whoever writes has to itself.
pub(super) struct Writer {
    pub(super) wal: Wal,
    pub(super) mark: Mark,
    pub(super) heads: Heads,
    pub(super) checkpoints: Checkpoints,
}

/// What all clones share. IMPORTANT: the order of the fields is the order in which they are dropped: a checkpoint ends
/// before the database is closed, and that is before the directory is given up.
pub(super) struct Shared {
    pub(super) writer: Mutex<Writer>,
    pub(super) core: Arc<Core>,
    pub(super) leases: Mutex<Leases>,
    pub(super) report: OpenReport,
    pub(super) _owner: Owner,
}

impl Shared {
    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        // Nothing that holds it can panic half-way through a change.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writer(&self) -> Result<MutexGuard<'_, Writer>, StoreError> {
        // A panic while it was held has poisoned the store as well.
        let writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        self.core.healthy()?;
        Ok(writer)
    }

    /// Writes that the store was opened for the `boot`-th time, durably in every durability: epochs depend on it. Goes on
    /// with a checkpoint that was cut.
    pub(super) fn begin(&self, boot: u32, owed: Option<(Arc<Layer>, u64)>) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if let Some((layer, last)) = owed {
            writer.checkpoints.start(&self.core, layer, last);
        }
        let mut changes = Changes::default();
        changes.insert(META_BOOT, &boot.to_be_bytes());
        self.write_as(&mut writer, changes, Durability::Fsync)
    }

    /// Writes `changes` durably; the error says why nobody can tell whether they are.
    fn write(&self, writer: &mut Writer, changes: Changes) -> Result<(), StoreError> {
        let durability = writer.wal.durability();
        self.write_as(writer, changes, durability)
    }

    fn write_as(&self, writer: &mut Writer, changes: Changes, durability: Durability) -> Result<(), StoreError> {
        let written = without_panic(|| {
            if writer.wal.is_overfull() {
                // The disk does not keep up.
                writer.checkpoints.wait();
            }
            writer.wal.append(&changes, durability)?;
            self.show(writer, changes)
        });
        let path = self.core.path.display();
        if written.is_ok()
            && let Err(error) = writer.mark.set(writer.wal.last())
        {
            // The mark before it still holds.
            tracing::warn!(store = %path, %error, "the mark could not be written");
        }
        written.map_err(|trouble| {
            let why = self.core.told(trouble).to_string();
            tracing::error!(store = %path, %why, "a write failed: the store must be opened anew");
            StoreError::new(StoreErrorKind::Poisoned, self.core.poison.get_or_init(|| why))
        })
    }

    /// Shows readers what is durable. Begins a checkpoint when there is enough of it.
    fn show(&self, writer: &mut Writer, changes: Changes) -> Result<(), Trouble> {
        let mut overlay = self.core.overlay_mut();
        overlay.active.add(changes, writer.wal.boot());
        if !writer.wal.is_full() || overlay.frozen.is_some() {
            return Ok(());
        }
        let layer = overlay.freeze();
        drop(overlay);
        writer.checkpoints.start(&self.core, layer, writer.wal.last());
        Ok(writer.wal.turn().map_err(::sled::Error::Io)?)
    }

    pub(super) fn append(&self, appends: &[Append]) -> Result<Vec<Result<(), AppendError>>, StoreError> {
        let mut writer = self.writer()?;
        let planned = without_panic(|| {
            let (view, leases) = (self.core.view(), self.leases());
            Ok(Plan::new(&view, &mut writer.heads, &leases).make(appends))
        });
        let GroupCommit { changes, answers } = match planned {
            Ok(planned) => planned,
            Err(trouble) => {
                // The heads may tell of commits that are not there.
                let error = self.core.told(trouble);
                self.core.poison.get_or_init(|| error.to_string());
                return Ok(appends.iter().map(|_| Err(error.clone().into())).collect());
            }
        };
        let written = if changes.is_empty() { Ok(()) } else { self.write(&mut writer, changes) };
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(|error| AppendError::Unknown(error.to_string())),
            Planned::There => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(trouble) => Err(self.core.told(trouble).into()),
        };
        Ok(answers.into_iter().map(answer).collect())
    }

    /// What `plan` makes of what is there.
    fn plan<T>(&self, plan: impl FnOnce(&View<'_>) -> Result<T, Trouble>) -> Result<T, StoreError> {
        without_panic(|| plan(&self.core.view())).map_err(|trouble| self.core.told(trouble))
    }

    pub(super) fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        if let Some(changes) = self.plan(|view| remove::run(view, run))? {
            self.write(&mut writer, changes)?;
        }
        writer.heads.forget(run);
        self.leases().forget(run);
        Ok(())
    }

    pub(super) fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let mut writer = self.writer()?;
        let changes = self.plan(|view| small::put_blob(view, run, key, bytes))?;
        self.write(&mut writer, changes)
    }

    pub(super) fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let mut writer = self.writer()?;
        let Some((changes, version)) = self.plan(|view| small::put(view, key, expected, bytes))? else {
            return Ok(None);
        };
        self.write(&mut writer, changes)?;
        Ok(Some(version))
    }
}
