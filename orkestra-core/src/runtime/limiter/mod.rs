//! Who may run under the engine's limits: a table of claims, pure and synchronous, with time as an argument.
//!
//! ```text
//! request ──► waits in the line of its slots ──grants──► holds them ──release──► gone
//!                     └────────cancel──► gone              ▲
//! hold (after a restart) ──────────────────────────────────┘
//! ```
//!
//! Claims of the same slots stand in one line, and only the first of a line is ever looked at: the cost of a grant grows
//! with the lines that share a slot with it, not with the claims that wait. It must never give a claim some of its slots,
//! nor hand out more than there are; only [`Limiter::hold`] may do that.

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

/// How often a slot that a claim lacks is given to somebody behind it before its other slots are kept for it.
const PASSED_MAX: u32 = 8;

/// One attempt that asks for its slots, or holds them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Claim {
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
    claim: Claim,
    /// How often each of its slots was given to somebody behind it.
    passed: Vec<u32>,
}

#[derive(Debug)]
pub(super) struct Limiter {
    limits: HashMap<Name, Limit>,
    instances: HashMap<SlotKey, Instance>,
    lines: HashMap<Line, BTreeMap<Rank, Waiting>>,
    places: HashMap<Who, (u32, Place)>,
    /// Slots where somebody may fit who did not before.
    news: BTreeSet<SlotKey>,
    /// Slots that have room at a time.
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
            news: BTreeSet::new(),
            wake_ups: BTreeSet::new(),
            turn: 0,
            now: Timestamp::ZERO,
            prune_at: 0,
        }
    }

    /// How many claims wait.
    pub(super) fn waiting(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// Asks for slots; [`Limiter::grants`] gives them. An attempt that is known already keeps what it has, another attempt
    /// of the same node takes its place. Limits that nobody defined limit nothing.
    pub(super) fn request(&mut self, at: Timestamp, claim: Claim) {
        let Some((who, line)) = self.admit(at, &claim) else { return };
        self.turn += 1;
        let rank = Rank { priority: Reverse(claim.priority), turn: self.turn };
        self.places.insert(who, (claim.attempt, Place::Waits(Line::clone(&line), rank)));
        let passed = vec![0; line.len()];
        let waiting = self.lines.entry(Line::clone(&line)).or_default();
        let old_first = waiting.first_key_value().map(|(first, _)| *first);
        waiting.insert(rank, Waiting { claim, passed });
        self.new_first(&line, old_first);
    }

    /// Registers an attempt as one that has its slots, without asking whether there is room.
    pub(super) fn hold(&mut self, at: Timestamp, claim: &Claim) {
        self.cancel(&claim.run, &claim.node);
        let Some((who, line)) = self.admit(at, claim) else { return };
        for slot in &*line {
            self.instance(slot).hold();
        }
        self.places.insert(who, (claim.attempt, Place::Holds(line)));
    }

    /// Whether the node has its slots.
    pub(super) fn holds(&self, run: &RunId, node: &Name) -> bool {
        matches!(self.places.get(&(run.clone(), node.clone())), Some((_, Place::Holds(_))))
    }

    /// Whether nobody else has the slots of the claim. Rates do not count: they limit what begins.
    pub(super) fn has_place(&self, claim: &Claim) -> bool {
        let mut known = claim.slots.iter().filter_map(|slot| self.instances.get(slot));
        known.all(Instance::has_place)
    }

    /// Asks no more. What is held already stays so.
    pub(super) fn cancel(&mut self, run: &RunId, node: &Name) {
        let who = (run.clone(), node.clone());
        if let Some((_, Place::Waits(..))) = self.places.get(&who) {
            self.forget(&who);
        }
    }

    /// Gives back what is held. What still waits goes on waiting.
    pub(super) fn release(&mut self, run: &RunId, node: &Name) {
        let who = (run.clone(), node.clone());
        if let Some((_, Place::Holds(_))) = self.places.get(&who) {
            self.forget(&who);
        }
    }

    /// Who waits for slots of which there are none left, and for each of these who holds them. Rates do not count: time
    /// gives them back.
    pub(super) fn lacking(&self) -> BTreeMap<Who, Vec<(SlotKey, Vec<Who>)>> {
        let mut holders: BTreeMap<&SlotKey, Vec<Who>> = BTreeMap::new();
        let ordered: BTreeMap<_, _> = self.places.iter().collect();
        for (who, (_, place)) in &ordered {
            if let Place::Holds(line) = place {
                line.iter().for_each(|slot| holders.entry(slot).or_default().push((*who).clone()));
            }
        }
        let full = |slot: &&SlotKey| self.instances.get(*slot).is_some_and(|instance| !instance.has_place());
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

    /// Hands out what there is: who has its slots from now on, and when to ask again should nothing else happen.
    pub(super) fn grants(&mut self, at: Timestamp) -> (Vec<Claim>, Option<Timestamp>) {
        self.look_at_the_clock(at);
        let mut granted = Vec::new();
        // All lines with news are gone through at once, first come first served among them, as if they were one.
        let mut looks: BTreeSet<(Rank, SlotKey)> = BTreeSet::new();
        for slot in std::mem::take(&mut self.news) {
            self.look_behind(None, slot, &mut looks);
        }
        while let Some((rank, slot)) = looks.pop_first() {
            let line = self.instances.get(&slot).and_then(|instance| instance.heads.get(&rank)).cloned();
            if let Some(line) = line
                && self.try_first(&line, rank)
            {
                granted.extend(self.grant(&line, rank));
            }
            for slot in std::mem::take(&mut self.news) {
                self.look_behind(None, slot, &mut looks);
            }
            self.look_behind(Some(rank), slot, &mut looks);
        }
        let nothing = Line::from([]);
        for Waiting { claim, .. } in self.lines.remove(&nothing).into_iter().flat_map(BTreeMap::into_values) {
            self.places.insert(who(&claim), (claim.attempt, Place::Holds(Line::clone(&nothing))));
            granted.push(claim);
        }
        (granted, self.wake_ups.first().map(|(at, _)| *at))
    }

    /// Takes a claim in, unless its attempt is known. What the node had for another attempt is given back.
    fn admit(&mut self, at: Timestamp, claim: &Claim) -> Option<(Who, Line)> {
        let who = who(claim);
        match self.places.get(&who) {
            Some((attempt, _)) if *attempt == claim.attempt => return None,
            Some(_) => self.forget(&who),
            None => {}
        }
        self.prune(at);
        let line = self.slots_of(claim);
        for slot in &*line {
            if let Some(limit) = self.limits.get(&slot.limit).filter(|_| !self.instances.contains_key(slot)) {
                self.instances.insert(slot.clone(), Instance::new(limit, at));
            }
        }
        Some((who, line))
    }

    fn slots_of(&self, claim: &Claim) -> Line {
        let known = claim.slots.iter().filter(|slot| self.limits.contains_key(&slot.limit));
        known.cloned().collect::<BTreeSet<_>>().into_iter().collect()
    }

    fn forget(&mut self, who: &Who) {
        match self.places.remove(who) {
            Some((_, Place::Holds(line))) => {
                for slot in &*line {
                    self.instance(slot).give_back();
                    self.news.insert(slot.clone());
                }
            }
            Some((_, Place::Waits(line, rank))) => drop(self.take_out(&line, rank)),
            None => {}
        }
    }

    /// Takes a claim out of its line; the next one is the first from now on.
    fn take_out(&mut self, line: &Line, rank: Rank) -> Option<Waiting> {
        let waiting = self.lines.get_mut(line)?;
        let old_first = waiting.first_key_value().map(|(first, _)| *first);
        let taken = waiting.remove(&rank);
        if waiting.is_empty() {
            self.lines.remove(line);
        }
        self.new_first(line, old_first);
        taken
    }

    /// The line may have another first claim now: it is the one that the slots know.
    fn new_first(&mut self, line: &Line, old: Option<Rank>) {
        let new = self.lines.get(line).and_then(|waiting| waiting.first_key_value()).map(|(first, _)| *first);
        if new == old {
            return;
        }
        for slot in &**line {
            let instance = self.instance(slot);
            if let Some(old) = old {
                instance.heads.remove(&old);
                instance.kept_for.remove(&old);
            }
            if let Some(new) = new {
                instance.heads.insert(new, Line::clone(line));
            }
            self.news.insert(slot.clone());
        }
    }

    fn look_at_the_clock(&mut self, at: Timestamp) {
        let jumped_back = at < self.now;
        self.now = at;
        while let Some((due, slot)) = self.wake_ups.first().filter(|(due, _)| jumped_back || *due <= at).cloned() {
            self.wake_ups.remove(&(due, slot.clone()));
            self.instance(&slot).wake_at = None;
            self.news.insert(slot);
        }
    }

    /// Puts the first claim behind `rank` that waits for `slot` among those to look at, if there is room for it.
    fn look_behind(&mut self, rank: Option<Rank>, slot: SlotKey, looks: &mut BTreeSet<(Rank, SlotKey)>) {
        let at = self.now;
        let Some(instance) = self.instances.get_mut(&slot) else { return };
        let next = match rank {
            None => instance.heads.first_key_value(),
            Some(rank) => instance.heads.range((std::ops::Bound::Excluded(rank), std::ops::Bound::Unbounded)).next(),
        };
        let Some(next) = next.map(|(next, _)| *next) else { return };
        if instance.has_room(at) {
            if !instance.is_kept_from(next) {
                looks.insert((next, slot));
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

    /// Whether the first claim of a line fits. When it does not and was passed often enough, what it needs is kept.
    fn try_first(&mut self, line: &Line, rank: Rank) -> bool {
        let at = self.now;
        let mut lacks = Vec::new();
        for (index, slot) in line.iter().enumerate() {
            let instance = self.instance(slot);
            if !instance.has_room(at) || instance.is_kept_from(rank) {
                lacks.push(index);
            }
        }
        if lacks.is_empty() {
            return true;
        }
        let first = self.lines.get(line).and_then(|waiting| waiting.get(&rank));
        let keep = first.is_some_and(|first| lacks.iter().all(|index| first.passed[*index] >= PASSED_MAX));
        for slot in &**line {
            let kept_for = &mut self.instance(slot).kept_for;
            let changed = if keep { kept_for.insert(rank) } else { kept_for.remove(&rank) };
            if changed && !keep {
                self.news.insert(slot.clone());
            }
        }
        false
    }

    fn grant(&mut self, line: &Line, rank: Rank) -> Option<Claim> {
        let Waiting { claim, .. } = self.take_out(line, rank)?;
        let at = self.now;
        let mut keepers = BTreeMap::new();
        for slot in &**line {
            let instance = self.instance(slot);
            instance.take(at);
            let before: Vec<_> = instance.heads.range(..rank).map(|(rank, line)| (*rank, Line::clone(line))).collect();
            keepers
                .extend(instance.kept_for.iter().filter_map(|rank| Some((*rank, instance.heads.get(rank)?.clone()))));
            for (passed, line) in before {
                self.pass(&line, passed, slot);
            }
        }
        // Whoever has slots kept may lack another one now, which was not given away so often.
        for (rank, line) in keepers {
            self.try_first(&line, rank);
        }
        self.places.insert(who(&claim), (claim.attempt, Place::Holds(Line::clone(line))));
        Some(claim)
    }

    fn pass(&mut self, line: &Line, rank: Rank, slot: &SlotKey) {
        let index = line.iter().position(|own| own == slot);
        let first = self.lines.get_mut(line).and_then(|waiting| waiting.get_mut(&rank));
        if let (Some(index), Some(first)) = (index, first) {
            first.passed[index] = first.passed[index].saturating_add(1);
        }
    }

    /// Drops what a new claim would find the same without. Its cost is spread over the slots that came since the last time.
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
        self.instances.get_mut(slot).expect("a slot of a claim that is known has its instance")
    }
}

fn who(claim: &Claim) -> Who {
    (claim.run.clone(), claim.node.clone())
}
