//! Lines into a store: everything is looked at before anything is written.

use std::io::{Read, Seek, SeekFrom};

use orkestra_core::store::{RunQuery, Store};

use super::error::TransferError;
use super::fill::Fill;
use super::reader::{Item, Reader};
use super::report::Imported;
use super::verify::{Verified, verify};

/// How to import.
#[derive(Clone, Copy, Debug, Default)]
pub struct ImportOptions {
    merge: bool,
}

impl ImportOptions {
    /// The same, into a store that has runs already. Those of the export that are there with the same journal are left as they
    /// are, those that are there in part are completed, and where something else is there nothing is written at all.
    #[must_use]
    pub fn with_merge(self, merge: bool) -> Self {
        Self { merge }
    }
}

/// Writes what [`export`](super::export()) has written into `store`.
///
/// `input` is read twice, from where it stands: every line is checked, every journal replayed, and what is in the store
/// compared, before anything is written. Memory holds one batch of commits, or one blob. Runs, positions, epochs, records with
/// their wake-up times and letters come back as they were; what numbers letters get is the store's matter, and a small value's
/// version has a limit, [`VALUE_VERSION_MAX`](super::VALUE_VERSION_MAX).
///
/// No engine should work on the store meanwhile. One that does leaves a run alone until all of its journal is there. An import
/// that was cut leaves what it has written; repeated with [`ImportOptions::with_merge`], it goes on.
///
/// # Errors
/// [`TransferError::Line`] and [`TransferError::Newer`] when what is read is not good, [`TransferError::NotEmpty`] and
/// [`TransferError::Differs`] when the store has something else; nothing was written then. And when `input` or the store fails.
pub async fn import(
    store: &dyn Store,
    input: &mut (impl Read + Seek + Send),
    options: ImportOptions,
) -> Result<Imported, TransferError> {
    let ImportOptions { merge } = options;
    if !merge && !is_empty(store).await? {
        return Err(TransferError::NotEmpty(store.describe()));
    }
    let start = input.stream_position().map_err(TransferError::Read)?;
    let Verified { imported, sha256 } = verify(store, &mut *input, merge).await?;
    input.seek(SeekFrom::Start(start)).map_err(TransferError::Read)?;
    let mut reader = Reader::begin(input)?;
    let mut fill = Fill::new(store, merge);
    loop {
        let item = reader.next()?;
        if let Item::End(found) = &item
            && *found != sha256
        {
            return Err(TransferError::Changed);
        }
        let last = matches!(item, Item::End(_));
        fill.add(item).await?;
        if last {
            return Ok(imported);
        }
    }
}

async fn is_empty(store: &dyn Store) -> Result<bool, TransferError> {
    let page = store.list(&RunQuery { limit: 1, ..RunQuery::default() }).await?;
    Ok(page.items.is_empty() && store.keys("", 1).await?.is_empty())
}
