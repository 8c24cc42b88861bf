//! The limiter: which attempts may run under the engine's limits. A pure, synchronous table of slot requests, with time
//! as an argument.
//!
//! ```text
//! request ──► waits in the line of its slots ──grants──► holds them ──release──► gone
//!                     └────────cancel──► gone              ▲
//! hold (after a restart) ──────────────────────────────────┘
//! ```
//!
//! Requests for the same slots wait in one line, and only the first of a line is checked: the cost of a grant grows
//! with the lines that share a slot with it, not with the requests that wait. It must never grant a request only some
//! of its slots, nor grant more slots than exist; only [`Limiter::hold`] may exceed a limit.

mod bucket;
mod instance;
mod limit;
mod queue;
pub(super) mod slots;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::model::{Name, RunId, SlotKey, Timestamp};

use self::instance::{Instance, Line, Rank};

pub use limit::Limit;

/// How often a slot that a request lacks is granted to later requests before its other slots are reserved for it.
const PASSED_MAX: u32 = 8;

/// The request of one attempt for its slots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotRequest {
    pub(super) run: RunId,
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) slots: Vec<SlotKey>,
    pub(super) priority: i32,
}

type Who = (RunId, Name);

#[derive(Debug)]
enum Place {
    Waits(Line, Rank),
    Holds(Line),
}

#[derive(Debug)]
struct Waiting {
    request: SlotRequest,
    /// How often each of its slots was granted to a later request.
    passed: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Limiter {
    limits: HashMap<Name, Limit>,
    instances: HashMap<SlotKey, Instance>,
    lines: HashMap<Line, BTreeMap<Rank, Waiting>>,
    places: HashMap<Who, (u32, Place)>,
    /// Slots whose waiting requests must be checked.
    to_check: BTreeSet<SlotKey>,
    /// When a slot becomes available by time alone.
    wake_ups: BTreeSet<(Timestamp, SlotKey)>,
    turn: u64,
    now: Timestamp,
    prune_at: usize,
}

impl Limiter {
    pub(super) fn new(limits: Vec<Limit>) -> Self {
        Self {
            limits: limits.into_iter().filter_map(|limit| Some((limit.name().ok()?, limit))).collect(),
            instances: HashMap::new(),
            lines: HashMap::new(),
            places: HashMap::new(),
            to_check: BTreeSet::new(),
            wake_ups: BTreeSet::new(),
            turn: 0,
            now: Timestamp::ZERO,
            prune_at: 0,
        }
    }

