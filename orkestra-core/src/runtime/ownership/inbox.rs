//! The inbox: how inputs reach a run that another engine drives, in this process or another.
//!
//! ```text
//! tell ──► a driver in this engine? ── yes ──► its channel
//!              │ another engine owns the run
//!              ▼
//!          decided on a copy of its state: refused at once, or sent to the inbox ──► the engine that drives it, now or later
//! ```
//!
//! It must never send what this engine's own driver may already have decided on: that would be a duplicate.

use std::sync::Arc;
use std::time::Duration;

use crate::journal::{decode_letter, encode_letter};
use crate::kernel::{Input, InputKind, decide};
use crate::model::RunId;
use crate::model::limits::READ_COMMITS_MAX;
use crate::store::LetterId;

use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::shared::Shared;
use crate::runtime::storage::blobs;
use crate::runtime::storage::load::load;
use crate::runtime::task::message::Message;

/// The first delay before checking whether a letter was taken; doubled each time.
const TAKEN_LOOK: Duration = Duration::from_millis(5);
/// The longest such delay.
const TAKEN_LOOK_MAX: Duration = Duration::from_millis(500);

impl Shared {
    /// Sends an input to the run's inbox. Returns when the letter was taken, or when it is durable and was not taken
    /// for as long as a lease lasts: then the run's next driver reads it. Returns whether it was taken or is not
    /// needed.
    pub(in crate::runtime) async fn post(&self, run: &RunId, kind: InputKind) -> Result<bool, Error> {
        let internal = |error| Error::from_cause(ErrorKind::Internal, error);
        let Some(body) = encode_letter(kind.clone()).map_err(internal)? else {
            return Err(Error::elsewhere());
        };
        let same = decode_letter(&body).and_then(encode_letter).is_ok_and(|again| again.as_ref() == Some(&body));
        if !same {
            return Err(Error::new(ErrorKind::Invalid, "cannot store this: it could not be read back"));
        }
        let mut state = self.patiently(|| load(&*self.store, run)).await?;
        // What a run owes is sent repeatedly until it was taken, so an identical letter is reused.
        let sent = if kind.is_owed() { self.sent_before(run, &body).await? } else { None };
        self.patiently(|| blobs::keep_again(&*self.store, run, &kind)).await?;
        // The kernel is pure: what the driver will decide is known here, unless something happens in between.
        let input = Input { at: self.clock.now(), chance: 0.0, kind };
        if decide(run, &mut state, input)?.is_empty() {
            return Ok(true);
        }
        let letter = match sent {
            Some(letter) => letter,
            None => self.store.send(run, &body).await?,
        };
        self.taken(run, letter).await
    }

    /// An identical letter that is already waiting.
    async fn sent_before(&self, run: &RunId, body: &[u8]) -> Result<Option<LetterId>, Error> {
        let mut after = LetterId::ZERO;
        loop {
            let letters = self.store.letters(run, after, READ_COMMITS_MAX).await?;
            if let Some(found) = letters.iter().find(|letter| *letter.body == *body) {
                return Ok(Some(found.id));
            }
            match letters.last() {
                Some(last) if letters.len() >= READ_COMMITS_MAX => after = last.id,
                _ => return Ok(None),
            }
        }
    }

    async fn taken(&self, run: &RunId, letter: LetterId) -> Result<bool, Error> {
        let (mut waited, mut delay) = (Duration::ZERO, TAKEN_LOOK);
        while waited < self.lease {
            tokio::select! {
                biased;
                () = self.down() => return Ok(false),
                () = tokio::time::sleep(delay) => {}
            }
            let waiting = self.store.letters(run, LetterId(letter.0.saturating_sub(1)), 1).await;
            match waiting {
                Ok(letters) if letters.first().is_none_or(|first| first.id != letter) => return Ok(true),
                // The letter is durable, even if that cannot be checked at the moment.
                Ok(_) | Err(_) => {}
            }
            waited += delay;
            delay = (delay * 2).min(TAKEN_LOOK_MAX);
        }
        Ok(false)
    }

    /// Notifies the run's driver of new letters if it is in this engine. If its channel is full, it notices them when
    /// its lease is renewed.
    pub(in crate::runtime) fn notify_inbox(&self, run: &RunId) {
        match self.live.sender(run) {
            Some(driver) => drop(driver.try_send(Message::Inbox)),
            None => self.search_owing(),
        }
    }

    /// Makes the waker search for runs that owe work or have letters.
    pub(in crate::runtime) fn search_owing(&self) {
        self.capacity.note_waiting();
        self.parked.notify_one();
    }

    /// Makes the waker search for all runs that another engine has left.
    pub(super) fn search_all(&self) {
        self.capacity.note_left_behind();
        self.search_owing();
    }
}

/// Listens for letters until the engine shuts down.
pub(in crate::runtime) async fn listen(shared: Arc<Shared>) {
    let mut listener = shared.store.listen();
    loop {
        let heard = tokio::select! {
            biased;
            () = shared.down() => return,
            heard = listener.next() => heard,
        };
        match heard {
            Some(run) => shared.notify_inbox(&run),
            None => {
                shared.live.driven().iter().for_each(|run| shared.notify_inbox(run));
                shared.search_owing();
            }
        }
    }
}
