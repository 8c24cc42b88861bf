//! Reports of tasks on their way to the driver. Reporting never waits, so the box has a limit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::{Name, Payload};

/// Reports that wait for the driver at the most; what comes on top is dropped and counted. A driver takes all of them
/// at once, so this is only reached when the store stands still.
const REPORTS_MAX: usize = 8192;

#[derive(Debug)]
pub(super) struct Report {
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) kind: String,
    pub(super) payload: Payload,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    reports: Mutex<VecDeque<Report>>,
    filled: Notify,
}

impl Outbox {
    pub(super) fn push(&self, report: Report) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        if reports.len() >= REPORTS_MAX {
            tracing::warn!(node = %report.node, kind = report.kind, "a report was dropped: the store does not keep up");
            return;
        }
        reports.push_back(report);
        drop(reports);
        self.filled.notify_one();
    }

    pub(super) fn take(&self) -> VecDeque<Report> {
        std::mem::take(&mut *self.reports.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when there may be something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}
