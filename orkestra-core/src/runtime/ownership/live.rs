//! The runs that are in memory, how far each has come, and who is interested.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc};

use crate::model::limits::MAILBOX_INPUTS_MAX;
use crate::model::{RunId, Seq};

use crate::runtime::shared::Shared;
use crate::runtime::support::watch;
use crate::runtime::task::message::Message;
use crate::runtime::telemetry::Gauge;

/// Beats that a slow reader of the feed may be behind.
const FEED_BEATS_MAX: usize = 4096;

#[derive(Debug)]
struct Entry {
    driver: Option<mpsc::Sender<Message>>,
    /// The run has ended, and its driver is about to leave.
    over: bool,
    progress: watch::Sender<Seq>,
}

/// What a new driver needs.
pub(in crate::runtime) struct Channels {
    pub(in crate::runtime) sender: mpsc::Sender<Message>,
    pub(in crate::runtime) messages: mpsc::Receiver<Message>,
    pub(in crate::runtime) progress: watch::Sender<Seq>,
}

/// Gives a seat back when it is dropped, however its driver went.
pub(in crate::runtime) struct Registration {
    shared: Arc<Shared>,
    run: RunId,
    driver: mpsc::Sender<Message>,
}

impl Registration {
    pub(in crate::runtime) fn new(shared: &Arc<Shared>, run: &RunId, channels: &Channels) -> Self {
        Self { shared: Arc::clone(shared), run: run.clone(), driver: channels.sender.clone() }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.shared.live.leave(&self.run, &self.driver);
        self.shared.live.ended();
    }
}

/// Gives the seat back. Who wrote to the run meanwhile is answered by its next driver.
pub(in crate::runtime) async fn give_back(
    shared: &Arc<Shared>,
    run: &RunId,
    channels: Channels,
    registration: Registration,
) {
    let Channels { mut messages, progress, .. } = channels;
    drop(registration);
    progress.send_modify(|_| ());
    shared.neighbours.tell_of(run);
    messages.close();
    while let Some(message) = messages.recv().await {
        if matches!(message, Message::Input { .. }) {
            shared.forward(run, message);
        }
    }
}

#[derive(Debug)]
pub(in crate::runtime) struct Live {
    entries: Mutex<Entries>,
    driven: watch::Sender<usize>,
    gauge: Gauge,
    /// None when the engine has shut down.
    feed: Mutex<Option<broadcast::Sender<(RunId, Seq)>>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_run: HashMap<RunId, Entry>,
    /// When there are this many entries, those that nobody needs any more are dropped.
    prune_at: usize,
}

impl Live {
    pub(in crate::runtime) fn new(gauge: Gauge) -> Self {
        Self {
            entries: Mutex::default(),
            driven: watch::Sender::new(0),
            gauge,
            feed: Mutex::new(Some(broadcast::Sender::new(FEED_BEATS_MAX))),
        }
    }

    /// Tells all who read the feed.
    pub(in crate::runtime) fn beat(&self, run: &RunId, seq: Seq) {
        if let Some(feed) = &*self.feed() {
            // Nobody may be listening.
            drop(feed.send((run.clone(), seq)));
        }
    }

