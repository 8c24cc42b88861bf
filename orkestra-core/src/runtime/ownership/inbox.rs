//! Letters: how a run is told something that another engine drives, in this process or another.
//!
//! ```text
//! tell ──► our own driver?   ── yes ──► its mailbox
//!              │ another engine has the run
//!              ▼
//!          decided on a copy of its state: refused at once, or put into the inbox ──► whoever drives it, now or later
//! ```
//!
//! It must never send what our own driver may have decided on already: that would be told twice.

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

/// The delay before the inbox is looked at whether a letter was taken; doubled each time.
const TAKEN_LOOK: Duration = Duration::from_millis(5);
/// The longest of them.
const TAKEN_LOOK_MAX: Duration = Duration::from_millis(500);

impl Shared {
    /// Puts what the run is to be told into its inbox. Returns when it was taken, or is durable and nobody has taken it for
    /// as long as a lease lasts: then whoever drives the run next will. Answers whether it was taken, or is of no use.
    pub(in crate::runtime) async fn post(&self, run: &RunId, kind: InputKind) -> Result<bool, Error> {
        let internal = |error| Error::from_cause(ErrorKind::Internal, error);
        let Some(body) = encode_letter(kind.clone()).map_err(internal)? else {
            return Err(Error::elsewhere());
        };
        let same = decode_letter(&body).and_then(encode_letter).is_ok_and(|again| again.as_ref() == Some(&body));
        if !same {
            return Err(Error::new(ErrorKind::Invalid, "this cannot be written down: it could not be read back"));
        }
        let mut state = self.patiently(|| load(&*self.store, run)).await?;
        // What is owed is told again until it was taken, and is sent once.
        let sent = if kind.is_owed() { self.sent_before(run, &body).await? } else { None };
        self.patiently(|| blobs::keep_again(&*self.store, run, &kind)).await?;
        // The kernel is pure: what the driver will decide is known here, if nothing comes between.
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

    /// The letter that says just this and waits already.
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
                // It is durable, whether that can be seen at the moment or not.
                Ok(_) | Err(_) => {}
            }
            waited += delay;
            delay = (delay * 2).min(TAKEN_LOOK_MAX);
        }
        Ok(false)
    }

    /// Tells the run's driver that letters wait, if it is ours. One whose mailbox is full hears of them when its lease is
    /// renewed.
    pub(in crate::runtime) fn look_into_inbox(&self, run: &RunId) {
        match self.live.sender(run) {
            Some(driver) => drop(driver.try_send(Message::Inbox)),
            None => self.look_for_owing(),
        }
    }

    /// Lets the waker look for runs that owe work, or have letters.
    pub(in crate::runtime) fn look_for_owing(&self) {
        self.capacity.some_wait();
        self.parked.notify_one();
    }

    /// Lets the waker look for all runs that another engine has left.
    pub(super) fn look_for_all(&self) {
        self.capacity.some_left();
        self.look_for_owing();
    }
}

/// Hears of letters until the engine shuts down.
pub(in crate::runtime) async fn hear(shared: Arc<Shared>) {
    let mut listener = shared.store.listen();
    loop {
        let heard = tokio::select! {
            biased;
            () = shared.down() => return,
            heard = listener.next() => heard,
        };
        match heard {
            Some(run) => shared.look_into_inbox(&run),
            None => {
                shared.live.driven().iter().for_each(|run| shared.look_into_inbox(run));
                shared.look_for_owing();
            }
        }
    }
}
