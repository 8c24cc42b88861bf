//! What all clones of a store share, and how it is written to. Everything here blocks.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use ::sled::Batch;

use orkestra_core::model::RunId;
use orkestra_core::store::{Append, AppendError, StoreError, StoreErrorKind};

use super::append::{GroupCommit, Heads, Plan, Planned};
use super::database::Database;
use super::error::{Trouble, refused, without_panic};
use super::lease::Leases;
use super::mark::{Expected, Mark};
use super::options::OpenReport;
use super::owner::Owner;
use super::sync::Syncer;
use super::{remove, small};

/// What all clones share. IMPORTANT: the order of the fields is the order in which they are dropped: the database is
/// closed before the directory is given up.
pub(super) struct Shared {
    pub(super) database: Database,
    pub(super) syncer: Syncer,
    pub(super) mark: Mark,
    pub(super) heads: Mutex<Heads>,
    pub(super) leases: Mutex<Leases>,
    /// Why nothing can be told any more, once that is so.
    pub(super) poison: OnceLock<String>,
    pub(super) path: PathBuf,
    pub(super) report: OpenReport,
    pub(super) _owner: Owner,
}

impl Shared {
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

    fn heads(&self) -> MutexGuard<'_, Heads> {
        // A panic while it was held has poisoned the store as well.
        self.heads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn leases(&self) -> MutexGuard<'_, Leases> {
        // Nothing that holds it can panic half-way through a change.
        self.leases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes `batch` durably, or says why nobody can tell whether it is. From then on it is seen if `newest` is lost;
    /// without one, the mark stays as it is.
    fn write(&self, batch: Batch, newest: Option<&Expected>) -> Result<(), String> {
        let written = without_panic(|| {
            self.database.apply_batch(batch)?;
            self.syncer.sync(&self.database)
        });
        if written.is_ok()
            && let Some(newest) = newest
            && let Err(error) = self.mark.set(newest)
        {
            // The mark before it still holds.
            tracing::warn!(store = %self.path.display(), %error, "the mark could not be written");
        }
        written.map_err(|trouble| {
            let why = self.told(trouble).to_string();
            tracing::error!(store = %self.path.display(), %why, "a write failed: the store must be opened anew");
            self.poison.get_or_init(|| why).clone()
        })
    }

    fn write_all(&self, batch: Batch, newest: Option<&Expected>) -> Result<(), StoreError> {
        self.write(batch, newest).map_err(|why| StoreError::new(StoreErrorKind::Poisoned, why))
    }

    pub(super) fn append(&self, appends: &[Append]) -> Vec<Result<(), AppendError>> {
        let planned = without_panic(|| {
            let (mut heads, leases) = (self.heads(), self.leases());
            Ok(Plan::new(&self.database, &mut heads, &leases).make(appends))
        });
        let GroupCommit { batch, newest, answers } = match planned {
            Ok(planned) => planned,
            Err(trouble) => {
                // The heads may tell of commits that are not there.
                let error = self.told(trouble);
                self.poison.get_or_init(|| error.to_string());
                return appends.iter().map(|_| Err(error.clone().into())).collect();
            }
        };
        let written = newest.map_or(Ok(()), |newest| self.write(batch, Some(&Expected::Commit(newest))));
        let answer = |planned| match planned {
            Planned::InBatch => written.clone().map_err(AppendError::Unknown),
            Planned::There => Ok(()),
            Planned::Refused(error) => Err(error),
            Planned::Failed(trouble) => Err(self.told(trouble).into()),
        };
        answers.into_iter().map(answer).collect()
    }

    pub(super) fn delete(&self, run: &RunId) -> Result<(), StoreError> {
        let batch = without_panic(|| remove::run(&self.database, run)).map_err(|trouble| self.told(trouble))?;
        if let Some(batch) = batch {
            // IMPORTANT: before it is gone: a mark that names one of its commits would be missed after a crash.
            let no_mark = |error| refused(&format!("{}/mark cannot be written", self.path.display()), &error);
            self.mark.set(&Expected::Nothing).map_err(no_mark)?;
            self.write_all(batch, None)?;
        }
        self.heads().forget(run);
        self.leases().forget(run);
        Ok(())
    }

    pub(super) fn put_blob(&self, run: &RunId, key: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let planned = without_panic(|| small::put_blob(&self.database, run, key, bytes));
        self.write_all(planned.map_err(|trouble| self.told(trouble))?, None)
    }

    pub(super) fn put(&self, key: &str, expected: u64, bytes: &[u8]) -> Result<Option<u64>, StoreError> {
        let planned = without_panic(|| small::put(&self.database, key, expected, bytes));
        let Some((batch, version)) = planned.map_err(|trouble| self.told(trouble))? else {
            return Ok(None);
        };
        self.write_all(batch, Some(&Expected::Small(key.to_owned(), version)))?;
        Ok(Some(version))
    }
}
