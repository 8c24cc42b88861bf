//! Who may run now: keyed limits on how many attempts run at once and how many begin in a time.
//!
//! Pure and synchronous; time is an argument. A claim gets all of its slots at once or none, so that no two claims wait
//! for each other. Order: higher priority first, then first come. A claim that waits for a slot of another limit lets
//! those behind it pass, [`PASSES_MAX`] of them; then they wait for it, so that it cannot starve.
//!
//! Nothing here is durable: what waits or holds is in the journals, and registered anew by a new process. Limits are an
//! engine's own; two engines on one store each grant their own slots.

mod bucket;
mod limit;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{Name, RunId, SlotKey, Timestamp};

use self::bucket::Bucket;
pub use self::limit::Limit;

/// How many may pass a claim that waits for another limit.
const PASSES_MAX: u32 = 64;

/// How many waiting claims of one key are looked at for one free slot: it bounds the price of a grant.
const LOOKS_MAX: usize = 256;

/// What an attempt needs to begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
    pub(super) run: RunId,
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) slots: Vec<SlotKey>,
    pub(super) priority: i32,
}

/// Higher priority first, then first come.
type Order = (Reverse<i32>, u64);
type Who = (RunId, Name);

struct Waiting {
    claim: Claim,
    passed: u32,
}

/// All limits of an engine.
pub(super) struct Limiter {
    limits: HashMap<Name, Limit>,
    buckets: HashMap<SlotKey, Bucket<Order>>,
    waiting: BTreeMap<Order, Waiting>,
    orders: HashMap<Who, Order>,
    holders: HashMap<Who, Vec<SlotKey>>,
    /// Keys of which something may have become free.
    changed: BTreeSet<SlotKey>,
    /// Keys that somebody waits for, whose limit is one of rate.
    refilling: BTreeSet<SlotKey>,
    arrivals: u64,
    sweep_at: usize,
}

