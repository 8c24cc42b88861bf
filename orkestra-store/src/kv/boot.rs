//! The number of an opening, which epochs and the ids of letters begin with: neither of them ever comes back.

use super::changes::Changes;
use super::error::Trouble;
use super::keys::META_BOOT;
use super::map::View;

/// The number of this opening: one more than is written down.
pub(crate) fn next(view: &dyn View) -> Result<u32, Trouble> {
    let before = view.get(META_BOOT)?.map_or(Ok(0), |bytes| {
        bytes.try_into().map(u32::from_be_bytes).map_err(|_| Trouble::value(META_BOOT, "it is no number"))
    })?;
    before.checked_add(1).ok_or_else(|| Trouble::Invalid("the store was opened too often".into()))
}

/// What writes down that it is the `boot`-th.
pub(crate) fn changes(boot: u32) -> Changes {
    let mut changes = Changes::default();
    changes.insert(META_BOOT, boot.to_be_bytes());
    changes
}
