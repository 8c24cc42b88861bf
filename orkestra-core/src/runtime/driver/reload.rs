//! Reads the journal again in the same process: running tasks continue, and decisions that may not be durable are made
//! again.
//!
//! ```text
//! a commit failed ──► session dropped: state discarded, tasks and waiters kept ──► claim, read
//!                        no other engine wrote ──► durable decisions are answered, the rest is decided again
//!                        another engine wrote  ──► tasks end, and the run is recovered as after a crash
//! ```
//!
//! IMPORTANT: the claim comes before the read. It fences what is still on its way to the store: what the journal does
//! not contain then will never be in it, so deciding on it again is safe.

use std::ops::ControlFlow;

use tokio::time::Instant;

use crate::kernel::RunState;
use crate::model::limits::{READ_COMMITS_MAX, STORE_PATIENCE};
use crate::model::{Epoch, Seq};
use crate::store::StoreErrorKind;

use super::{Driver, Duration, Known, Stop};
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::message::Message;

/// How many times in a row a driver reloads because of an error that is not the store's.
const RELOADS_MAX: u32 = 6;
/// The delay before the first reload; doubled each time.
const RELOAD_DELAY: Duration = Duration::from_millis(50);
/// The longest such delay.
const RELOAD_DELAY_MAX: Duration = Duration::from_secs(1);

/// The failures of a driver since it last made progress.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    since: Option<Instant>,
    reloads: u32,
}

impl Trouble {
    /// Resets the counters if the driver made progress or ran without failures for long enough.
    pub(super) fn made_progress(&mut self, made_progress: bool, began: Instant, failed: Instant) {
        if made_progress || failed.saturating_duration_since(began) >= STORE_PATIENCE {
            *self = Self::default();
        }
    }

    /// Counts a failure; returns the delay before the next try, or `None` to give up.
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
    /// Blocks a run that cannot be driven here for now.
    pub(super) fn give_up(&self, error: &Error, lasting: bool) {
        tracing::error!(run = %self.run, %error, "giving up: the run is not driven any more");
        // If another engine may have taken the run over, it is tried again: when that engine stops is not known here.
        let passes = !lasting || error.is_not_drivable() && self.shared.others_may_drive();
        let retry_at = passes.then(|| Instant::now() + self.shared.lease);
        self.shared.blocked.add(&self.run, error.clone(), retry_at);
        self.shared.telemetry.blocked.increment(1);
        self.progress.send_modify(|_| ());
    }

    /// Waits before the next try.
    pub(super) async fn wait_before_reload(&self, delay: Duration) -> ControlFlow<()> {
        tokio::select! {
            biased;
            () = self.shared.down() => ControlFlow::Break(()),
            () = self.ownership.until_lost() => { self.ownership.lose(); ControlFlow::Continue(()) }
            () = tokio::time::sleep(delay) => ControlFlow::Continue(()),
        }
    }

    /// Keeps the tasks of a run that cannot be driven for now. Returns when to try again: after a while, or when an
    /// input arrives.
    pub(super) async fn keep_tasks(&mut self, error: &Error) -> ControlFlow<()> {
        self.uncertain.iter_mut().for_each(|pending| pending.refuse_asker(error));
        for message in std::mem::take(&mut self.held_back) {
            match message {
                Message::Input { reply, .. } => drop(reply.send(Err(error.clone()))),
                message => self.held_back.push_back(message),
            }
        }
        let again = Instant::now() + self.shared.lease;
        loop {
            let message = tokio::select! {
                biased;
                () = self.shared.down() => return ControlFlow::Break(()),
                () = self.ownership.until_lost() => {
                    self.ownership.lose();
                    break;
                }
                message = self.messages.recv() => message,
                () = tokio::time::sleep_until(again) => break,
            };
            let asked = matches!(message, Some(Message::Input { .. }));
            self.held_back.extend(message);
            if asked {
                break;
            }
        }
        self.shared.blocked.remove(&self.run);
        ControlFlow::Continue(())
    }

    /// Ends the running tasks and drops their requests.
    pub(super) async fn abandon(&mut self, error: &Error) {
        Invocation::end_all(std::mem::take(&mut self.invoked).into_values().collect()).await;
        let unknown = Error::new(ErrorKind::Unknown, format!("the outcome is unknown: {error}; check the run's state"))
            .with_source(error.clone());
        self.uncertain.drain(..).for_each(|pending| pending.refuse(&unknown));
        self.waiters.clear();
        self.deferred.clear();
        self.unstarted.clear();
        self.outbox.take();
        self.held_back.retain(comes_from_outside);
        while let Ok(message) = self.messages.try_recv() {
            if comes_from_outside(&message) {
                self.held_back.push_back(message);
            }
        }
    }

    /// Whether the run, whose journal was just read, continues in this process as if nothing had happened: this driver has
    /// driven it before, and no other engine has written since. Otherwise this process's own work on it is discarded, and
    /// the run is to be recovered.
    ///
    /// IMPORTANT: the position that was read becomes the known one with the verdict, not before. A read that fails in
    /// between must not make the next session take the work of another engine for its own.
    pub(super) async fn continues(&mut self, state: &RunState) -> Result<bool, Stop> {
        let last = state.last();
        let known = self.known.durable > Seq::ZERO;
        if known && self.known.incarnation != state.options().incarnation {
            self.forget_incarnation().await;
        }
        self.known.incarnation.clone_from(&state.options().incarnation);
        let ours = match (self.known.recovered.filter(|at| *at <= last), self.known.last_epoch) {
            (None, _) => false,
            (Some(_), _) if last == self.known.durable => true,
            // All under one epoch: if there was another one, everything written under the previous one was read.
            (Some(_), Some(epoch)) if last > self.known.durable => {
                self.wrote_all_after(self.known.durable, epoch).await?
            }
            (Some(_), _) => false,
        };
        if !ours && self.known.recovered.take().is_some() {
            self.abandon(&Error::elsewhere()).await;
        }
        self.known.durable = last;
        Ok(ours)
    }

    /// The run that this driver knew was deleted.
    pub(super) async fn forget_incarnation(&mut self) {
        self.abandon(&Error::elsewhere()).await;
        self.shared.slots.release_all(&self.run);
        self.beating.clear();
        self.trace.forget_workflow();
        self.known = Known::nothing();
    }

    async fn wrote_all_after(&self, known: Seq, epoch: Epoch) -> Result<bool, Stop> {
        let mut from = known.plus(1);
        loop {
            let commits = self.shared.store.read(&self.run, from, READ_COMMITS_MAX).await;
            let commits = commits.map_err(|error| Stop::Reload(error.into()))?;
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

/// Whether a message is still useful without the tasks that were running.
const fn comes_from_outside(message: &Message) -> bool {
    matches!(message, Message::Input { .. } | Message::Inbox)
}

/// The error for a panic in a driver.
pub(super) fn panicked(panic: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("the run's driver panicked: {panic}"))
}

/// Whether the store keeps failing until it is repaired.
pub(super) const fn is_lasting(kind: StoreErrorKind) -> bool {
    matches!(kind, StoreErrorKind::Poisoned | StoreErrorKind::Damaged | StoreErrorKind::Version)
}
