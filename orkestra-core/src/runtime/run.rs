//! A handle to one run, whether it is in memory or not.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::kernel::{InputKind, Outcome};
use crate::model::{Name, Payload, RunId};
use crate::projection::RunView;
use crate::store::RunRecord;

use super::engine::Shared;
use super::error::{Error, ErrorKind};
use super::events::{Cursor, Events, load};

/// A run. Cheap to clone; dropping it changes nothing for the run.
#[derive(Clone, Debug)]
pub struct Run {
    shared: Arc<Shared>,
    id: RunId,
}

impl Run {
    pub(super) const fn new(shared: Arc<Shared>, id: RunId) -> Self {
        Self { shared, id }
    }

    /// The run's id.
    #[must_use]
    pub const fn id(&self) -> &RunId {
        &self.id
    }

    /// The run at a glance.
    ///
    /// # Errors
    /// When the store cannot be read, or the run was deleted.
    pub async fn status(&self) -> Result<RunRecord, Error> {
        let record = self.shared.store.record(&self.id).await?;
        record.ok_or_else(|| self.not_found())
    }

    /// The run node by node, as far as it is durable.
    ///
    /// # Errors
    /// When the store cannot be read, the journal is damaged, or the run was deleted.
    pub async fn view(&self) -> Result<RunView, Error> {
        let state = load(&*self.shared.store, &self.id).await?;
        state.as_ref().map(RunView::of).ok_or_else(|| self.not_found())
    }

    /// Waits until the run ends and returns how.
    ///
    /// # Errors
    /// When the store cannot be read, or this engine cannot go on with the run.
    pub async fn outcome(&self) -> Result<Outcome, Error> {
        let mut progress = self.shared.live.progress(&self.id);
        loop {
            progress.mark_unchanged();
            if let Some(outcome) = self.status().await?.outcome {
                return Ok(outcome);
            }
            if let Some(error) = self.shared.blocked_by(&self.id) {
                return Err(error);
            }
            tokio::select! {
                changed = progress.changed() => changed.map_err(|_| Error::shut_down())?,
                () = self.shared.down() => return Err(Error::shut_down()),
            }
        }
    }

    /// Waits until the run ends and returns its output.
    ///
    /// # Errors
    /// Of kind [`ErrorKind::RunEnded`] when the run failed (see [`Error::failure`]) or was cancelled; else as
    /// [`Run::outcome`].
    pub async fn output<T: DeserializeOwned>(&self) -> Result<T, Error> {
        match self.outcome().await? {
            Outcome::Completed(output) => Ok(output.to()?),
            Outcome::Failed { node, failure } => Err(Error::run_failed(&node, &failure)),
            Outcome::Cancelled(reason) => {
                Err(Error::new(ErrorKind::RunEnded, format!("run `{}` was cancelled: {reason}", self.id)))
            }
        }
    }

    /// Sends the run a signal. It is durable when this returns, and read by whoever waits for it now or later.
    ///
    /// # Errors
    /// When the run has ended or is not there, or too many signals wait to be read.
    pub async fn signal<T: Serialize + ?Sized>(&self, name: &str, payload: &T) -> Result<(), Error> {
        let (signal, payload) = (Name::new(name)?, Payload::of(payload)?);
        self.shared.tell(&self.id, InputKind::Signal { signal, payload }).await
    }

    /// Asks the run to stop. No node starts any more; tasks under way are asked to end and given up after
    /// [`CANCEL_GRACE`](crate::model::limits::CANCEL_GRACE). That it was asked is durable when this returns; wait for
    /// the [`outcome`](Self::outcome) to see it done.
    ///
    /// # Errors
    /// When the run has ended, is stopping already, or is not there.
    pub async fn cancel(&self, reason: &str) -> Result<(), Error> {
        self.shared.tell(&self.id, InputKind::Cancel { reason: reason.to_owned() }).await
    }

    /// The run's events after `cursor`, those to come included.
    #[must_use]
    pub fn events(&self, cursor: Cursor) -> Events {
        Events::new(Arc::clone(&self.shared), self.id.clone(), cursor)
    }

    fn not_found(&self) -> Error {
        Error::new(ErrorKind::NotFound, format!("there is no run `{}`", self.id))
    }
}
