//! A driver leaves its run: ended, parked, taken by somebody else, or given up.

use std::mem::take;

use crate::kernel::{InputKind, TaskRequest};
use crate::model::Timestamp;

use super::commit::next_ack;
use super::session::Session;
use super::{Driver, Turn};
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::message::Message;

impl Session<'_> {
    /// The engine shuts down: ends the tasks, and waits for what is on its way to the store, and last for a word that no
    /// process was lost. What does not get there is told as unknown, and counts as a crash would.
    pub(super) async fn release(&mut self) -> Result<(), Turn> {
        Invocation::end_all(take(&mut self.driver.invoked).into_values().collect()).await;
        // What they did is written down. What they were about to do is not done.
        while let Ok(message) = self.driver.messages.try_recv() {
            match message {
                Message::Request { request: TaskRequest::EndStep { .. } | TaskRequest::Charge { .. }, .. } => {
                    self.message(Some(message)).await?;
                }
                message => self.driver.kept.push(message),
            }
        }
        self.reports().await?;
        self.input(InputKind::Release, None).await?;
        while !self.pending.is_empty() {
            if next_ack(&mut self.pending).await.is_err() {
                break;
            }
            let written = self.pending.pop_front();
            written.into_iter().for_each(|pending| self.settle(pending, true));
            self.take_back().await?;
        }
        Err(Turn::ShutDown)
    }
}

impl Driver {
    /// Gives the run back. What arrived in the meantime goes to the next driver, or is refused with the reason
    /// why there will be none.
    pub(super) async fn leave(mut self, refusal: Option<Error>, wake: Option<Timestamp>) {
        self.stir();
        self.leave_capacity(false);
        if let Some(error) = &refusal {
            self.abandon(error).await;
            self.shared.slots.release_all(&self.run);
        }
        self.shared.leases.remove(&self.run);
        self.shared.slots.arrived(&self.run);
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.shared.claims.release(lease).await
        {
            tracing::warn!(run = %self.run, %error, "a lease was not released, it will run out");
        }
        self.shared.live.leave(&self.run, &self.sender);
        // Who waits for news of the run has to look for them from now on.
        self.progress.send_modify(|_| ());
        self.shared.neighbours.tell_of(&self.run);
        self.shared.wake(wake);
        if refusal.as_ref().is_some_and(Error::is_not_drivable) {
            // One that can drive it may have met our lease.
            self.shared.neighbours.for_others(Shared::look_for_owing);
        }
        self.messages.close();
        while let Some(message) = self.messages.recv().await {
            self.kept.push(message);
        }
        for message in self.kept.drain(..) {
            match (message, &refusal) {
                (Message::Input { reply, .. }, Some(error)) => drop(reply.send(Err(error.clone()))),
                (message @ Message::Input { .. }, None) => self.shared.forward(&self.run, message),
                // A task of a run that is left has been dropped, or is about to be.
                (Message::Request { .. } | Message::Ended { .. } | Message::Inbox, _) => {}
            }
        }
    }
}