    /// How many requests wait.
    pub(super) fn waiting(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// Requests slots; [`Limiter::grants`] grants them. An attempt that is already known keeps what it has; another
    /// attempt of the same node replaces it. Limits that are not defined are ignored.
    pub(super) fn request(&mut self, at: Timestamp, request: SlotRequest) {
        let Some((who, line)) = self.admit(at, &request) else { return };
        self.turn += 1;
        let rank = Rank { priority: Reverse(request.priority), turn: self.turn };
        self.places.insert(who, (request.attempt, Place::Waits(Line::clone(&line), rank)));
        let passed = vec![0; line.len()];
        let waiting = self.lines.entry(Line::clone(&line)).or_default();
        let old_first = waiting.first_key_value().map(|(first, _)| *first);
        waiting.insert(rank, Waiting { request, passed });
        self.update_first(&line, old_first);
    }

    /// Registers an attempt that holds its slots already, without checking the limit.
    pub(super) fn hold(&mut self, at: Timestamp, request: &SlotRequest) {
        self.cancel(&request.run, &request.node);
        let Some((who, line)) = self.admit(at, request) else { return };
        for slot in &*line {
            self.instance(slot).hold();
        }
        self.places.insert(who, (request.attempt, Place::Holds(line)));
    }

    /// Whether the node holds its slots.
    pub(super) fn holds(&self, run: &RunId, node: &Name) -> bool {
        matches!(self.places.get(&(run.clone(), node.clone())), Some((_, Place::Holds(_))))
    }

    /// Whether the slots of the request are free. Rates are ignored: they limit only how many attempts begin.
    pub(super) fn has_free_slot(&self, request: &SlotRequest) -> bool {
        let mut known = request.slots.iter().filter_map(|slot| self.instances.get(slot));
        known.all(Instance::has_free_slot)
    }

    /// Withdraws a waiting request. Held slots are kept.
    pub(super) fn cancel(&mut self, run: &RunId, node: &Name) {
        let who = (run.clone(), node.clone());
        if let Some((_, Place::Waits(..))) = self.places.get(&who) {
            self.forget(&who);
        }
    }

    /// Releases held slots. A waiting request stays.
    pub(super) fn release(&mut self, run: &RunId, node: &Name) {
        let who = (run.clone(), node.clone());
        if let Some((_, Place::Holds(_))) = self.places.get(&who) {
            self.forget(&who);
        }
    }

    /// The nodes that wait for slots of which none is free, and for each such slot its holders. Rates are ignored: they
    /// recover with time.
    pub(super) fn lacking(&self) -> BTreeMap<Who, Vec<(SlotKey, Vec<Who>)>> {
        let mut holders: BTreeMap<&SlotKey, Vec<Who>> = BTreeMap::new();
        let ordered: BTreeMap<_, _> = self.places.iter().collect();
        for (who, (_, place)) in &ordered {
            if let Place::Holds(line) = place {
                line.iter().for_each(|slot| holders.entry(slot).or_default().push((*who).clone()));
            }
        }
        let full = |slot: &&SlotKey| self.instances.get(*slot).is_some_and(|instance| !instance.has_free_slot());
        let mut lacking = BTreeMap::new();
        for (who, (_, place)) in ordered {
            if let Place::Waits(line, _) = place {
                let full = line.iter().filter(full);
                let full = full.map(|slot| (slot.clone(), holders.get(slot).cloned().unwrap_or_default()));
                lacking.insert(who.clone(), full.collect());
            }
        }
        lacking
    }

    /// Grants slots; returns the granted requests, and when to call again if nothing else happens.
    pub(super) fn grants(&mut self, at: Timestamp) -> (Vec<SlotRequest>, Option<Timestamp>) {
        self.advance_clock(at);
        let mut granted = Vec::new();
        // The lines of all these slots are checked in one common order.
        let mut checks: BTreeSet<(Rank, SlotKey)> = BTreeSet::new();
        for slot in std::mem::take(&mut self.to_check) {
            self.schedule_check(None, slot, &mut checks);
        }
        while let Some((rank, slot)) = checks.pop_first() {
            let line = self.instances.get(&slot).and_then(|instance| instance.heads.get(&rank)).cloned();
            if let Some(line) = line
                && self.fits_or_reserve(&line, rank)
            {
                granted.extend(self.grant(&line, rank));
            }
            for slot in std::mem::take(&mut self.to_check) {
                self.schedule_check(None, slot, &mut checks);
            }
            self.schedule_check(Some(rank), slot, &mut checks);
        }
        let nothing = Line::from([]);
        for Waiting { request, .. } in self.lines.remove(&nothing).into_iter().flat_map(BTreeMap::into_values) {
            self.places.insert(who(&request), (request.attempt, Place::Holds(Line::clone(&nothing))));
            granted.push(request);
        }
        (granted, self.wake_ups.first().map(|(at, _)| *at))
    }

    /// Admits a request unless its attempt is known. What the node had for another attempt is released.
    fn admit(&mut self, at: Timestamp, request: &SlotRequest) -> Option<(Who, Line)> {
        let who = who(request);
        match self.places.get(&who) {
            Some((attempt, _)) if *attempt == request.attempt => return None,
            Some(_) => self.forget(&who),
            None => {}
        }
        self.prune(at);
        let line = self.slots_of(request);
        for slot in &*line {
            if let Some(limit) = self.limits.get(&slot.limit).filter(|_| !self.instances.contains_key(slot)) {
                self.instances.insert(slot.clone(), Instance::new(limit, at));
            }
        }
        Some((who, line))
    }

    fn slots_of(&self, request: &SlotRequest) -> Line {
        let known = request.slots.iter().filter(|slot| self.limits.contains_key(&slot.limit));
        known.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn forget(&mut self, who: &Who) {
        match self.places.remove(who) {
            Some((_, Place::Holds(line))) => {
                for slot in &*line {
                    self.instance(slot).release();
                    self.to_check.insert(slot.clone());
                }
            }
            Some((_, Place::Waits(line, rank))) => drop(self.remove_waiting(&line, rank)),
            None => {}
        }
    }

    /// Removes a request from its line; the next one becomes the first.
    fn remove_waiting(&mut self, line: &Line, rank: Rank) -> Option<Waiting> {
        let waiting = self.lines.get_mut(line)?;
        let old_first = waiting.first_key_value().map(|(first, _)| *first);
        let taken = waiting.remove(&rank);
        if waiting.is_empty() {
            self.lines.remove(line);
        }
        self.update_first(line, old_first);
        taken
    }

    /// Updates the slots of a line whose first request may have changed.
    fn update_first(&mut self, line: &Line, old: Option<Rank>) {
        let new = self.lines.get(line).and_then(|waiting| waiting.first_key_value()).map(|(first, _)| *first);
        if new == old {
            return;
        }
        for slot in &**line {
            let instance = self.instance(slot);
            if let Some(old) = old {
                instance.heads.remove(&old);
                instance.reserved_for.remove(&old);
            }
            if let Some(new) = new {
                instance.heads.insert(new, Line::clone(line));
            }
            self.to_check.insert(slot.clone());
        }
    }

    fn advance_clock(&mut self, at: Timestamp) {
        let jumped_back = at < self.now;
        self.now = at;
        while let Some((due, slot)) = self.wake_ups.first().filter(|(due, _)| jumped_back || *due <= at).cloned() {
            self.wake_ups.remove(&(due, slot.clone()));
            self.instance(&slot).wake_at = None;
            self.to_check.insert(slot);
        }
    }

    /// Schedules the first request after `rank` that waits for `slot` for a check, if the slot is available.
    fn schedule_check(&mut self, rank: Option<Rank>, slot: SlotKey, checks: &mut BTreeSet<(Rank, SlotKey)>) {
        let at = self.now;
        let Some(instance) = self.instances.get_mut(&slot) else { return };
        let next = match rank {
            None => instance.heads.first_key_value(),
            Some(rank) => instance.heads.range((std::ops::Bound::Excluded(rank), std::ops::Bound::Unbounded)).next(),
        };
        let Some(next) = next.map(|(next, _)| *next) else { return };
        if instance.is_available(at) {
            if !instance.is_reserved_before(next) {
                checks.insert((next, slot));
            }
        } else if let Some(due) = instance.next()
            && instance.wake_at != Some(due)
        {
            if let Some(old) = instance.wake_at.replace(due) {
                self.wake_ups.remove(&(old, slot.clone()));
            }
            self.wake_ups.insert((due, slot));
        }
    }

    /// Whether the first request of a line fits. If not, and if it was passed often enough, its slots are reserved for
    /// it.
    fn fits_or_reserve(&mut self, line: &Line, rank: Rank) -> bool {
        let at = self.now;
        let mut lacks = Vec::new();
        for (index, slot) in line.iter().enumerate() {
            let instance = self.instance(slot);
            if !instance.is_available(at) || instance.is_reserved_before(rank) {
                lacks.push(index);
            }
        }
        if lacks.is_empty() {
            return true;
        }
        let first = self.lines.get(line).and_then(|waiting| waiting.get(&rank));
        let reserve = first.is_some_and(|first| lacks.iter().all(|index| first.passed[*index] >= PASSED_MAX));
        for slot in &**line {
            let reserved_for = &mut self.instance(slot).reserved_for;
            let changed = if reserve { reserved_for.insert(rank) } else { reserved_for.remove(&rank) };
            if changed && !reserve {
                self.to_check.insert(slot.clone());
            }
        }
        false
    }

    fn grant(&mut self, line: &Line, rank: Rank) -> Option<SlotRequest> {
        let Waiting { request, .. } = self.remove_waiting(line, rank)?;
        let at = self.now;
        let mut reservers = BTreeMap::new();
        for slot in &**line {
            let instance = self.instance(slot);
            instance.take(at);
            let before: Vec<_> = instance.heads.range(..rank).map(|(rank, line)| (*rank, Line::clone(line))).collect();
            reservers.extend(
                instance.reserved_for.iter().filter_map(|rank| Some((*rank, instance.heads.get(rank)?.clone()))),
            );
            for (passed, line) in before {
                self.pass(&line, passed, slot);
            }
        }
        // A request with reserved slots may now lack another slot, for which it was not passed often enough.
        for (rank, line) in reservers {
            self.fits_or_reserve(&line, rank);
        }
        self.places.insert(who(&request), (request.attempt, Place::Holds(Line::clone(line))));
        Some(request)
    }

    fn pass(&mut self, line: &Line, rank: Rank, slot: &SlotKey) {
        let index = line.iter().position(|own| own == slot);
        let first = self.lines.get_mut(line).and_then(|waiting| waiting.get_mut(&rank));
        if let (Some(index), Some(first)) = (index, first) {
            first.passed[index] = first.passed[index].saturating_add(1);
        }
    }

    /// Drops instances that a new request would create just the same. The cost is spread over the instances added since
    /// the last time.
    fn prune(&mut self, at: Timestamp) {
        if self.instances.len() >= self.prune_at {
            let Self { instances, wake_ups, .. } = self;
            instances.retain(|slot, instance| {
                let idle = instance.is_idle(at);
                if let Some(due) = instance.wake_at.filter(|_| idle) {
                    wake_ups.remove(&(due, slot.clone()));
                }
                !idle
            });
            self.prune_at = 2 * self.instances.len() + 256;
        }
    }

    fn instance(&mut self, slot: &SlotKey) -> &mut Instance {
        self.instances.get_mut(slot).expect("a slot of a request that is known has its instance")
    }
}

fn who(request: &SlotRequest) -> Who {
    (request.run.clone(), request.node.clone())
}