    /// Reads the feed from now on; one that has ended is empty.
    pub(in crate::runtime) fn feed_from_now(&self) -> broadcast::Receiver<(RunId, Seq)> {
        match &*self.feed() {
            Some(feed) => feed.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Nothing comes after what was told.
    pub(in crate::runtime) fn end_feed(&self) {
        self.feed().take();
    }

    fn feed(&self) -> MutexGuard<'_, Option<broadcast::Sender<(RunId, Seq)>>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets those who wait for news of the run look.
    pub(in crate::runtime) fn stir(&self, run: &RunId) {
        let progress = self.lock().by_run.get(run).map(|entry| entry.progress.clone());
        if let Some(progress) = progress {
            progress.send_modify(|_| ());
        }
    }

    /// Follows the last durable position of a run, whether it is driven now or not. It also changes when the engine gives
    /// the run up.
    pub(in crate::runtime) fn progress(&self, run: &RunId) -> watch::Receiver<Seq> {
        let mut entries = self.lock();
        entries.prune();
        entries.entry(run).progress.subscribe()
    }

    /// The way to the run's driver; a seat for a new one when there is none.
    pub(in crate::runtime) fn driver(&self, run: &RunId) -> Result<mpsc::Sender<Message>, Channels> {
        let mut entries = self.lock();
        entries.prune();
        let entry = entries.entry(run);
        if let Some(sender) = &entry.driver {
            return Ok(sender.clone());
        }
        let (sender, messages) = mpsc::channel(MAILBOX_INPUTS_MAX);
        entry.driver = Some(sender.clone());
        entry.over = false;
        let progress = entry.progress.clone();
        drop(entries);
        self.driven.send_modify(|count| *count += 1);
        self.gauge.increment(1.0);
        Err(Channels { sender, messages, progress })
    }

    /// The way to the run's driver, if there is one.
    pub(super) fn sender(&self, run: &RunId) -> Option<mpsc::Sender<Message>> {
        self.lock().by_run.get(run).and_then(|entry| entry.driver.clone())
    }

    /// All runs that have a driver.
    pub(super) fn driven(&self) -> Vec<RunId> {
        let entries = self.lock();
        let driven = entries.by_run.iter().filter(|(_, entry)| entry.driver.is_some());
        let mut runs: Vec<_> = driven.map(|(run, _)| run.clone()).collect();
        runs.sort_unstable();
        runs
    }

    pub(in crate::runtime) fn is_driven(&self, run: &RunId) -> bool {
        self.lock().by_run.get(run).is_some_and(|entry| entry.driver.is_some())
    }

    /// The run has ended, durably. Said before those are told who wait for its progress.
    pub(in crate::runtime) fn over(&self, run: &RunId) {
        if let Some(entry) = self.lock().by_run.get_mut(run) {
            entry.over = true;
        }
    }

    /// Whether a driver of this engine is at work on the run, which has not ended then.
    pub(in crate::runtime) fn is_under_way(&self, run: &RunId) -> bool {
        self.lock().by_run.get(run).is_some_and(|entry| entry.driver.is_some() && !entry.over)
    }

    /// The driver with this mailbox gives its seat back, if it has it still, and says [`Self::ended`] when it is gone. Whoever
    /// wants the run from now on starts another.
    pub(in crate::runtime) fn leave(&self, run: &RunId, driver: &mpsc::Sender<Message>) {
        let mut entries = self.lock();
        let has_it = |entry: &&mut Entry| entry.driver.as_ref().is_some_and(|sender| sender.same_channel(driver));
        if let Some(entry) = entries.by_run.get_mut(run).filter(has_it) {
            entry.driver = None;
            if entry.progress.receiver_count() == 0 {
                entries.by_run.remove(run);
            }
        }
    }

    /// Whoever had a seat and gave it back is done.
    pub(super) fn ended(&self) {
        self.driven.send_modify(|count| *count -= 1);
        self.gauge.decrement(1.0);
    }

    /// How many runs are driven.
    pub(in crate::runtime) fn count(&self) -> usize {
        self.driven.get()
    }

    /// Returns when no run is driven.
    pub(in crate::runtime) async fn idle(&self) {
        // The sender is a field of ours: it cannot be gone.
        drop(self.driven.subscribe().wait_for(|count| *count == 0).await);
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entries {
    fn entry(&mut self, run: &RunId) -> &mut Entry {
        let new = || Entry { driver: None, over: false, progress: watch::Sender::default() };
        self.by_run.entry(run.clone()).or_insert_with(new)
    }

    /// Drops entries without driver and reader. Its cost is spread over the entries that came since the last time.
    fn prune(&mut self) {
        if self.by_run.len() >= self.prune_at {
            self.by_run.retain(|_, entry| entry.driver.is_some() || entry.progress.receiver_count() > 0);
            self.prune_at = 2 * self.by_run.len() + 1024;
        }
    }
}
