//! Stores by name, for the commands that look after them: the one place that knows which backends there are.

use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::{Store, StoreError, StoreErrorKind};
#[cfg(feature = "fjall")]
use orkestra_store::FjallStore;
#[cfg(feature = "postgres")]
use orkestra_store::PostgresStore;
use orkestra_store::{CheckReport, OpenReport, SledStore};

use crate::exit::{Exit, Failure};

/// A store that was opened.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// What opening it found, for people.
    pub(crate) notes: Vec<String>,
    backend: Backend,
}

enum Backend {
    Sled(SledStore),
    #[cfg(feature = "fjall")]
    Fjall(FjallStore),
    /// It looks after its indexes itself.
    #[cfg(feature = "postgres")]
    Postgres,
}

impl Opened {
    /// What only the backend can look at: its indexes. `None` is fine.
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

/// Opens the store that `place` names: a database by its address, or a directory, with the backend before it if it is a new
/// one: `fjall:DIR`. A directory is made if it is not there and `make` says so.
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
        return Err(Failure::usage(format!("there is no store at {}", path.display())));
    }
    // NOTE: what is no store, or not of the backend that was asked for, is told by whoever opens it.
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
    Err(Failure::usage(format!("{} is for fjall, which this aios was built without", path.display())))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Opened, Failure> {
    let store = PostgresStore::connect(url).await.map_err(|error| refused(&error))?;
    Ok(Opened { store: Arc::new(store), notes: Vec::new(), backend: Backend::Postgres })
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_url: &str) -> Result<Opened, Failure> {
    Err(Failure::usage("this aios was built without postgres"))
}

fn notes(report: &OpenReport) -> Vec<String> {
    let mut notes = Vec::new();
    if report.after_crash {
        notes.push("whoever had the store open before ended without closing it".to_owned());
    }
    notes.extend(
        report.set_aside.iter().map(|aside| {
            format!("a damaged cache file of the store was put aside, nothing is lost: {}", aside.display())
        }),
    );
    notes.extend(report.lost.iter().map(|lost| format!("the newest writes are lost: {lost}")));
    notes
}

/// What a store says, and what its user can do.
pub(crate) fn refused(error: &StoreError) -> Failure {
    let (exit, hint) = match error.kind() {
        StoreErrorKind::Busy => (Exit::Failed, ". Wait for it, or stop it with Ctrl-C there: its runs can be resumed."),
        StoreErrorKind::Damaged => (Exit::Failed, ". Copy all of the store before anything else is tried."),
        StoreErrorKind::Invalid => (Exit::Usage, ""),
        _ => (Exit::Failed, ""),
    };
    Failure::new(exit, format!("{error}{hint}"))
}
