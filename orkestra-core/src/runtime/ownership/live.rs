//! The runs in memory: their drivers, their durable positions, and who follows them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, mpsc};

use crate::model::limits::MAILBOX_INPUTS_MAX;
use crate::model::{RunId, Seq};

use crate::runtime::shared::Shared;
use crate::runtime::support::watch;
use crate::runtime::task::message::Message;
use crate::runtime::telemetry::Gauge;

/// How many items a slow reader of the feed may be behind.
const FEED_BEATS_MAX: usize = 4096;

#[derive(Debug)]
struct Entry {
    driver: Option<mpsc::Sender<Message>>,
    /// Whether the run has ended and its driver is about to leave.
    over: bool,
    progress: watch::Sender<Seq>,
}

/// The channels of a new driver.
pub(in crate::runtime) struct Channels {
    pub(in crate::runtime) sender: mpsc::Sender<Message>,
    pub(in crate::runtime) messages: mpsc::Receiver<Message>,
    pub(in crate::runtime) progress: watch::Sender<Seq>,
}

/// Unregisters a driver when it is dropped, however the driver ended.
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

/// Unregisters the run without driving it. Inputs that arrived in the meantime go to its next driver.
pub(in crate::runtime) async fn give_back(
    shared: &Arc<Shared>,
    run: &RunId,
    channels: Channels,
    registration: Registration,
) {
    let Channels { mut messages, progress, .. } = channels;
    drop(registration);
    progress.send_modify(|_| ());
    shared.neighbours.notify_news(run);
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
    /// `None` when the engine has shut down.
    feed: Mutex<Option<broadcast::Sender<(RunId, Seq)>>>,
}

#[derive(Debug, Default)]
struct Entries {
    by_run: HashMap<RunId, Entry>,
    /// At this number of entries, those that are not needed are dropped.
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

    /// Sends an item to all readers of the feed.
    pub(in crate::runtime) fn beat(&self, run: &RunId, seq: Seq) {
        if let Some(feed) = &*self.feed() {
            // There may be no reader.
            drop(feed.send((run.clone(), seq)));
        }
    }

    /// A reader of the feed from now on; of a closed one if the feed has ended.
    pub(in crate::runtime) fn feed_from_now(&self) -> broadcast::Receiver<(RunId, Seq)> {
        match &*self.feed() {
            Some(feed) => feed.subscribe(),
            None => broadcast::channel(1).1,
        }
    }

    /// Closes the feed after the last item.
    pub(in crate::runtime) fn end_feed(&self) {
        self.feed().take();
    }

    fn feed(&self) -> MutexGuard<'_, Option<broadcast::Sender<(RunId, Seq)>>> {
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes all who follow the run, so that they check for news.
    pub(in crate::runtime) fn notify_followers(&self, run: &RunId) {
        let progress = self.lock().by_run.get(run).map(|entry| entry.progress.clone());
        if let Some(progress) = progress {
            progress.send_modify(|_| ());
        }
    }

    /// Follows the last durable position of a run, whether it is driven or not. Also changes when the engine gives the
    /// run up.
    pub(in crate::runtime) fn progress(&self, run: &RunId) -> watch::Receiver<Seq> {
        let mut entries = self.lock();
        entries.prune();
        entries.entry(run).progress.subscribe()
    }

    /// The channel to the run's driver; if there is none, the channels for a new one, which is registered.
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

    /// The channel to the run's driver, if there is one.
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

    /// The run has ended, durably. Called before those who follow its progress are notified.
    pub(in crate::runtime) fn over(&self, run: &RunId) {
        if let Some(entry) = self.lock().by_run.get_mut(run) {
            entry.over = true;
        }
    }

    /// Whether a driver of this engine is working on the run, which then has not ended.
    pub(in crate::runtime) fn is_under_way(&self, run: &RunId) -> bool {
        self.lock().by_run.get(run).is_some_and(|entry| entry.driver.is_some() && !entry.over)
    }

    /// Unregisters the driver with this channel, if it is still registered; [`Self::ended`] follows when it is gone.
    /// From now on another driver can start.
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

    /// A driver that was registered has ended.
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
        // An error is impossible: the sender is a field of `self`.
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

    /// Drops entries without a driver and without readers. The cost is spread over the entries added since the last
    /// time.
    fn prune(&mut self) {
        if self.by_run.len() >= self.prune_at {
            self.by_run.retain(|_, entry| entry.driver.is_some() || entry.progress.receiver_count() > 0);
            self.prune_at = 2 * self.by_run.len() + 1024;
        }
    }
}
