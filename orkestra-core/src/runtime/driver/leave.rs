//! A driver leaves its run: it has ended, is parked, was taken over, or was given up.

use std::mem::take;

use crate::kernel::{InputKind, TaskRequest};

use super::commit::next_ack;
use super::session::Session;
use super::{Driver, Stop};
use crate::runtime::error::Error;
use crate::runtime::shared::Shared;
use crate::runtime::task::invocation::Invocation;
use crate::runtime::task::message::Message;

impl Session<'_> {
    /// The engine shuts down: ends the tasks, waits for pending commits, and finally records that no process was lost.
    /// What does not become durable is answered as unknown, and counts like a crash.
    pub(super) async fn release(&mut self) -> Result<(), Stop> {
        Invocation::end_all(take(&mut self.driver.invoked).into_values().collect()).await;
        // Finished work is recorded; work that has not started is not started.
        while let Ok(message) = self.driver.messages.try_recv() {
            match message {
                Message::Request { request: TaskRequest::EndStep { .. } | TaskRequest::Charge { .. }, .. } => {
                    self.message(Some(message)).await?;
                }
                message => self.driver.held_back.push_back(message),
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
            self.defer_unstarted().await?;
        }
        Err(Stop::ShutDown)
    }
}

impl Driver {
    /// Releases the run. Messages that arrived in the meantime go to the next driver, or are refused with the reason
    /// why there is none.
    pub(super) async fn leave(mut self, refusal: Option<Error>) {
        self.set_active();
        self.set_frees_capacity(false);
        if let Some(error) = &refusal {
            self.abandon(error).await;
            self.shared.slots.release_all(&self.run);
        }
        self.shared.leases.remove(&self.run);
        self.shared.slots.registered(&self.run);
        if let Some(lease) = self.lease.take()
            && let Err(error) = self.shared.claims.release(lease).await
        {
            tracing::warn!(run = %self.run, %error, "cannot release a lease; it will expire");
        }
        self.shared.live.leave(&self.run, &self.sender);
        // Followers of the run have to poll the store from now on.
        self.progress.send_modify(|_| ());
        self.shared.neighbours.notify_news(&self.run);
        self.shared.wake(self.wake);
        if refusal.as_ref().is_some_and(Error::is_not_drivable) {
            // An engine that can drive it may have been turned away by our lease.
            self.shared.neighbours.for_others(Shared::search_owing);
        }
        self.messages.close();
        while let Some(message) = self.messages.recv().await {
            self.held_back.push_back(message);
        }
        for message in self.held_back.drain(..) {
            match (message, &refusal) {
                (Message::Input { reply, .. }, Some(error)) => drop(reply.send(Err(error.clone()))),
                (message @ Message::Input { .. }, None) => self.shared.forward(&self.run, message),
                // The tasks of a run that is left have been dropped, or are about to be.
                (Message::Request { .. } | Message::Ended { .. } | Message::Inbox, _) => {}
            }
        }
    }
}
