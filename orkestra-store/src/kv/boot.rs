//! The boot number: how many times the store was opened. It is the upper half of epochs and letter ids, so that neither
//! is ever reused.

use super::changes::Changes;
use super::error::BackendError;
use super::keys::META_BOOT;
use super::map::View;

/// The boot number of this opening: the stored one plus one.
pub(crate) fn next(view: &dyn View) -> Result<u32, BackendError> {
    let before = view.get(META_BOOT)?.map_or(Ok(0), |bytes| {
        bytes
            .try_into()
            .map(u32::from_be_bytes)
            .map_err(|_| BackendError::value(META_BOOT, "it is not a 4-byte number"))
    })?;
    let exhausted =
        || BackendError::Invalid(format!("cannot open the store: it was opened {before} times, the maximum"));
    before.checked_add(1).ok_or_else(exhausted)
}

/// Stores the boot number.
pub(crate) fn changes(boot: u32) -> Changes {
    let mut changes = Changes::default();
    changes.insert(META_BOOT, boot.to_be_bytes());
    changes
}
