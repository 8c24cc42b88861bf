//! One reading of a run's journal and what is done from there: state, lease and record are simply there.
//!
//! ```text
//! begin | resume ──► turn: acknowledgement | shutdown | message | report | timer | quiet ──► Turn
//! ```
//!
//! Dropping a session forgets its state. Decisions that may not be durable are handed back to the driver, and so are the
//! tasks, which the driver owns: the next session decides again on what the journal does not hold.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use tokio::time::Instant;

use crate::kernel::{InputKind, RunState, agenda, wake_at};
use crate::model::limits::COMMITS_IN_FLIGHT_MAX;
use crate::model::{Seq, Timestamp};
use crate::store::{Lease, LetterId, RunRecord};

use super::commit::{Pending, next_ack};
use super::errands::Errands;
use super::vacant::Begun;
use super::{CLOCK_CHECK, Driver, Turn};
use crate::runtime::error::Error;

/// A run with its state, as its driver goes on with it.
pub(super) struct Session<'a> {
    pub(super) driver: &'a mut Driver,
    pub(super) lease: Lease,
    pub(super) state: RunState,
    /// The record that the store has; none before the first commit.
    pub(super) record: Option<RunRecord>,
    /// Decisions on their way to the store.
    pub(super) pending: VecDeque<Pending>,
    /// The input that is being decided on.
    pub(super) deciding: Option<InputKind>,
    pub(super) errands: Errands,
    /// When children were last looked at that others may drive.
    pub(super) looked_at: Instant,
    /// The last letter of the inbox that was decided on.
    pub(super) read_up_to: LetterId,
    /// From which position on a snapshot is worth its price.
    pub(super) snapshot_at: Seq,
}

/// How a session begins.
pub(super) enum Opening {
    /// The run's journal was read.
    Resumed { has_letters: bool },
    /// The run begins.
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

    /// Drives the run until the driver has to do something else.
    pub(super) async fn drive(&mut self, opening: Opening) -> Result<Infallible, Turn> {
        match opening {
            Opening::Resumed { has_letters } => self.resume(has_letters).await?,
            Opening::Begun(begun) => self.begin(begun).await?,
        }
        self.driver.shared.slots.arrived(&self.driver.run);
        self.turn().await
    }

    async fn begin(&mut self, begun: Box<Begun>) -> Result<(), Turn> {
        let Begun { commit, written, asked, reply, letter } = *begun;
        self.deciding = Some(asked);
        self.read_up_to = letter.unwrap_or(LetterId::ZERO);
        self.submit(&commit, written, reply, letter.into_iter().collect()).await;
        self.decide_again().await?;
        self.answer_kept().await?;
        if letter.is_some() { self.read_inbox().await } else { Ok(()) }
    }

    /// Finishes what the session or the process before left undone.
    async fn resume(&mut self, has_letters: bool) -> Result<(), Turn> {
        let last = self.state.last();
        let known = std::mem::replace(&mut self.driver.durable, last);
        self.snapshot_at = self.driver.shared.next_snapshot(last);
        self.driver.trace.knows(&self.driver.shared.telemetry, &self.state, self.lease.epoch);
        self.record = Some(RunRecord::of(&self.state));
        self.take_up(known).await?;
        self.answer_kept().await?;
        if has_letters { self.read_inbox().await } else { Ok(()) }
    }

    async fn take_up(&mut self, known: Seq) -> Result<(), Turn> {
        let ends = self.state.status().is_ending();
        if !ends {
            self.driver.paused.send_replace(self.state.pause().is_some());
        }
        self.forgive_silence();
        self.publish();
        let goes_on = self.driver.goes_on(known).await?;
        if self.state.status().is_final() {
            self.decide_again().await?;
            self.perform_all();
            return Ok(());
        }
        self.check_code()?;
        self.read_unread(None).await?;
        self.hold_slots();
        if !goes_on {
            self.input(InputKind::Recover, None).await?;
            self.driver.recovered = Some(self.state.last());
        }
        // IMPORTANT: before anything is called. An attempt whose end is decided again is over.
        self.decide_again().await?;
        self.perform_all();
        if ends {
            self.answer_deferred();
        }
        Ok(())
    }

    /// Whether this engine has all that the run's plan needs.
    fn check_code(&self) -> Result<(), Turn> {
        let (shared, plan) = (&self.driver.shared, self.state.plan());
        let workflow = plan.workflow();
        if let Some(task) = shared.code.missing_task(plan) {
            let message = format!("workflow `{workflow}` needs the task `{task}`, which this engine does not know");
            return Err(Turn::Blocked(Error::not_drivable(message)));
        }
        if let Some(limit) = shared.missing_limit(plan) {
            let message = format!("workflow `{workflow}` needs the limit `{limit}`, which is not defined");
            return Err(Turn::Blocked(Error::not_drivable(message)));
        }
        Ok(())
    }

    /// Decides on what came while there was no session.
    async fn answer_kept(&mut self) -> Result<(), Turn> {
        for message in std::mem::take(&mut self.driver.kept) {
            self.message(Some(message)).await?;
        }
        Ok(())
    }

    async fn turn(&mut self) -> Result<Infallible, Turn> {
        let shared = Arc::clone(&self.driver.shared);
        loop {
            if self.nothing_left() {
                return Err(Turn::Rest);
            }
            let leaves_capacity = self.driver.rests || self.waits_for_children();
            self.driver.leave_capacity(leaves_capacity);
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

    /// Whether the run has ended, and everybody has been answered.
    fn nothing_left(&self) -> bool {
        let over = self.state.status().is_final() && agenda(&self.state).next().is_none();
        over && self.pending.is_empty() && self.driver.messages.is_empty()
    }

    /// The driver leaves the run; answers when the run is to be woken. A run that was parked keeps its place in the queue for
    /// slots; one that others drive, or nobody, does not. None keeps slots: who paused it here may not be who resumes it, and
    /// nobody knows when.
    pub(super) fn part(mut self, refused: bool) -> Option<Timestamp> {
        self.driver.trace.left(&self.state, !refused);
        let slots = &self.driver.shared.slots;
        if !refused && self.state.status().is_final() {
            slots.release_all(&self.driver.run);
        } else if !refused {
            self.state.running().for_each(|id| slots.release(&self.driver.run, self.state.name(id)));
        }
        if !refused {
            // An errand that is about to end may do so.
            self.errands.clear();
        }
        wake_at(&self.state)
    }
}

impl Drop for Session<'_> {
    /// The journal is read again, or the driver leaves: nothing that is not durable may be shown or performed.
    fn drop(&mut self) {
        self.driver.unsure.append(&mut self.pending);
        std::mem::take(&mut self.errands).into_values().for_each(|errand| errand.abort());
    }
}
