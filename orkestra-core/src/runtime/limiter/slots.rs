//! Slots of this engine: what its runs ask for, hold and give back. The rules are the limiter's; here it meets time.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::model::{Name, RunId, SlotKey, Timestamp};
use crate::projection::SlotWait;

use super::{Claim, Limit, Limiter};
use crate::runtime::task::activity::Activity;

pub(in crate::runtime) struct Slots {
    table: Mutex<Table>,
    changed: Notify,
    /// Told when runs may wait for each other that did not before.
    knotted: Notify,
    limits: Vec<Name>,
}

/// A node of a run.
pub(in crate::runtime) type Who = (RunId, Name);

/// Who holds slots and only waits, and who waits for slots that are all taken, with those who have them.
pub(in crate::runtime) struct Knot {
    pub(in crate::runtime) resting: BTreeSet<Who>,
    pub(in crate::runtime) waiting: BTreeMap<Who, Vec<(SlotKey, Vec<Who>)>>,
}

struct Table {
    limiter: Limiter,
    /// What each node of a run asks for or holds: the attempt, and since when.
    claims: HashMap<RunId, BTreeMap<Name, (u32, Timestamp)>>,
    /// Runs of the process before that may hold slots and have not said so yet. Nothing is granted before they have.
    awaited: HashSet<RunId>,
    /// Nodes that hold slots and only wait.
    resting: BTreeSet<(RunId, Name)>,
    /// The calls of tasks of nodes with slots: one may only wait while there is work in the rest of its run.
    calls: BTreeMap<Who, Weak<Activity>>,
    /// The runs that waited for each other at the last look, each with the reason.
    deadlocked: BTreeMap<RunId, String>,
    /// Whether all such runs are known.
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
            claims: HashMap::new(),
            awaited: HashSet::new(),
            resting: BTreeSet::new(),
            calls: BTreeMap::new(),
            deadlocked: BTreeMap::new(),
            open: false,
        };
        Self { table: Mutex::new(table), changed: Notify::new(), knotted: Notify::new(), limits: names }
    }

    /// A node that holds slots is called: whether it only waits is seen in what the call does.
    pub(in crate::runtime) fn attend(&self, run: &RunId, node: &Name, call: &Arc<Activity>) {
        let mut table = self.lock();
        table.calls.insert((run.clone(), node.clone()), Arc::downgrade(call));
        let knotted = table.may_be_knotted();
        drop(table);
        if knotted {
            self.knotted.notify_one();
        }
    }

    /// A node that holds slots only waits, for as long as nothing else is said.
    pub(in crate::runtime) fn rests(&self, run: &RunId, node: &Name) {
        let mut table = self.lock();
        if table.resting.insert((run.clone(), node.clone())) && table.limiter.waiting() > 0 {
            drop(table);
            self.knotted.notify_one();
        }
    }

    /// Something happens in the run.
    pub(in crate::runtime) fn stirs(&self, run: &RunId) {
        let mut table = self.lock();
        let before = table.resting.len();
        table.resting.retain(|(resting, _)| resting != run);
        if table.resting.len() < before {
            table.deadlocked.clear();
            if table.may_be_knotted() {
                drop(table);
                self.knotted.notify_one();
            }
        }
    }

    /// Returns when it is worth looking whether runs wait for each other.
    pub(in crate::runtime) async fn knotted(&self) {
        self.knotted.notified().await;
    }

    pub(in crate::runtime) fn look_again(&self) {
        self.knotted.notify_one();
    }

    /// Who could wait for whom; `None` when slots alone show that nobody waits for himself.
    pub(in crate::runtime) fn knot(&self) -> Option<Knot> {
        let table = self.lock();
        let only_waits = |call: &Weak<Activity>| call.upgrade().is_some_and(|call| call.only_waits());
        let calls = table.calls.iter().filter(|(_, call)| only_waits(call));
        let resting: BTreeSet<_> = table.resting.iter().chain(calls.map(|(who, _)| who)).cloned().collect();
        if resting.is_empty() || table.limiter.waiting() == 0 {
            return None;
        }
        let waiting = table.limiter.lacking();
        let rest = |holders: &Vec<_>| holders.iter().all(|holder| resting.contains(holder));
        let knotted = waiting.values().flatten().any(|(_, holders)| rest(holders));
        knotted.then_some(Knot { resting, waiting })
    }

    /// Whether somebody who has slots may come to wait for somebody who waits for them.
    pub(in crate::runtime) fn may_be_knotted(&self) -> bool {
        self.lock().may_be_knotted()
    }

    /// These runs wait for each other, for these reasons.
    pub(in crate::runtime) fn are_deadlocked(&self, runs: BTreeMap<RunId, String>) {
        self.lock().deadlocked = runs;
    }

    pub(in crate::runtime) fn deadlocked(&self) -> usize {
        self.lock().deadlocked.len()
    }

    /// Why the run waits for itself through a limit, if it did at the last look.
    pub(in crate::runtime) fn deadlock_of(&self, run: &RunId) -> Option<String> {
        self.lock().deadlocked.get(run).cloned()
    }

    /// The slots that nodes of the run wait for here, with their places in the queue.
    pub(in crate::runtime) fn queue_of(&self, run: &RunId, now: Timestamp) -> BTreeMap<Name, Vec<SlotWait>> {
        let table = self.lock();
        let nodes = table.claims.get(run).into_iter().flat_map(BTreeMap::keys);
        let queue = |node: &Name| table.limiter.queue_of(&(run.clone(), node.clone()), now);
        nodes.filter_map(|node| Some((node.clone(), queue(node)?))).collect()
    }

    /// Whether the engine knows this limit.
    pub(in crate::runtime) fn knows(&self, limit: &Name) -> bool {
        self.limits.contains(limit)
    }

    /// Whether there are no limits at all.
    pub(in crate::runtime) fn none(&self) -> bool {
        self.limits.is_empty()
    }

    /// Whether a node of the run asks for slots, or holds some.
    pub(in crate::runtime) fn has(&self, run: &RunId) -> bool {
        self.lock().claims.contains_key(run)
    }

    /// Asks for slots, once.
    pub(in crate::runtime) fn request(&self, at: Timestamp, claim: Claim) {
        let mut table = self.lock();
        if table.note(at, &claim) {
            self.ask(table, at, claim);
        }
    }

    /// Registers slots that an attempt under way has had; false when they have gone to others meanwhile. Then it asks for them,
    /// and is told of the grant like one that has not begun.
    pub(in crate::runtime) fn hold(&self, at: Timestamp, claim: &Claim) -> bool {
        let mut table = self.lock();
        if !table.note(at, claim) {
            return table.limiter.holds(&claim.run, &claim.node);
        }
        // Nothing was given to others before all that a process before left has said what it holds.
        if table.is_expected(&claim.run) || table.limiter.has_place(claim) {
            table.limiter.hold(at, claim);
            return true;
        }
        self.ask(table, at, claim.clone());
        false
    }

    fn ask(&self, mut table: MutexGuard<'_, Table>, at: Timestamp, claim: Claim) {
        table.limiter.request(at, claim);
        let knotted = table.may_be_knotted();
        drop(table);
        self.changed.notify_one();
        if knotted {
            self.knotted.notify_one();
        }
    }

    /// Gives back what the node holds, or asks for it no more.
    pub(in crate::runtime) fn release(&self, run: &RunId, node: &Name) {
        let mut table = self.lock();
        if table.forget(run, node) {
            let knotted = table.may_be_knotted();
            drop(table);
            self.changed.notify_one();
            if knotted {
                self.knotted.notify_one();
            }
        }
    }

    /// The nodes of the run that ask for slots, or hold some.
    pub(in crate::runtime) fn nodes_of(&self, run: &RunId) -> Vec<Name> {
        self.lock().claims.get(run).into_iter().flat_map(|nodes| nodes.keys().cloned()).collect()
    }

    /// Gives back all that the run holds.
    pub(in crate::runtime) fn release_all(&self, run: &RunId) {
        for node in self.nodes_of(run) {
            self.release(run, &node);
        }
    }

    /// Lets nothing be granted before this run has said what it holds.
    pub(in crate::runtime) fn expect(&self, run: &RunId) {
        if !self.limits.is_empty() {
            self.lock().awaited.insert(run.clone());
        }
    }

    /// All runs that may hold something are known.
    pub(in crate::runtime) fn open(&self) {
        self.lock().open = true;
        self.changed.notify_one();
    }

    /// Whether they are. There is nothing to know without limits.
    pub(in crate::runtime) fn is_open(&self) -> bool {
        self.lock().open
    }

    /// The run has said what it holds, or will not.
    pub(in crate::runtime) fn arrived(&self, run: &RunId) {
        if !self.limits.is_empty() && self.lock().awaited.remove(run) {
            self.changed.notify_one();
        }
    }

    /// Who is given slots now, and when somebody may be next by the clock alone.
    pub(in crate::runtime) fn grants(&self, at: Timestamp) -> (Vec<Claim>, Option<Timestamp>) {
        self.lock().grants(at)
    }

    /// Returns when somebody may be given slots.
    pub(in crate::runtime) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// How long the claim has been there.
    pub(in crate::runtime) fn waited(&self, now: Timestamp, claim: &Claim) -> Duration {
        let table = self.lock();
        let since = table.claims.get(&claim.run).and_then(|nodes| nodes.get(&claim.node));
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
    fn grants(&mut self, at: Timestamp) -> (Vec<Claim>, Option<Timestamp>) {
        if self.open && self.awaited.is_empty() { self.limiter.grants(at) } else { (Vec::new(), None) }
    }

    /// Whether the run is one of a process before that may hold slots and has not said so yet.
    fn is_expected(&self, run: &RunId) -> bool {
        !self.open || self.awaited.contains(run)
    }

    fn may_be_knotted(&self) -> bool {
        (!self.resting.is_empty() || !self.calls.is_empty()) && self.limiter.waiting() > 0
    }

    /// False when the attempt is known.
    fn note(&mut self, at: Timestamp, claim: &Claim) -> bool {
        let nodes = self.claims.entry(claim.run.clone()).or_default();
        if nodes.get(&claim.node).is_some_and(|(attempt, _)| *attempt == claim.attempt) {
            return false;
        }
        nodes.insert(claim.node.clone(), (claim.attempt, at));
        true
    }

    fn forget(&mut self, run: &RunId, node: &Name) -> bool {
        let Some(nodes) = self.claims.get_mut(run) else { return false };
        if nodes.remove(node).is_none() {
            return false;
        }
        if nodes.is_empty() {
            self.claims.remove(run);
        }
        let who = (run.clone(), node.clone());
        if self.resting.remove(&who) | self.calls.remove(&who).is_some() {
            self.deadlocked.clear();
        }
        self.limiter.cancel(run, node);
        self.limiter.release(run, node);
        true
    }
}

/// A claim of a node, for the limiter.
pub(in crate::runtime) fn claim(run: &RunId, node: &Name, attempt: u32, slots: Vec<SlotKey>, priority: i32) -> Claim {
    Claim { run: run.clone(), node: node.clone(), attempt, slots, priority }
}
