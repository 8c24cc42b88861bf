//! What tasks tell their driver without waiting for it: reports, and waits that they have let go. Reporting never waits, so
//! the box has a limit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::{Name, Payload};

/// Reports that wait for the driver at the most; what comes on top is dropped and counted. A driver takes all of them
/// at once, so this is only reached when the store stands still.
const REPORTS_MAX: usize = 8192;

/// Something that a task tells its driver.
#[derive(Debug)]
pub(in crate::runtime) struct Note {
    pub(in crate::runtime) node: Name,
    pub(in crate::runtime) attempt: u32,
    pub(in crate::runtime) what: Told,
}

#[derive(Debug)]
pub(in crate::runtime) enum Told {
    /// Progress, or partial output.
    Report { kind: String, payload: Payload },
    /// The future of a wait, or of a step that must not be done twice, was dropped before it was ready.
    LetGo { step: String, begun: bool },
}

#[derive(Debug, Default)]
pub(in crate::runtime) struct Outbox {
    notes: Mutex<VecDeque<Note>>,
    filled: Notify,
}

impl Outbox {
    pub(super) fn push(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // What was let go is never dropped: there is no more of it than there were waits.
        if let Told::Report { kind, .. } = &note.what
            && notes.len() >= REPORTS_MAX
        {
            tracing::warn!(node = %note.node, kind, "a report was dropped: the store does not keep up");
            return;
        }
        notes.push_back(note);
        drop(notes);
        self.filled.notify_one();
    }

    pub(in crate::runtime) fn take(&self) -> VecDeque<Note> {
        std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns when there may be something to take.
    pub(in crate::runtime) async fn filled(&self) {
        self.filled.notified().await;
    }
}
