//! Opens the store that `--store` names. The only file of `aios store` that knows the backends.

use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::{Store, StoreError, StoreErrorKind};
#[cfg(feature = "fjall")]
use orkestra_store::FjallStore;
#[cfg(feature = "postgres")]
use orkestra_store::PostgresStore;
use orkestra_store::{CheckReport, OpenReport, SledStore};

use crate::exit::{Exit, Failure};

/// An open store.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// What was found while opening it, for the user to read.
    pub(crate) notes: Vec<String>,
    backend: Backend,
}

enum Backend {
    Sled(SledStore),
    #[cfg(feature = "fjall")]
    Fjall(FjallStore),
    /// The database maintains its indexes itself.
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Opened {
    /// Checks what only the backend can see, its indexes. `None` when there is no damage.
    pub(crate) async fn damage(&self) -> Result<Option<String>, StoreError> {
        let checked: Result<CheckReport, StoreError> = match &self.backend {
            Backend::Sled(store) => store.check().await,
            #[cfg(feature = "fjall")]
            Backend::Fjall(store) => store.check().await,
            #[cfg(feature = "postgres")]
            Backend::Postgres => return Ok(None),
        };
        match checked {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == StoreErrorKind::Damaged => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// Opens the store at `place`: the URL of a database, or a directory, where `fjall:DIR` chooses the backend of a new one. A
/// missing directory is created if `make` is set.
pub(crate) async fn open(place: &str, make: bool) -> Result<Opened, Failure> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| place.starts_with(scheme)) {
        return postgres(place).await;
    }
    let (asked, path) = match place.split_once(':') {
        Some((backend @ ("sled" | "fjall"), path)) => (Some(backend), Path::new(path)),
        _ => (None, Path::new(place)),
    };
    let format = std::fs::read_to_string(path.join("FORMAT")).unwrap_or_default();
    if !make && format.is_empty() && !path.join("db").exists() {
        return Err(Failure::usage(format!("there is no store at {}; name another one with --store", path.display())));
    }
    // NOTE: the backend reports a directory that is not a store, or a store of another backend.
    match asked.or(format.split_whitespace().nth(1)) {
        Some("fjall") => fjall(path),
        _ => sled(path),
    }
}

fn sled(path: &Path) -> Result<Opened, Failure> {
    let sled = SledStore::open(path).map_err(|error| refused(&error))?;
    let notes = notes(sled.report());
    Ok(Opened { store: Arc::new(sled.clone()), notes, backend: Backend::Sled(sled) })
}

#[cfg(feature = "fjall")]
fn fjall(path: &Path) -> Result<Opened, Failure> {
    let fjall = FjallStore::open(path).map_err(|error| refused(&error))?;
    let notes = notes(fjall.report());
    Ok(Opened { store: Arc::new(fjall.clone()), notes, backend: Backend::Fjall(fjall) })
}

#[cfg(not(feature = "fjall"))]
fn fjall(path: &Path) -> Result<Opened, Failure> {
    Err(Failure::usage(format!(
        "cannot open {} with fjall: this aios was built without it; build aios with the feature `fjall`",
        path.display()
    )))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Opened, Failure> {
    let store = PostgresStore::connect(url).await.map_err(|error| refused(&error))?;
    Ok(Opened { store: Arc::new(store), notes: Vec::new(), backend: Backend::Postgres })
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<Opened, Failure> {
    Err(Failure::usage(
        "cannot open a Postgres store: this aios was built without it; build aios with the feature `postgres`",
    ))
}

fn notes(report: &OpenReport) -> Vec<String> {
    let mut notes = Vec::new();
    if report.after_crash {
        notes.push("the last process that used the store did not close it".to_owned());
    }
    notes.extend(report.set_aside.iter().map(|aside| {
        format!("a damaged cache file of the store was moved aside, nothing is lost: {}", aside.display())
    }));
    notes.extend(report.lost.iter().map(|lost| format!("the newest writes are lost: {lost}")));
    notes
}

/// The error of a store. Most errors say already what to do.
pub(crate) fn refused(error: &StoreError) -> Failure {
    let (exit, hint) = match error.kind() {
        StoreErrorKind::Damaged => (Exit::Failed, "; copy the whole store before you try anything else"),
        StoreErrorKind::Invalid => (Exit::Usage, ""),
        _ => (Exit::Failed, ""),
    };
    Failure::new(exit, format!("{error}{hint}"))
}
