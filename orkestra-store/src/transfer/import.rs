//! Imports lines into a store, after checking all of them.

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
    /// Sets whether the store may contain data. Runs that it has with the same journal are left as they are, and
    /// incomplete ones are completed. If it has anything else than the export, nothing is written. The default is
    /// `false`.
    #[must_use]
    pub fn with_merge(self, merge: bool) -> Self {
        Self { merge }
    }
}

/// Writes an [`export`](super::export()) into `store`.
///
/// `input` is read twice, from its current position. First every line is checked, every journal replayed, and the
/// content of the store compared; only then is anything written. One batch of commits or one blob is held in memory.
/// Runs, positions, epochs, records with their wake-up times and letters are restored exactly. The store assigns new
/// letter ids, and the version of a small value is limited to [`VALUE_VERSION_MAX`](super::VALUE_VERSION_MAX).
///
/// No engine should use the store meanwhile. One that does ignores a run until its journal is complete. An interrupted
/// import leaves what it has written; repeat it with [`ImportOptions::with_merge`] to complete it.
///
/// # Errors
/// - [`TransferError::Line`], [`TransferError::Newer`]: the input is damaged or has a newer format. Nothing was
///   written.
/// - [`TransferError::NotEmpty`], [`TransferError::Differs`]: the store contains other data. Nothing was written.
/// - [`TransferError::Changed`]: the input changed between the two readings.
/// - `input` or the store failed.
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
