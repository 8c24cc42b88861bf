//! Statuses as words for people.

use crate::kernel::RunStatus;

pub(super) const fn word(status: RunStatus) -> &'static str {
    match status {
        RunStatus::Running => "running",
        RunStatus::Paused => "paused",
        RunStatus::Stopping => "stopping",
        RunStatus::Compensating => "compensating",
        RunStatus::Completed => "completed",
        RunStatus::Failed => "failed",
        RunStatus::Cancelled => "cancelled",
        RunStatus::Terminated => "terminated",
        RunStatus::TimedOut => "timed out",
    }
}