impl Limiter {
    pub(super) fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits: limits.into_iter().filter_map(|limit| Some((limit.name().ok()?, limit))).collect(),
            buckets: HashMap::new(),
            waiting: BTreeMap::new(),
            orders: HashMap::new(),
            holders: HashMap::new(),
            changed: BTreeSet::new(),
            refilling: BTreeSet::new(),
            arrivals: 0,
            sweep_at: 1024,
        }
    }

    /// How many claims wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Asks for slots. A claim of the same node that waits already gives way.
    pub(super) fn request(&mut self, at: Timestamp, mut claim: Claim) {
        self.cancel(&claim.run, &claim.node);
        claim.slots.sort_unstable();
        claim.slots.dedup();
        self.arrivals += 1;
        let order = (Reverse(claim.priority), self.arrivals);
        self.sweep(at);
        for slot in &claim.slots {
            let bucket = bucket(&mut self.buckets, &self.limits, slot, at);
            bucket.queue.insert(order);
            if bucket.is_rated() {
                self.refilling.insert(slot.clone());
            }
            self.changed.insert(slot.clone());
        }
        self.orders.insert((claim.run.clone(), claim.node.clone()), order);
        self.waiting.insert(order, Waiting { claim, passed: 0 });
    }

    /// Asks no more.
    pub(super) fn cancel(&mut self, run: &RunId, node: &Name) {
        if let Some(order) = self.orders.remove(&(run.clone(), node.clone())) {
            self.leave_queues(order);
        }
    }

    /// Registers slots that are held already, by an attempt of a process before. There may be more of them than the
    /// limit allows now.
    pub(super) fn hold(&mut self, at: Timestamp, mut claim: Claim) {
        self.cancel(&claim.run, &claim.node);
        claim.slots.sort_unstable();
        claim.slots.dedup();
        for slot in &claim.slots {
            bucket(&mut self.buckets, &self.limits, slot, at).held += 1;
        }
        self.holders.insert((claim.run, claim.node), claim.slots);
    }

    /// Gives back what is held.
    pub(super) fn release(&mut self, run: &RunId, node: &Name) {
        for slot in self.holders.remove(&(run.clone(), node.clone())).unwrap_or_default() {
            if let Some(bucket) = self.buckets.get_mut(&slot) {
                bucket.held = bucket.held.saturating_sub(1);
                self.changed.insert(slot);
            }
        }
    }

    /// The claims that may begin now, and when to ask again because time alone frees something.
    pub(super) fn grants(&mut self, at: Timestamp) -> (Vec<Claim>, Option<Timestamp>) {
        let mut granted = Vec::new();
        self.changed.extend(self.refilling.iter().cloned());
        // Claims without any slots of ours begin at once.
        while let Some(slot) = self.changed.pop_first() {
            self.grant_of(&slot, at, &mut granted);
        }
        let next = self.refilling.iter().filter_map(|slot| self.buckets.get(slot)?.refilled_at(at)).min();
        (granted, next)
    }

    /// Grants what can be granted of those who wait for this slot.
    fn grant_of(&mut self, slot: &SlotKey, at: Timestamp, granted: &mut Vec<Claim>) {
        let mut behind: Option<Order> = None;
        let mut passed: Vec<Order> = Vec::new();
        for _ in 0..LOOKS_MAX {
            let Some(bucket) = self.buckets.get_mut(slot) else { return };
            bucket.refill(at);
            if !bucket.is_free() {
                return;
            }
            let next = behind.map_or_else(
                || bucket.queue.first().copied(),
                |behind| {
                    bucket.queue.range((std::ops::Bound::Excluded(behind), std::ops::Bound::Unbounded)).next().copied()
                },
            );
            let Some(order) = next else { return };
            behind = Some(order);
            if self.can_begin(order, at) {
                for earlier in &passed {
                    if let Some(waiting) = self.waiting.get_mut(earlier) {
                        waiting.passed += 1;
                    }
                }
                granted.extend(self.begin(order));
            } else if self.waiting.get(&order).is_some_and(|waiting| waiting.passed >= PASSES_MAX) {
                return;
            } else {
                passed.push(order);
            }
        }
    }

    fn can_begin(&mut self, order: Order, at: Timestamp) -> bool {
        let Some(waiting) = self.waiting.get(&order) else { return false };
        waiting.claim.slots.iter().all(|slot| {
            self.buckets.get_mut(slot).is_some_and(|bucket| {
                bucket.refill(at);
                bucket.is_free()
            })
        })
    }

    fn begin(&mut self, order: Order) -> Option<Claim> {
        let claim = self.leave_queues(order)?;
        let who = (claim.run.clone(), claim.node.clone());
        self.orders.remove(&who);
        for slot in &claim.slots {
            if let Some(bucket) = self.buckets.get_mut(slot) {
                bucket.take();
            }
        }
        self.holders.insert(who, claim.slots.clone());
        Some(claim)
    }

    fn leave_queues(&mut self, order: Order) -> Option<Claim> {
        let claim = self.waiting.remove(&order)?.claim;
        for slot in &claim.slots {
            if let Some(bucket) = self.buckets.get_mut(slot) {
                bucket.queue.remove(&order);
                if bucket.queue.is_empty() {
                    self.refilling.remove(slot);
                }
                // Whoever stood behind it may be first now.
                self.changed.insert(slot.clone());
            }
        }
        Some(claim)
    }

    /// Forgets keys that nobody holds or waits for. Its price is spread over the keys that came since the last time.
    fn sweep(&mut self, at: Timestamp) {
        if self.buckets.len() >= self.sweep_at {
            self.buckets.retain(|_, bucket| !bucket.is_idle(at));
            self.sweep_at = 2 * self.buckets.len() + 1024;
        }
    }
}

fn bucket<'a>(
    buckets: &'a mut HashMap<SlotKey, Bucket<Order>>,
    limits: &HashMap<Name, Limit>,
    slot: &SlotKey,
    at: Timestamp,
) -> &'a mut Bucket<Order> {
    buckets.entry(slot.clone()).or_insert_with(|| Bucket::new(limits.get(&slot.limit), at))
}

#[cfg(test)]
mod tests;
