//! The letters that wait in memory. A run with letters has another place in the order of wake-up times: whoever changes
//! the one changes the other.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::model::RunId;
use crate::model::limits::{LETTER_BYTES_MAX, LETTERS_MAX};

use super::super::{Letter, LetterId, StoreError, StoreErrorKind};
use super::Inner;

/// What waits for one run.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: BTreeMap<LetterId, Arc<[u8]>>,
    sent: u64,
}

impl Inner {
    pub(super) fn has_mail(&self, run: &RunId) -> bool {
        self.inboxes.get(run).is_some_and(|inbox| !inbox.waiting.is_empty())
    }

    pub(super) fn send(&mut self, run: &RunId, body: &[u8]) -> Result<LetterId, StoreError> {
        let refused = |why: String| Err(StoreError::new(StoreErrorKind::Invalid, why));
        if !self.records.contains_key(run) {
            return refused(format!("there is no run `{run}` to send anything to"));
        }
        if body.len() > LETTER_BYTES_MAX {
            return refused(format!("a letter has {} bytes, {LETTER_BYTES_MAX} are the most", body.len()));
        }
        let waiting = self.inboxes.get(run).map_or(0, |inbox| inbox.waiting.len());
        if waiting >= LETTERS_MAX {
            return refused(format!("{waiting} letters wait for run `{run}`, no more are taken"));
        }
        let id = self.moving(run, |inner| {
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
        self.moving(run, |inner| {
            if let Some(inbox) = inner.inboxes.get_mut(run) {
                inbox.waiting.retain(|id, _| !letters.contains(id));
            }
        });
    }

    /// Does what may give the run another place in the order of wake-up times.
    fn moving<T>(&mut self, run: &RunId, change: impl FnOnce(&mut Self) -> T) -> T {
        if let Some(place) = self.wake_up(run) {
            self.wake_ups.remove(&place);
        }
        let done = change(self);
        self.wake_ups.extend(self.wake_up(run));
        done
    }
}
