//! Statuses in words.

use crate::kernel::RunStatus;

pub(super) fn word(status: RunStatus) -> String {
    status.name().replace('_', " ")
}
