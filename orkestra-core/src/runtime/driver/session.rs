//! A session: one reading of a run's journal and everything done from there. State, lease and record always exist.
//!
//! ```text
//! begin | resume ──► turn: acknowledgement | shutdown | message | report | timer | quiet ──► Stop
//! ```
//!
//! Dropping a session discards its state. Decisions that may not be durable go back to the driver, which also owns the
//! tasks: the next session makes them again if the journal does not contain them.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::Instant;

use crate::kernel::{InputKind, RunState, agenda, wake_at};
use crate::model::Seq;
use crate::model::limits::COMMITS_IN_FLIGHT_MAX;
use crate::store::{Lease, LetterId, RunRecord};

use super::commit::{Pending, next_ack};
use super::errands::Errands;
use super::vacant::Begun;
use super::{CLOCK_CHECK, Driver, Stop};
use crate::runtime::error::Error;

/// A run and its state, as read by its driver.
pub(super) struct Session<'a> {
    pub(super) driver: &'a mut Driver,
    pub(super) lease: Lease,
    pub(super) state: RunState,
    /// The record as stored; `None` before the first commit.
    pub(super) record: Option<RunRecord>,
    /// Decisions on their way to the store.
    pub(super) pending: VecDeque<Pending>,
    /// The input being decided on.
    pub(super) deciding: Option<InputKind>,
    pub(super) errands: Errands,
    /// When child runs that other engines may drive were last checked.
    pub(super) looked_at: Instant,
    /// The last inbox letter that was decided on.
    pub(super) read_up_to: LetterId,
    /// The position from which on a new snapshot is worth its cost.
    pub(super) snapshot_at: Seq,
}

/// How a session begins.
pub(super) enum Opening {
    /// The run's journal was read.
    Resumed { has_letters: bool },
    /// The run is new.
    Begun(Box<Begun>),
}

impl<'a> Session<'a> {
    pub(super) fn new(driver: &'a mut Driver, lease: Lease, state: RunState) -> Self {
        Self {
            driver,
            lease,
            state,
            record: None,
            pending: VecDeque::new(),
            deciding: None,
            errands: Errands::new(),
            looked_at: Instant::now(),
            read_up_to: LetterId::ZERO,
            snapshot_at: Seq::ZERO,
        }
    }

    /// Drives the run until the session ends.
    pub(super) async fn drive(&mut self, opening: Opening) -> Result<Infallible, Stop> {
        match opening {
            Opening::Resumed { has_letters } => self.resume(has_letters).await?,
            Opening::Begun(begun) => self.begin(begun).await?,
        }
        self.driver.shared.slots.registered(&self.driver.run);
        self.turn().await
    }

    async fn begin(&mut self, begun: Box<Begun>) -> Result<(), Stop> {
        let Begun { commit, written, asked, reply, others } = *begun;
        self.driver.known.incarnation.clone_from(&self.state.options().incarnation);
        self.deciding = Some(asked);
        self.submit(&commit, written, reply, Vec::new()).await;
        others.into_iter().for_each(|(reply, answer)| self.answer_after_pending(reply, answer));
        self.decide_again().await?;
        self.answer_held_back().await
    }

    /// Finishes what the previous session or process left undone.
    async fn resume(&mut self, has_letters: bool) -> Result<(), Stop> {
        let continues = self.driver.continues(&self.state).await?;
        self.snapshot_at = self.driver.shared.next_snapshot(self.state.last());
        self.driver.trace.knows(&self.driver.shared.telemetry, &self.state, self.lease.epoch);
        self.record = Some(RunRecord::of(&self.state));
        self.take_up(continues).await?;
        self.answer_held_back().await?;
        if has_letters { self.read_inbox().await } else { Ok(()) }
    }

