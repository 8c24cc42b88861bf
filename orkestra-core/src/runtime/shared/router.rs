//! How inputs reach a run: through its driver, which is started if necessary, or through its inbox if another engine
//! drives it.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::kernel::InputKind;
use crate::model::RunId;

use super::Shared;
use crate::runtime::driver::Driver;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::ownership::live::{Channels, Registration};
use crate::runtime::task::message::Message;

impl Shared {
    /// Sends an input to the run's driver; returns when the decision is durable. If another engine drives the run, the
    /// input goes into its inbox.
    pub(in crate::runtime) async fn tell(self: &Arc<Self>, run: &RunId, kind: InputKind) -> Result<(), Error> {
        self.tell_checked(run, kind).await.map(drop)
    }

    /// Like [`tell`](Self::tell); returns whether it was decided on, and is not still waiting in the run's inbox.
    pub(in crate::runtime) async fn tell_checked(
        self: &Arc<Self>,
        run: &RunId,
        kind: InputKind,
    ) -> Result<bool, Error> {
        let begins = matches!(kind, InputKind::Create { .. } | InputKind::Fork { .. } | InputKind::CancelChild { .. });
        if self.capacity.is_closed() && !begins {
            return self.post(run, kind).await;
        }
        match self.tell_driver(run, kind.clone()).await {
            Err(error) if error.is_elsewhere() => self.post(run, kind).await,
            // Another engine may drive it, now or later. On a store of this engine alone, that can only be a later one:
            // the end of a child waits for it, but the caller of a verb is better told why nothing happens.
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
        let gone =
            || Error::new(ErrorKind::Unknown, "the run's driver ended before it answered; check the run's state");
        self.blocked.reason(run).unwrap_or_else(gone)
    }

    async fn deliver(self: &Arc<Self>, run: &RunId, mut message: Message) -> Result<(), Error> {
        loop {
            if self.shutdown.get() {
                return Err(Error::shut_down());
            }
            let driver = match self.live.driver(run) {
                Ok(driver) => driver,
                Err(channels) => {
                    let driver = channels.sender.clone();
                    // A driver of a new run that finds its channel empty leaves, so the message comes first.
                    let sent = driver.try_send(message);
                    Self::start_driver(self, run, channels);
                    match sent {
                        Ok(()) => return Ok(()),
                        // Others were faster and filled the channel.
                        Err(returned) => message = returned.into_inner(),
                    }
                    driver
                }
            };
            match driver.send(message).await {
                Ok(()) => return Ok(()),
                // The driver was about to leave: the next one takes the message.
                Err(returned) => message = returned.0,
            }
            tokio::task::yield_now().await;
        }
    }

    /// Passes on a message that reached a driver which was about to leave.
    pub(in crate::runtime) fn forward(self: &Arc<Self>, run: &RunId, message: Message) {
        let (shared, run) = (Arc::clone(self), run.clone());
        self.jobs.spawn(async move {
            // The dropped reply tells the sender that the engine shuts down.
            drop(shared.deliver(&run, message).await);
        });
    }

    /// The channel to the run's driver, which is started if necessary.
    pub(in crate::runtime) fn ensure_driven(shared: &Arc<Self>, run: &RunId) -> mpsc::Sender<Message> {
        match shared.live.driver(run) {
            Ok(sender) => sender,
            Err(channels) => {
                let sender = channels.sender.clone();
                Self::start_driver(shared, run, channels);
                sender
            }
        }
    }

    fn start_driver(shared: &Arc<Self>, run: &RunId, channels: Channels) {
        shared.blocked.remove(run);
        let registration = Registration::new(shared, run, &channels);
        shared.jobs.spawn(Driver::new(Arc::clone(shared), run.clone(), channels).drive(registration));
    }

    /// Whether another engine, of this process or another, may drive a run that this one cannot.
    pub(in crate::runtime) fn others_may_drive(&self) -> bool {
        self.store.is_shared() || self.neighbours.any()
    }

    /// Why waiting for the run is pointless, as far as this engine knows.
    pub(in crate::runtime) fn given_up_on(&self, run: &RunId) -> Option<Error> {
        self.blocked.reason(run).filter(|error| !(error.is_not_drivable() && self.others_may_drive()))
    }
}
