//! What tasks send to their driver without waiting for an answer: progress, and waits that they have withdrawn. Sending
//! never blocks, so the outbox has a limit.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use crate::model::{Name, Payload};

/// How many progress reports may wait for the driver; more are dropped with a warning. A driver takes all of them at
/// once, so the limit is only reached while the store does not respond.
const REPORTS_MAX: usize = 8192;

/// Something that a task tells its driver.
#[derive(Debug)]
pub(in crate::runtime) struct Note {
    pub(in crate::runtime) node: Name,
    pub(in crate::runtime) attempt: u32,
    pub(in crate::runtime) what: NoteKind,
}

#[derive(Debug)]
pub(in crate::runtime) enum NoteKind {
    /// Progress, or partial output.
    Emitted { kind: String, payload: Payload },
    /// The future of a wait, or of a step that must not be done twice, was dropped before it was ready.
    Withdrawn { step: String, begun: bool },
}

#[derive(Debug, Default)]
pub(in crate::runtime) struct Outbox {
    notes: Mutex<VecDeque<Note>>,
    filled: Notify,
}

impl Outbox {
    pub(super) fn push(&self, note: Note) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        // Withdrawals are never dropped: there are no more of them than waits.
        if let NoteKind::Emitted { kind, .. } = &note.what
            && notes.len() >= REPORTS_MAX
        {
            tracing::warn!(node = %note.node, kind, "an emitted event was dropped: the store does not keep up");
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