    async fn take_up(&mut self, continues: bool) -> Result<(), Stop> {
        let ends = self.state.status().is_ending();
        if !ends {
            self.driver.known.paused.send_replace(self.state.pause().is_some());
        }
        self.reset_heartbeats();
        self.publish();
        if self.state.status().is_final() {
            self.decide_again().await?;
            self.perform_all();
            return Ok(());
        }
        self.check_code()?;
        self.read_unread(None).await?;
        self.hold_slots();
        if !continues {
            self.input(InputKind::Recover, None).await?;
            self.driver.known.recovered = Some(self.state.last());
        }
        // IMPORTANT: before anything is called. An attempt whose end is decided again is over.
        self.decide_again().await?;
        self.perform_all();
        if ends {
            self.answer_deferred();
        }
        Ok(())
    }

    /// Whether this engine has everything that the run's plan needs.
    fn check_code(&self) -> Result<(), Stop> {
        let (shared, plan) = (&self.driver.shared, self.state.plan());
        let workflow = plan.workflow();
        if let Some(task) = shared.code.missing_task(plan) {
            let message =
                format!("workflow `{workflow}` needs task `{task}`, which is not registered with this engine");
            return Err(Stop::Blocked(Error::not_drivable(message)));
        }
        if let Some(limit) = shared.missing_limit(plan) {
            let message = format!("workflow `{workflow}` needs limit `{limit}`, which is not defined in this engine");
            return Err(Stop::Blocked(Error::not_drivable(message)));
        }
        Ok(())
    }

    /// Decides on the messages that arrived while there was no session.
    async fn answer_held_back(&mut self) -> Result<(), Stop> {
        while let Some(message) = self.driver.held_back.pop_front() {
            self.message(Some(message)).await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<Infallible, Stop> {
        let shared = Arc::clone(&self.driver.shared);
        loop {
            if self.nothing_left() {
                return Err(Stop::Idle);
            }
            let frees_capacity = self.driver.idle || self.waits_for_children();
            self.driver.set_frees_capacity(frees_capacity);
            let timer = self.until_timer();
            let quiet = self.may_park();
            let may_decide = self.pending.len() < COMMITS_IN_FLIGHT_MAX;
            tokio::select! {
                biased;
                result = next_ack(&mut self.pending), if !self.pending.is_empty() => self.acknowledged(result).await,
                () = shared.down() => self.release().await,
                message = self.driver.messages.recv(), if may_decide => self.message(message).await,
                () = self.driver.outbox.filled(), if may_decide => self.reports().await,
                () = tokio::time::sleep(timer.unwrap_or(CLOCK_CHECK)), if timer.is_some() && may_decide => {
                    self.tick().await
                }
                () = tokio::time::sleep(shared.park_after), if quiet => self.park().await,
            }?;
        }
    }

    /// Whether the run has ended and everything was answered.
    fn nothing_left(&self) -> bool {
        let over = self.state.status().is_final() && agenda(&self.state).next().is_none();
        over && self.pending.is_empty() && self.driver.messages.is_empty()
    }

    /// Ends the session because the driver leaves the run, and notes when to wake it. A parked run keeps its place
    /// in the queue for slots; one that is refused here does not. No slots are kept: the engine that resumes a paused
    /// run may be another one, at an unknown time.
    pub(super) fn finish(mut self, refused: bool) {
        self.driver.trace.left(&self.state, !refused);
        let slots = &self.driver.shared.slots;
        if !refused && self.state.status().is_final() {
            slots.release_all(&self.driver.run);
        } else if !refused {
            self.state.running().for_each(|id| slots.release(&self.driver.run, self.state.name(id)));
        }
        if !refused {
            // An errand that is about to finish may do so.
            self.errands.clear();
        }
        self.driver.wake = wake_at(&self.state);
    }
}

impl Drop for Session<'_> {
    /// The journal is read again, or the driver leaves: nothing that is not durable may be shown or performed.
    fn drop(&mut self) {
        self.driver.uncertain.append(&mut self.pending);
        std::mem::take(&mut self.errands).into_values().for_each(|errand| errand.abort());
    }
}
