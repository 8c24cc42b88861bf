//! The data directory, `./.orkestra`, and its store.

use std::collections::BTreeSet;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use orkestra_core::kernel::RunStatus;
use orkestra_core::model::RunId;
use orkestra_core::store::{Pager, RunQuery, RunRecord, Store, StoreError, StoreErrorKind};
use orkestra_store::SledStore;

use crate::exit::Failure;
use crate::leaving::Leaving;

const DIRECTORY: &str = ".orkestra";
const STORE: &str = "store";

/// The store that commands use by default.
pub(crate) const DEFAULT_STORE: &str = ".orkestra/store";

/// The data directory with its store open. Dropping it closes the store.
pub(crate) struct Place {
    pub(crate) data: PathBuf,
    pub(crate) store: Arc<dyn Store>,
    /// The runs that have not ended, newest first. No other process drives them: this one alone has the store.
    pub(crate) unfinished: Vec<RunRecord>,
}

impl Place {
    /// Opens the store of the current directory, and creates it if it does not exist.
    pub(crate) async fn open() -> Result<Self, Failure> {
        let data = PathBuf::from(DIRECTORY);
        let store = SledStore::open(data.join(STORE)).map_err(|error| refused(&data, &error))?;
        close_to_others(&data);
        let report = store.report();
        if !report.set_aside.is_empty() {
            eprintln!(
                "note: an abrupt stop damaged a cache file of the store; it was moved aside ({}), the store was rebuilt \
                 from its log and {} runs were checked: nothing is lost",
                report.set_aside.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
                report.runs_checked.unwrap_or_default()
            );
        }
        let store: Arc<dyn Store> = Arc::new(store);
        let unfinished = unfinished(&store).await.map_err(|error| refused(&data, &error))?;
        Ok(Self { data, store, unfinished })
    }

    /// Like [`Place::open`], but `None` when this directory has no store: commands that only read must not create one.
    pub(crate) async fn open_existing() -> Result<Option<Self>, Failure> {
        // NOTE: when the check itself fails, opening the store gives the error that says why.
        match Path::new(DIRECTORY).join(STORE).try_exists() {
            Ok(false) if !Path::new(DIRECTORY).is_file() => Ok(None),
            _ => Self::open().await.map(Some),
        }
    }

    /// The store for an engine that continues `runs` and no other unfinished run.
    pub(crate) fn leaving_all_but(&self, runs: &[RunId]) -> Arc<dyn Store> {
        let others = self.unfinished.iter().map(|record| record.id.clone()).filter(|id| !runs.contains(id));
        let left: BTreeSet<RunId> = others.collect();
        Arc::new(Leaving { store: Arc::clone(&self.store), left })
    }
}

/// Closes a data directory that an older version, or somebody else, left open to other users.
fn close_to_others(data: &Path) {
    let open = data.metadata().is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0);
    if open && let Err(error) = std::fs::set_permissions(data, Permissions::from_mode(0o700)) {
        eprintln!("warning: {} is open to other users, and this cannot be changed: {error}", data.display());
    }
}

async fn unfinished(store: &Arc<dyn Store>) -> Result<Vec<RunRecord>, StoreError> {
    let query = RunQuery { statuses: RunStatus::LIVE.into(), ..RunQuery::default() };
    Pager::new(Arc::clone(store), query).collect().await
}

/// The error of the store in `data`. Most errors say already what to do; a damaged store does not know what is beside it.
fn refused(data: &Path, error: &StoreError) -> Failure {
    let place = data.display();
    let hint = match error.kind() {
        StoreErrorKind::Damaged => format!(
            "; the files that runs made are untouched in {place}/workspace; to start with an empty store, move \
             {place}/store away"
        ),
        _ => String::new(),
    };
    Failure::failed(format!("{error}{hint}"))
}

#[cfg(test)]
mod tests {
    use orkestra_core::model::Timestamp;
    use orkestra_core::store::{DueQuery, MemoryStore};
    use orkestra_testkit::sample::SampleRun;

    use super::*;

    #[tokio::test]
    async fn runs_that_have_not_ended_are_unfinished_and_only_the_given_ones_are_due() {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        for status in RunStatus::ALL {
            let mut append = SampleRun::new(status.name()).create();
            append.record.as_mut().expect("a first commit brings a record").status = status;
            store.append(vec![append]).await.remove(0).expect("it is written");
        }
        let unfinished = unfinished(&store).await.expect("it can be read");
        let found: BTreeSet<_> = unfinished.iter().map(|record| record.status).collect();
        assert_eq!(found, RunStatus::LIVE.into());
        let place = Place { data: PathBuf::new(), store, unfinished };
        let due = DueQuery::at(Timestamp::from_millis(u64::MAX), usize::MAX);
        let left = place.leaving_all_but(&[RunId::new("paused").expect("an id")]);
        let left: BTreeSet<_> =
            left.due(&due).await.expect("it can be read").runs.into_iter().map(|due| due.id).collect();
        for status in RunStatus::LIVE {
            assert_eq!(left.contains(status.name()), status == RunStatus::Paused, "{status}");
        }
    }
}
