//! The slots of this engine: what its runs request, hold and release. The rules are the limiter's.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{Name, RunId, SlotKey, Timestamp};
use crate::projection::SlotWait;

use super::{Limit, Limiter, SlotRequest};
use crate::runtime::task::activity::Activity;

pub(in crate::runtime) struct Slots {
    table: Mutex<Table>,
    changed: Notify,
    /// Notified when a new deadlock is possible.
    deadlock_possible: Notify,
    limits: Vec<Name>,
}

/// A node of a run.
pub(in crate::runtime) type Who = (RunId, Name);

/// The idle nodes that hold slots, and the nodes that wait for slots that are all taken, with their holders.
pub(in crate::runtime) struct SlotWaits {
    pub(in crate::runtime) idle: BTreeSet<Who>,
    pub(in crate::runtime) waiting: BTreeMap<Who, Vec<(SlotKey, Vec<Who>)>>,
}

struct Table {
    limiter: Limiter,
    /// What each node of a run requests or holds: the attempt, and since when.
    requests: HashMap<RunId, BTreeMap<Name, (u32, Timestamp)>>,
    /// Runs of the previous process that may hold slots and have not been loaded yet. Nothing is granted before they
    /// are.
    expected: HashSet<RunId>,
    /// Nodes that hold slots and only wait.
    idle: BTreeSet<(RunId, Name)>,
    /// The calls of nodes with slots: one may only wait while other tasks of its run are working.
    calls: BTreeMap<Who, Weak<Activity>>,
    /// The runs that were deadlocked at the last search, each with the reason.
    deadlocked: BTreeMap<RunId, String>,
    /// Whether all runs that may hold slots are known.
    open: bool,
}

