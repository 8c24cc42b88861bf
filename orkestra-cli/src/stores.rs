//! Stores by name, for the commands that look after them: the one place that knows which backends there are.

use std::path::Path;
use std::sync::Arc;

use orkestra_core::store::{Store, StoreError, StoreErrorKind};
use orkestra_store::SledStore;

use crate::exit::{Exit, Failure};

/// A store that was opened.
pub(crate) struct Opened {
    pub(crate) store: Arc<dyn Store>,
    /// What opening it found, for people.
    pub(crate) notes: Vec<String>,
    sled: Option<SledStore>,
}

impl Opened {
    /// What only the backend can look at: its indexes. `None` is fine.
    pub(crate) async fn damage(&self) -> Result<Option<String>, StoreError> {
        let Some(sled) = &self.sled else { return Ok(None) };
        match sled.check().await {
            Ok(_) => Ok(None),
            Err(error) if error.kind() == StoreErrorKind::Damaged => Ok(Some(error.to_string())),
            Err(error) => Err(error),
        }
    }
}

/// Opens the store that `place` names: a directory. It is made if it is not there and `make` says so.
pub(crate) fn open(place: &str, make: bool) -> Result<Opened, Failure> {
    if ["postgres://", "postgresql://"].iter().any(|scheme| place.starts_with(scheme)) {
        return Err(Failure::usage("this version knows stores in directories only, no databases"));
    }
    let path = Path::new(place);
    let format = std::fs::read_to_string(path.join("FORMAT")).unwrap_or_default();
    if !make && format.is_empty() && !path.join("db").exists() {
        return Err(Failure::usage(format!("there is no store at {place}")));
    }
    match format.split_whitespace().nth(1) {
        Some("fjall") => Err(Failure::usage(format!("{place} is a store of fjall, which this version does not know"))),
        // NOTE: what is no store at all is told by whoever opens it.
        _ => sled(path),
    }
}

fn sled(path: &Path) -> Result<Opened, Failure> {
    let sled = SledStore::open(path).map_err(|error| refused(&error))?;
    let report = sled.report();
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
    Ok(Opened { store: Arc::new(sled.clone()), notes, sled: Some(sled) })
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
