//! The engines of one process on one store notify each other of what they do.
//!
//! A store that only one process can open is never polled for what others wrote. Two engines in that process would not
//! notice each other, so they notify: that a run has news, that runs wait for a driver, that a schedule was changed. A
//! decision must never depend on a notification: the receiver reads the store.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::model::RunId;
use crate::store::Store;

use crate::runtime::shared::Shared;

/// The groups of engines of this process, by the store's identity. A group is removed with its last engine.
static ALL: Mutex<BTreeMap<usize, Arc<Neighbourhood>>> = Mutex::new(BTreeMap::new());

/// Numbers the engines of this process.
static ENGINES: AtomicU64 = AtomicU64::new(0);

/// The engines on one store.
#[derive(Default)]
struct Neighbourhood {
    engines: Mutex<Vec<(u64, Weak<Shared>)>>,
    count: AtomicUsize,
}

/// An engine's membership in its group.
pub(in crate::runtime) struct Neighbours {
    store: usize,
    own: u64,
    all: Arc<Neighbourhood>,
}

impl fmt::Debug for Neighbours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Neighbours({})", self.all.count.load(Ordering::Relaxed))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held cannot leave a change half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Neighbours {
    /// A membership that the others do not know about yet.
    pub(in crate::runtime) fn on(store: &dyn Store) -> Self {
        let (store, own) = (store.identity(), ENGINES.fetch_add(1, Ordering::Relaxed));
        Self { store, own, all: Arc::clone(lock(&ALL).entry(store).or_default()) }
    }

    /// Joins the group: from now on the engine is notified.
    pub(in crate::runtime) fn enter(&self, shared: &Arc<Shared>) {
        let mut engines = lock(&self.all.engines);
        engines.push((self.own, Arc::downgrade(shared)));
        self.all.count.store(engines.len(), Ordering::Relaxed);
    }

    /// Leaves the group, and the runs that it drove to the others.
    pub(in crate::runtime) fn leave(&self) {
        self.for_others(Shared::search_all);
        let mut engines = lock(&self.all.engines);
        engines.retain(|(number, _)| *number != self.own);
        self.all.count.store(engines.len(), Ordering::Relaxed);
    }

    /// Whether there are other engines.
    pub(in crate::runtime) fn any(&self) -> bool {
        self.all.count.load(Ordering::Relaxed) > 1
    }

    /// Notifies the others that the run has news.
    pub(in crate::runtime) fn notify_news(&self, run: &RunId) {
        self.for_others(|other| other.live.notify_followers(run));
    }

    /// Calls `act` for every other engine on the store.
    pub(in crate::runtime) fn for_others(&self, act: impl Fn(&Shared)) {
        if !self.any() {
            return;
        }
        let others: Vec<_> = {
            let engines = lock(&self.all.engines);
            let others = engines.iter().filter(|(number, _)| *number != self.own);
            others.filter_map(|(_, shared)| shared.upgrade()).collect()
        };
        others.iter().for_each(|other| act(other));
    }
}

impl Drop for Neighbours {
    fn drop(&mut self) {
        self.leave();
        let mut all = lock(&ALL);
        // This one and that of the map.
        if Arc::strong_count(&self.all) <= 2 {
            all.remove(&self.store);
        }
    }
}
