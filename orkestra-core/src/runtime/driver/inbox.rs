//! The run's letters: read, decided on, and gone with the commit that follows from them.
//!
//! IMPORTANT: a letter that nothing follows from is discarded only when all that was decided before it is durable: after a
//! crash in between something may follow from it.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::{CodecError, decode_letter};
use crate::kernel::{InputKind, Rejection, at_signal};
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{Name, Payload};
use crate::store::{Letter, LetterId, StoreError, StoreErrorKind};

use super::reload::is_lasting;
use super::{Driver, Turn};
use crate::runtime::error::Error;
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;

/// The delay before letters are read again that could not be read; doubled each time.
const INBOX_AGAIN: Duration = Duration::from_millis(50);
/// The longest of them.
const INBOX_AGAIN_MAX: Duration = Duration::from_secs(1);

impl Driver {
    /// Decides on the letters that wait and were not read yet.
    pub(super) async fn read_inbox(&mut self) -> Result<(), Turn> {
        loop {
            let letters = self.shared.store.letters(&self.run, self.read_up_to, READ_COMMITS_MAX).await;
            let letters = match letters {
                Ok(letters) => letters,
                Err(error) if is_lasting(error.kind()) => return Err(Turn::Reload(error.into())),
                Err(error) => {
                    self.read_inbox_later(&error);
                    return Ok(());
                }
            };
            self.inbox_delay = Duration::ZERO;
            let full = letters.len() >= READ_COMMITS_MAX;
            let mut idle = Vec::new();
            for letter in letters {
                self.read_up_to = letter.id;
                idle.extend(self.read_letter(letter).await?);
            }
            self.discard_after_pending(idle);
            if !full {
                return Ok(());
            }
        }
    }

    /// Letters that cannot be read stay where they are: no reason to end anything.
    fn read_inbox_later(&mut self, error: &StoreError) {
        tracing::warn!(run = %self.run, %error, "letters could not be read, they will be");
        self.inbox_delay = (self.inbox_delay * 2).clamp(INBOX_AGAIN, INBOX_AGAIN_MAX);
        let (shared, run, delay) = (Arc::clone(&self.shared), self.run.clone(), self.inbox_delay);
        self.shared.jobs.spawn(async move {
            tokio::select! {
                biased;
                () = shared.down() => {}
                () = tokio::time::sleep(delay) => shared.look_into_inbox(&run),
            }
        });
    }

    /// Answers the letter's id if nothing follows from it.
    async fn read_letter(&mut self, letter: Letter) -> Result<Option<LetterId>, Turn> {
        let kind = match decode_letter(&letter.body) {
            Ok(InputKind::Signal { signal, payload }) => {
                let payload = self.to_be_looked_at(&signal, payload).await?;
                InputKind::Signal { signal, payload }
            }
            Ok(kind) => kind,
            Err(error @ CodecError::Newer { .. }) => {
                // Another engine, of that version, may drive the run.
                return Err(Turn::Blocked(Error::not_drivable(error.to_string())));
            }
            Err(error) => {
                tracing::error!(run = %self.run, letter = %letter.id, %error, "a letter cannot be read");
                return Ok(Some(letter.id));
            }
        };
        match self.decide(kind) {
            Ok(events) if events.is_empty() => Ok(Some(letter.id)),
            Ok(events) => {
                self.commit(events, None, vec![letter.id]).await?;
                Ok(None)
            }
            Err(rejection @ Rejection::Broken(_)) => Err(Turn::Reload(rejection.into())),
            Err(rejection) => {
                tracing::info!(run = %self.run, letter = %letter.id, %rejection, "a letter changed nothing");
                Ok(Some(letter.id))
            }
        }
    }

    /// A signal's payload with its value, if that is kept beside the journal and the plan looks at something in it: whoever
    /// sent it did not know what the plan is now.
    async fn to_be_looked_at(&self, signal: &Name, payload: Payload) -> Result<Payload, Turn> {
        let known = self.state.as_ref().is_none_or(|state| at_signal(state.plan(), signal).answered_by(&payload));
        if known {
            return Ok(payload);
        }
        match insist(|| blobs::fetch(&*self.shared.store, &self.run, payload.clone())).await {
            Ok(value) => Ok(payload.with_value(value)),
            Err(error) if error.store_kind() == Some(StoreErrorKind::Damaged) => Ok(payload),
            Err(error) => Err(Turn::Reload(error)),
        }
    }

    fn discard_after_pending(&mut self, letters: Vec<LetterId>) {
        match self.pending.back_mut() {
            Some(pending) => pending.discard_too(letters),
            None => self.discard(letters),
        }
    }

    /// Removes letters, beside the driver. Those that stay because it did not go well are read again by the next driver.
    pub(super) fn discard(&self, letters: Vec<LetterId>) {
        if letters.is_empty() {
            return;
        }
        let (store, run) = (Arc::clone(&self.shared.store), self.run.clone());
        self.shared.jobs.spawn(async move {
            if let Err(error) = store.discard(&run, &letters).await {
                tracing::warn!(%run, %error, "letters were not discarded, they will be read again");
            }
        });
    }
}
