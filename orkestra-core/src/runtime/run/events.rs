//! Subscriptions: the events of one run from any point on, and the feed of all runs of an engine.

use std::collections::VecDeque;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::broadcast;

use crate::journal::decode;
use crate::kernel::Event;
use crate::model::limits::READ_COMMITS_MAX;
use crate::model::{RunId, Seq, Timestamp};

use super::follow::Follower;
use crate::runtime::error::{Error, ErrorKind};
use crate::runtime::shared::Shared;

/// A position in a run's journal: that of the last event seen. Save it to continue from there after a restart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cursor(pub u64);

impl Cursor {
    /// Before the first event.
    pub const START: Self = Self(0);
}

/// An event of a run with its position and time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunEvent {
    /// The run's id.
    pub run: RunId,
    /// Its position; as a cursor, the place to continue from.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// What happened.
    pub event: Event,
}

impl RunEvent {
    /// The cursor to continue after this event.
    #[must_use]
    pub const fn cursor(&self) -> Cursor {
        Cursor(self.seq.0)
    }
}

/// The events of one run, read from the store: durable, in order and complete, however slow the reader is.
#[derive(Debug)]
pub struct Events {
    shared: Arc<Shared>,
    run: RunId,
    seen: Seq,
    buffer: VecDeque<RunEvent>,
    ended: bool,
    follower: Follower,
}

impl Events {
    pub(super) fn new(shared: Arc<Shared>, run: RunId, after: Cursor) -> Self {
        let follower = Follower::new(&shared, &run);
        Self { shared, run, seen: Seq(after.0), buffer: VecDeque::new(), ended: false, follower }
    }

    /// Returns the next event as soon as there is one; `None` after the last event of a run that has ended.
    ///
    /// Cancel safe: dropping the returned future loses no event.
    /// # Errors
    /// If the store cannot be read, the journal is damaged, the run does not exist, this engine cannot continue the
    /// run, or the engine shuts down.
    pub async fn next(&mut self) -> Result<Option<RunEvent>, Error> {
        loop {
            if let Some(event) = self.buffer.pop_front() {
                self.seen = event.seq;
                return Ok(Some(event));
            }
            if self.ended {
                return Ok(None);
            }
            self.follower.mark();
            self.fill().await?;
            if !self.buffer.is_empty() {
                self.follower.found();
                continue;
            }
            let record = self.shared.record_of(&self.run).await?;
            let Some(record) = record else {
                return Err(Error::new(ErrorKind::NotFound, format!("run `{}` not found", self.run)));
            };
            if record.status.is_final() {
                // IMPORTANT: only the record tells whether the run is over. An event that ends a run may be followed by
                // one that reopens it. Events written between the two reads are read now.
                self.fill().await?;
                self.ended = self.buffer.is_empty();
                continue;
            }
            if let Some(error) = self.shared.given_up_on(&self.run) {
                return Err(error);
            }
            self.follower.news(&self.shared, &self.run).await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let (run, from) = (&self.run, self.seen.plus(1));
        let written = self.shared.patiently(|| self.shared.store.read(run, from, READ_COMMITS_MAX)).await?;
        for commit in written {
            let decoded = decode(&self.run, commit.first, commit.last, &commit.body).map_err(|source| {
                crate::journal::ReplayError::Codec { run: self.run.clone(), first: commit.first, source }
            })?;
            let at = decoded.at;
            let numbered = decoded.events.into_iter().enumerate();
            let events = numbered.map(|(index, event)| (decoded.first.plus(index as u64), event));
            let unseen = events.filter(|(seq, _)| *seq > self.seen);
            self.buffer.extend(unseen.map(|(seq, event)| RunEvent { run: self.run.clone(), seq, at, event }));
        }
        Ok(())
    }
}

/// Announces which runs of an engine have new events. See [`Engine::feed`](crate::Engine::feed).
#[derive(Debug)]
pub struct Feed(pub(in crate::runtime) broadcast::Receiver<(RunId, Seq)>);

/// One item of a [`Feed`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pulse {
    /// This run has new events, up to this position.
    Run(RunId, Seq),
    /// The reader was too slow and missed this many items: any run may have new events.
    Missed(u64),
}

impl Feed {
    /// The next item; `None` when the engine has shut down.
    pub async fn next(&mut self) -> Option<Pulse> {
        match self.0.recv().await {
            Ok((run, seq)) => Some(Pulse::Run(run, seq)),
            Err(broadcast::error::RecvError::Lagged(missed)) => Some(Pulse::Missed(missed)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }
}
