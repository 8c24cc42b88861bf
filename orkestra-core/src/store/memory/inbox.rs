//! The inboxes of the in-memory store. Letters change a run's wake-up time, so every change here also updates that
//! index.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::RunId;
use crate::model::limits::LETTERS_MAX;

use super::super::{Letter, LetterId, Refusal, StoreError};
use super::Inner;

/// The inbox of one run.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: BTreeMap<LetterId, Arc<[u8]>>,
    sent: u64,
}

impl Inner {
    pub(super) fn has_letters(&self, run: &RunId) -> bool {
        self.inboxes.get(run).is_some_and(|inbox| !inbox.waiting.is_empty())
    }

    pub(super) fn send(&mut self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        if !self.records.contains_key(run) {
            return Err(Refusal::NoRun(run.clone()).into());
        }
        Refusal::check_letter(run, body)?;
        if self.inboxes.get(run).is_some_and(|inbox| inbox.waiting.len() >= LETTERS_MAX) {
            return Err(Refusal::FullInbox(run.clone()).into());
        }
        let id = self.with_wake_up_moved(run, |inner| {
            let inbox = inner.inboxes.entry(run.clone()).or_default();
            inbox.sent += 1;
            inbox.waiting.insert(LetterId(inbox.sent), body.into());
            LetterId(inbox.sent)
        });
        Ok(id)
    }

    pub(super) fn letters(&self, run: &RunId, after: LetterId, limit: usize) -> Vec<Letter> {
        let Some(inbox) = self.inboxes.get(run) else { return Vec::new() };
        let later = inbox.waiting.range((Bound::Excluded(after), Bound::Unbounded)).take(limit);
        later.map(|(id, body)| Letter { id: *id, body: Arc::clone(body) }).collect()
    }

    pub(super) fn take_letters(&mut self, run: &RunId, letters: &[LetterId]) {
        if letters.is_empty() {
            return;
        }
        self.with_wake_up_moved(run, |inner| {
            if let Some(inbox) = inner.inboxes.get_mut(run) {
                inbox.waiting.retain(|id, _| !letters.contains(id));
            }
        });
    }

    /// Makes a change that may affect the run's wake-up time, and updates the index.
    fn with_wake_up_moved<T>(&mut self, run: &RunId, change: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(place) = self.wake_up(run) {
            self.wake_ups.remove(&place);
        }
        let done = change(self);
        self.wake_ups.extend(self.wake_up(run));
        done
    }
}