impl fmt::Debug for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slots").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Slots {
    pub(in crate::runtime) fn new(limits: Vec<Limit>) -> Self {
        let names = limits.iter().filter_map(|limit| limit.name().ok()).collect();
        let table = Table {
            limiter: Limiter::new(limits),
            requests: HashMap::new(),
            expected: HashSet::new(),
            idle: BTreeSet::new(),
            calls: BTreeMap::new(),
            deadlocked: BTreeMap::new(),
            open: false,
        };
        Self { table: Mutex::new(table), changed: Notify::new(), deadlock_possible: Notify::new(), limits: names }
    }

    /// The task of a node that holds slots is called: the call shows whether it only waits.
    pub(in crate::runtime) fn watch_call(&self, run: &RunId, node: &Name, call: &Arc<Activity>) {
        let mut table = self.lock();
        table.calls.insert((run.clone(), node.clone()), Arc::downgrade(call));
        let possible = table.may_deadlock();
        drop(table);
        if possible {
            self.deadlock_possible.notify_one();
        }
    }

    /// A node that holds slots only waits, until the run is active again.
    pub(in crate::runtime) fn set_idle(&self, run: &RunId, node: &Name) {
        let mut table = self.lock();
        if table.idle.insert((run.clone(), node.clone())) && table.limiter.waiting() > 0 {
            drop(table);
            self.deadlock_possible.notify_one();
        }
    }

    /// Something happened in the run.
    pub(in crate::runtime) fn set_active(&self, run: &RunId) {
        let mut table = self.lock();
        let before = table.idle.len();
        table.idle.retain(|(idle, _)| idle != run);
        if table.idle.len() < before {
            table.deadlocked.clear();
            if table.may_deadlock() {
                drop(table);
                self.deadlock_possible.notify_one();
            }
        }
    }

    /// Returns when a search for deadlocks is worthwhile.
    pub(in crate::runtime) async fn deadlock_possible(&self) {
        self.deadlock_possible.notified().await;
    }

    pub(in crate::runtime) fn search_again(&self) {
        self.deadlock_possible.notify_one();
    }

    /// The input of a search for deadlocks; `None` if the slots alone show that there is none.
    pub(in crate::runtime) fn slot_waits(&self) -> Option<SlotWaits> {
        let table = self.lock();
        let only_waits = |call: &Weak<Activity>| call.upgrade().is_some_and(|call| call.only_waits());
        let calls = table.calls.iter().filter(|(_, call)| only_waits(call));
        let idle: BTreeSet<_> = table.idle.iter().chain(calls.map(|(who, _)| who)).cloned().collect();
        if idle.is_empty() || table.limiter.waiting() == 0 {
            return None;
        }
        let waiting = table.limiter.lacking();
        let all_idle = |holders: &Vec<_>| holders.iter().all(|holder| idle.contains(holder));
        let possible = waiting.values().flatten().any(|(_, holders)| all_idle(holders));
        possible.then_some(SlotWaits { idle, waiting })
    }

    /// Whether a node that holds slots may come to wait for one that waits for them.
    pub(in crate::runtime) fn may_deadlock(&self) -> bool {
        self.lock().may_deadlock()
    }

    /// Sets the deadlocked runs, each with the reason.
    pub(in crate::runtime) fn set_deadlocked(&self, runs: BTreeMap<RunId, String>) {
        self.lock().deadlocked = runs;
    }

    pub(in crate::runtime) fn deadlocked(&self) -> usize {
        self.lock().deadlocked.len()
    }

    /// Why the run is deadlocked, if it was at the last search.
    pub(in crate::runtime) fn deadlock_of(&self, run: &RunId) -> Option<String> {
        self.lock().deadlocked.get(run).cloned()
    }

    /// The slots that nodes of the run wait for in this engine, with their places in the queue.
    pub(in crate::runtime) fn queue_of(&self, run: &RunId, now: Timestamp) -> Vec<(Name, Vec<SlotWait>)> {
        let table = self.lock();
        table.limiter.queue_of(run, table.requests.get(run).into_iter().flat_map(BTreeMap::keys), now)
    }

    /// Whether this limit is defined.
    pub(in crate::runtime) fn knows(&self, limit: &Name) -> bool {
        self.limits.contains(limit)
    }

    /// Whether there are no limits at all.
    pub(in crate::runtime) fn none(&self) -> bool {
        self.limits.is_empty()
    }

    /// Whether a node of the run requests or holds slots.
    pub(in crate::runtime) fn has(&self, run: &RunId) -> bool {
        self.lock().requests.contains_key(run)
    }

    /// Requests slots, once.
    pub(in crate::runtime) fn request(&self, at: Timestamp, request: SlotRequest) {
        let mut table = self.lock();
        if table.note(at, &request) {
            self.ask(table, at, request);
        }
    }

    /// Registers the slots of a running attempt; returns `false` if they were granted to others in the meantime. Then
    /// they are requested, and the grant is announced as for an attempt that has not started.
    pub(in crate::runtime) fn hold(&self, at: Timestamp, request: &SlotRequest) -> bool {
        let mut table = self.lock();
        if !table.note(at, request) {
            return table.limiter.holds(&request.run, &request.node);
        }
        // Nothing is granted to others before all runs of the previous process have registered their slots.
        if table.is_expected(&request.run) || table.limiter.has_free_slot(request) {
            table.limiter.hold(at, request);
            return true;
        }
        self.ask(table, at, request.clone());
        false
    }

    fn ask(&self, mut table: MutexGuard<'_, Table>, at: Timestamp, request: SlotRequest) {
        table.limiter.request(at, request);
        let possible = table.may_deadlock();
        drop(table);
        self.changed.notify_one();
        if possible {
            self.deadlock_possible.notify_one();
        }
    }

    /// Releases what the node holds, or withdraws its request.
    pub(in crate::runtime) fn release(&self, run: &RunId, node: &Name) {
        let mut table = self.lock();
        if table.forget(run, node) {
            let possible = table.may_deadlock();
            drop(table);
            self.changed.notify_one();
            if possible {
                self.deadlock_possible.notify_one();
            }
        }
    }

    /// The nodes of the run that request or hold slots.
    pub(in crate::runtime) fn nodes_of(&self, run: &RunId) -> Vec<Name> {
        self.lock().requests.get(run).into_iter().flat_map(|nodes| nodes.keys().cloned()).collect()
    }

    /// Releases everything that the run holds.
    pub(in crate::runtime) fn release_all(&self, run: &RunId) {
        for node in self.nodes_of(run) {
            self.release(run, &node);
        }
    }

    /// Lets nothing be granted before this run has registered its slots.
    pub(in crate::runtime) fn expect(&self, run: &RunId) {
        if !self.limits.is_empty() {
            self.lock().expected.insert(run.clone());
        }
    }

    /// All runs that may hold slots are known.
    pub(in crate::runtime) fn open(&self) {
        self.lock().open = true;
        self.changed.notify_one();
    }

    /// Whether all runs that may hold slots are known.
    pub(in crate::runtime) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// The run has registered its slots, or will not.
    pub(in crate::runtime) fn registered(&self, run: &RunId) {
        if !self.limits.is_empty() && self.lock().expected.remove(run) {
            self.changed.notify_one();
        }
    }

    /// Which requests are granted now, and when the next one may be by time alone.
    pub(in crate::runtime) fn grants(&self, at: Timestamp) -> (Vec<SlotRequest>, Option<Timestamp>) {
        self.lock().grants(at)
    }

    /// Returns when a request may be granted.
    pub(in crate::runtime) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How long ago the slots were requested.
    pub(in crate::runtime) fn waited(&self, now: Timestamp, request: &SlotRequest) -> Duration {
        let table = self.lock();
        let since = table.requests.get(&request.run).and_then(|nodes| nodes.get(&request.node));
        since.map_or(Duration::ZERO, |(_, since)| now.since(*since))
    }

    /// How many nodes wait for slots.
    pub(in crate::runtime) fn waiting(&self) -> usize {
        self.lock().limiter.waiting()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn grants(&mut self, at: Timestamp) -> (Vec<SlotRequest>, Option<Timestamp>) {
        if self.open && self.expected.is_empty() { self.limiter.grants(at) } else { (Vec::new(), None) }
    }

    /// Whether the run belongs to the previous process and may hold slots that it has not registered yet.
    fn is_expected(&self, run: &RunId) -> bool {
        !self.open || self.expected.contains(run)
    }

    fn may_deadlock(&self) -> bool {
        (!self.idle.is_empty() || !self.calls.is_empty()) && self.limiter.waiting() > 0
    }

    /// Notes an attempt; returns `false` if it is known.
    fn note(&mut self, at: Timestamp, request: &SlotRequest) -> bool {
        let nodes = self.requests.entry(request.run.clone()).or_default();
        if nodes.get(&request.node).is_some_and(|(attempt, _)| *attempt == request.attempt) {
            return false;
        }
        nodes.insert(request.node.clone(), (request.attempt, at));
        true
    }

    fn forget(&mut self, run: &RunId, node: &Name) -> bool {
        let Some(nodes) = self.requests.get_mut(run) else { return false };
        if nodes.remove(node).is_none() {
            return false;
        }
        if nodes.is_empty() {
            self.requests.remove(run);
        }
        let who = (run.clone(), node.clone());
        if self.idle.remove(&who) | self.calls.remove(&who).is_some() {
            self.deadlocked.clear();
        }
        self.limiter.cancel(run, node);
        self.limiter.release(run, node);
        true
    }
}

/// The request of a node's attempt for its slots.
pub(in crate::runtime) fn slot_request(
    run: &RunId,
    node: &Name,
    attempt: u32,
    slots: Vec<SlotKey>,
    priority: i32,
) -> SlotRequest {
    SlotRequest { run: run.clone(), node: node.clone(), attempt, slots, priority }
}
