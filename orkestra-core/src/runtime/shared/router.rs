//! How a run is reached: through its driver, which is started for that, or through its inbox when another engine drives it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::kernel::InputKind;
use crate::model::RunId;

use super::Shared;
use crate::runtime::driver::Driver;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::ownership::live::Registration;
use crate::runtime::task::message::Message;

impl Shared {
    /// Lets the run's driver decide on something; answers when what follows is durable.
    /// A run that another engine drives finds it in its inbox.
    pub(in crate::runtime) async fn tell(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<(), Error> {
        self.tell_surely(run, kind).await.map(drop)
    }

    /// The same; answers whether it was decided on, and does not wait in the run's inbox still.
    pub(in crate::runtime) async fn tell_surely(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<bool, Error> {
        let begins = matches!(kind, InputKind::Create { .. } | InputKind::Fork { .. } | InputKind::CancelChild { .. });
        if self.capacity.is_closed() && !begins {
            return self.post(run, kind).await;
        }
        match self.tell_driver(run, kind.clone()).await {
            Err(error) if error.is_elsewhere() => self.post(run, kind).await,
            // Another engine may drive it, now or later. On a store of our own alone there is none, but one that comes
            // after us: the end of a child waits for it, and whoever calls a verb is better told why nothing happens.
            Err(error) if error.is_not_drivable() && (self.others_may_drive() || kind.is_owed()) => {
                self.post(run, kind).await
            }
            told => told.map(|()| true),
        }
    }

    async fn tell_driver(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<(), Error> {
        let (reply, answer) = oneshot::channel();
        self.deliver(run, Message::Input { kind, reply }).await?;
        answer.await.unwrap_or_else(|_| Err(self.unanswered(run)))
    }

    /// Why a driver ended before it answered.
    fn unanswered(&self, run: &RunId) -> Error {
        if self.shutdown.get() {
            return Error::shut_down();
        }
        let gone = || Error::new(ErrorKind::Unknown, "the run's driver ended before it answered");
        self.blocked.reason(run).unwrap_or_else(gone)
    }

    async fn deliver(self: &Arc<Self>, run: &RunId, mut message: Message) -> Result<(), Error> {
        loop {
            if self.shutdown.get() {
                return Err(Error::shut_down());
            }
            match Self::ensure_driven(self, run).send(message).await {
                Ok(()) => return Ok(()),
                // The driver was about to leave: the next one takes it.
                Err(returned) => message = returned.0,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Passes a message on that reached a driver which was about to leave.
    pub(in crate::runtime) fn forward(self: &Arc<Self>, run: &RunId, message: Message) {
        let (shared, run) = (Arc::clone(self), run.clone());
        self.jobs.spawn(async move {
            // Whoever sent it learns from the dropped reply that the engine shuts down.
            drop(shared.deliver(&run, message).await);
        });
    }

    /// The way to the run's driver, which is started if need be.
    pub(in crate::runtime) fn ensure_driven(shared: &Arc<Self>, run: &RunId) -> mpsc::Sender<Message> {
        match shared.live.driver(run) {
            Ok(sender) => sender,
            Err(channels) => {
                shared.blocked.remove(run);
                let sender = channels.sender.clone();
                let registration = Registration::new(shared, run, &channels);
                shared.jobs.spawn(Driver::new(Arc::clone(shared), run.clone(), channels).drive(registration));
                sender
            }
        }
    }

    /// Whether a run that cannot be driven here may be driven by another engine: of another process, or of this one.
    pub(in crate::runtime) fn others_may_drive(&self) -> bool {
        self.store.is_shared() || self.neighbours.any()
    }

    /// Why those who wait for the run wait in vain, as far as this engine can tell.
    pub(in crate::runtime) fn given_up_on(&self, run: &RunId) -> Option<Error> {
        self.blocked.reason(run).filter(|error| !(error.is_not_drivable() && self.others_may_drive()))
    }
}
