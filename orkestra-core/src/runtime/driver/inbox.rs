//! The run's letters: read, decided on, and gone with the commit that follows from them.
//!
//! IMPORTANT: a letter that nothing follows from is discarded only when all that was decided before it is durable: after a
//! crash in between something may follow from it.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::{CodecError, decode_letter};
use crate::kernel::{InputKind, Rejection, at_signal};
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{Name, Payload, RunId};
use crate::store::{Letter, LetterId, StoreError, StoreErrorKind};

use super::reload::is_lasting;
use super::session::Session;
use super::{Driver, Turn};
use crate::runtime::error::Error;
use crate::runtime::storage::blobs;
use crate::runtime::support::patience::insist;

/// The delay before letters are read again that could not be read; doubled each time.
const INBOX_AGAIN: Duration = Duration::from_millis(50);
/// The longest of them.
const INBOX_AGAIN_MAX: Duration = Duration::from_secs(1);

impl Session<'_> {
    /// Decides on the letters that wait and were not read yet.
    pub(super) async fn read_inbox(&mut self) -> Result<(), Turn> {
        loop {
            let letters = self.driver.letters(self.read_up_to).await?;
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

    /// Answers the letter's id if nothing follows from it.
    async fn read_letter(&mut self, letter: Letter) -> Result<Option<LetterId>, Turn> {
        let kind = match read_letter(&self.driver.run, &letter)? {
            Some(InputKind::Signal { signal, payload }) => {
                let payload = self.to_be_looked_at(&signal, payload).await?;
                InputKind::Signal { signal, payload }
            }
            Some(kind) => kind,
            None => return Ok(Some(letter.id)),
        };
        match self.decide(kind) {
            Ok(events) if events.is_empty() => Ok(Some(letter.id)),
            Ok(events) => {
                self.commit(events, None, vec![letter.id]).await?;
                Ok(None)
            }
            Err(rejection @ Rejection::Broken(_)) => Err(Turn::Reload(rejection.into())),
            Err(rejection) => {
                tracing::info!(run = %self.driver.run, letter = %letter.id, %rejection, "a letter changed nothing");
                Ok(Some(letter.id))
            }
        }
    }

    /// A signal's payload with its value, if that is kept beside the journal and the plan looks at something in it: whoever
    /// sent it did not know what the plan is now.
    async fn to_be_looked_at(&self, signal: &Name, payload: Payload) -> Result<Payload, Turn> {
        let known = at_signal(self.state.plan(), signal).answered_by(&payload);
        if known {
            return Ok(payload);
        }
        match insist(|| blobs::fetch(&*self.driver.shared.store, &self.driver.run, payload.clone())).await {
            Ok(value) => Ok(payload.with_value(value)),
            Err(error) if error.store_kind() == Some(StoreErrorKind::Damaged) => Ok(payload),
            Err(error) => Err(Turn::Reload(error)),
        }
    }

    fn discard_after_pending(&mut self, letters: Vec<LetterId>) {
        match self.pending.back_mut() {
            Some(pending) => pending.discard_too(letters),
            None => self.driver.discard(letters),
        }
    }
}

impl Driver {
    /// The letters behind `after`. They stay where they are when the store fails in passing, and are read again later: no
    /// reason to end anything.
    pub(super) async fn letters(&mut self, after: LetterId) -> Result<Vec<Letter>, Turn> {
        match self.shared.store.letters(&self.run, after, READ_COMMITS_MAX).await {
            Ok(letters) => {
                self.inbox_delay = Duration::ZERO;
                Ok(letters)
            }
            Err(error) if is_lasting(error.kind()) => Err(Turn::Reload(error.into())),
            Err(error) => {
                self.read_inbox_later(&error);
                Ok(Vec::new())
            }
        }
    }

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

/// What a letter says; none when nobody can read it. One of a newer version is left to an engine of that version.
pub(super) fn read_letter(run: &RunId, letter: &Letter) -> Result<Option<InputKind>, Turn> {
    match decode_letter(&letter.body) {
        Ok(kind) => Ok(Some(kind)),
        Err(error @ CodecError::Newer { .. }) => Err(Turn::Blocked(Error::not_drivable(error.to_string()))),
        Err(error) => {
            tracing::error!(%run, letter = %letter.id, %error, "invalid letter: it is discarded");
            Ok(None)
        }
    }
}
