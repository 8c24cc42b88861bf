//! Reading the journal again in the same process: the tasks under way go on, and what was decided and may not be durable is
//! decided again.
//!
//! ```text
//! a commit failed ──► put off: state thrown away, tasks and those who wait kept ──► claim, read
//!                        nobody else wrote ──► what is there is answered, the rest is decided again
//!                        somebody did      ──► tasks end, and the run is recovered as after a crash
//! ```
//!
//! IMPORTANT: the claim comes before the read. It fences what is still on its way to the store: what the journal does not hold
//! then will never be in it, so deciding on it again is no second time.

use std::ops::ControlFlow;

use tokio::time::Instant;

use crate::model::limits::{READ_COMMITS_MAX, STORE_PATIENCE};
use crate::model::{Epoch, Seq};
use crate::store::StoreErrorKind;

use super::{Driver, Duration, Turn};
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::message::Message;

/// How often in a row a driver starts again from the journal because of an error that is not the store's.
const RELOADS_MAX: u32 = 6;
/// The delay before the first try; doubled each time.
const RELOAD_DELAY: Duration = Duration::from_millis(50);
/// The longest of them.
const RELOAD_DELAY_MAX: Duration = Duration::from_secs(1);

/// What a driver has had to put up with since it last got on.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    reloads: u32,
}

impl Trouble {
    /// Forgets what is over: the driver got on, or all went well for long enough.
    pub(super) fn got_on(&mut self, got_on: bool, began: Instant, failed: Instant) {
        if got_on || failed.saturating_duration_since(began) >= STORE_PATIENCE {
            *self = Self::default();
        }
    }

    /// Once more; the delay before the next try, or none when there is to be none.
    pub(super) fn again(&mut self, error: &Error, failed: Instant) -> Option<Duration> {
        self.reloads += 1;
        let since = *self.since.get_or_insert(failed);
        let passes = matches!(error.kind(), ErrorKind::Store | ErrorKind::Unknown);
        let hopeless = if passes { since.elapsed() >= STORE_PATIENCE } else { self.reloads > RELOADS_MAX };
        let doubled = RELOAD_DELAY.saturating_mul(1 << (self.reloads - 1).min(10));
        (!hopeless).then(|| doubled.min(RELOAD_DELAY_MAX))
    }
}

impl Driver {
    /// Lets go of a run that cannot be driven here for now.
    pub(super) fn give_up(&self, error: &Error, lasting: bool) {
        tracing::error!(run = %self.run, %error, "the run is not driven any more");
        // What another engine may have gone on with is looked at again: here it is not known when that has ended.
        let passes = !lasting || error.is_not_drivable() && self.shared.others_may_drive();
        let retry_at = passes.then(|| Instant::now() + self.shared.lease);
        self.shared.blocked.add(&self.run, error.clone(), retry_at);
        self.shared.telemetry.blocked.increment(1);
        self.progress.send_modify(|_| ());
    }

    /// Waits before the next try.
    pub(super) async fn rest_before_reload(&self, delay: Duration) -> ControlFlow<()> {
        tokio::select! {
            biased;
            () = self.shared.down() => ControlFlow::Break(()),
            () = self.ownership.ended() => { self.ownership.end(); ControlFlow::Continue(()) }
            () = tokio::time::sleep(delay) => ControlFlow::Continue(()),
        }
    }

    /// Keeps the tasks of a run that cannot be driven for now; returns when it is to be tried again: after a while, or when
    /// somebody sends it something.
    pub(super) async fn outlast(&mut self, error: &Error) -> ControlFlow<()> {
        self.unsure.iter_mut().for_each(|pending| pending.refuse_asker(error));
        for message in std::mem::take(&mut self.kept) {
            match message {
                Message::Input { reply, .. } => drop(reply.send(Err(error.clone()))),
                message => self.kept.push(message),
            }
        }
        let again = Instant::now() + self.shared.lease;
        loop {
            let message = tokio::select! {
                biased;
                () = self.shared.down() => return ControlFlow::Break(()),
                () = self.ownership.ended() => {
                    self.ownership.end();
                    break;
                }
                message = self.messages.recv() => message,
                () = tokio::time::sleep_until(again) => break,
            };
            let asked = matches!(message, Some(Message::Input { .. }));
            self.kept.extend(message);
            if asked {
                break;
            }
        }
        self.shared.blocked.remove(&self.run);
        ControlFlow::Continue(())
    }

    /// Ends the tasks under way, and what they asked for.
    pub(super) async fn abandon(&mut self, error: &Error) {
        Invocation::end_all(std::mem::take(&mut self.invoked).into_values().collect()).await;
        let unknown =
            Error::new(ErrorKind::Unknown, format!("the outcome cannot be told: {error}")).with_source(error.clone());
        self.unsure.drain(..).for_each(|pending| pending.refuse(&unknown));
        self.waiters.clear();
        self.deferred.clear();
        self.taken_back.clear();
        self.outbox.take();
        self.kept.retain(comes_from_outside);
        while let Ok(message) = self.messages.try_recv() {
            if comes_from_outside(&message) {
                self.kept.push(message);
            }
        }
    }

    /// Whether the run goes on in this process as if nothing had happened: this driver has had it before, knew its journal up to
    /// `known`, and nobody else wrote since. Else what this process did of it is thrown away.
    pub(super) async fn goes_on(&mut self, known: Seq) -> Result<bool, Turn> {
        let Some(recovered) = self.recovered.map(|at| at <= self.durable) else { return Ok(false) };
        let ours = match self.wrote_as.filter(|_| recovered) {
            _ if recovered && self.durable == known => true,
            // Under one epoch: when there was another, all that was written under the one before was read.
            Some(epoch) if self.durable > known => self.wrote_all_after(known, epoch).await?,
            _ => false,
        };
        if !ours {
            self.abandon(&Error::elsewhere()).await;
        }
        Ok(ours)
    }

    async fn wrote_all_after(&self, known: Seq, epoch: Epoch) -> Result<bool, Turn> {
        let mut from = known.plus(1);
        loop {
            let commits = self.shared.store.read(&self.run, from, READ_COMMITS_MAX).await;
            let commits = commits.map_err(|error| Turn::Reload(error.into()))?;
            if commits.iter().any(|commit| commit.epoch != epoch) {
                return Ok(false);
            }
            match commits.last() {
                Some(last) if commits.len() >= READ_COMMITS_MAX => from = last.last.plus(1),
                _ => return Ok(true),
            }
        }
    }
}

/// Whether a message is of use without the tasks that were under way.
const fn comes_from_outside(message: &Message) -> bool {
    matches!(message, Message::Input { .. } | Message::Inbox)
}

/// What a panic in a driver is told as.
pub(super) fn panicked(panic: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the run's driver panicked: {panic}"))
}

/// Whether the store will go on failing until somebody does something about it.
pub(super) const fn is_lasting(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Poisoned | StoreErrorKind::Damaged | StoreErrorKind::Version)
}
