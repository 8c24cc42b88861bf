//! Finds runs that wait for each other through a limit: a node holds the last slot and waits for a child that needs one.
//!
//! A node is dead when it can go on by nothing but the end of another dead one:
//!
//! ```text
//! it waits for slots, and all slots of one of its limits are held by dead nodes
//! it only waits, for children all of whose nodes are dead; neither it nor its run has a time limit
//! ```
//!
//! All are taken for dead at first, and those that are not are taken out until none is left to take out. It must never
//! change anything: whoever reads of it cancels one of them, or raises the limit.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use crate::kernel::{NodeStatus, RunState, StepState};
use crate::model::{NodeId, RunId, SlotKey};

use crate::runtime::error::Error;
use crate::runtime::limiter::slots::{Knot, Who};
use crate::runtime::shared::Shared;
use crate::runtime::storage::load::load;

/// The shortest time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Runs that nothing but somebody from outside will move, each with the reason.
pub(super) async fn find(shared: &Shared) -> Result<Vec<(RunId, String)>, Error> {
    let Some(knot) = shared.slots.knot() else { return Ok(Vec::new()) };
    let mut runs = BTreeMap::new();
    let mut open: Vec<RunId> = knot.resting.iter().map(|(run, _)| run.clone()).collect();
    while let Some(run) = open.pop() {
        if runs.contains_key(&run) {
            continue;
        }
        let state = match load(&*shared.store, &run).await {
            // Nobody can tell what it does: that is told of by itself.
            Err(error) if error.is_damaged() => None,
            state => state?,
        };
        if let Some(state) = state.filter(|state| !state.status().is_final()) {
            open.extend(state.children().keys().cloned());
            runs.insert(run, state);
        }
    }
    Ok(Search::new(knot, runs).dead())
}

struct Search {
    knot: Knot,
    runs: BTreeMap<RunId, RunState>,
    dead: BTreeSet<Who>,
}

impl Search {
    fn new(knot: Knot, runs: BTreeMap<RunId, RunState>) -> Self {
        let nodes = |state: &RunState| -> Vec<Who> {
            let under_way = state.running().chain(state.queued());
            under_way.map(|id| (state.id().clone(), state.name(id).clone())).collect()
        };
        let dead = runs.values().flat_map(nodes).collect();
        Self { knot, runs, dead }
    }

    fn dead(mut self) -> Vec<(RunId, String)> {
        loop {
            let alive: Vec<Who> = self.dead.iter().filter(|who| self.reason(who).is_none()).cloned().collect();
            if alive.is_empty() {
                break;
            }
            for who in alive {
                self.dead.remove(&who);
            }
        }
        let mut found: BTreeMap<RunId, String> = BTreeMap::new();
        for who in &self.dead {
            if let Some(reason) = self.reason(who) {
                found.entry(who.0.clone()).or_insert(reason);
            }
        }
        found.into_iter().collect()
    }

    /// Why the node cannot go on while those that count for dead are.
    fn reason(&self, who: &Who) -> Option<String> {
        let state = self.runs.get(&who.0)?;
        let id = state.plan().id(&who.1)?;
        let moves = state.pause().is_some() || state.stopping().is_some() || state.options().deadline.is_some();
        match state.node(id).status {
            _ if moves => None,
            NodeStatus::Queued => self.waits_for_slots(who),
            // One whose driver was lost may have to wait for its slots again.
            NodeStatus::Running => self.waits_for_slots(who).or_else(|| self.waits_for_children(who, state, id)),
            _ => None,
        }
    }

    fn waits_for_slots(&self, who: &Who) -> Option<String> {
        let full: &Vec<(SlotKey, Vec<Who>)> = self.knot.waiting.get(who)?;
        let dead = full.iter().find(|(_, holders)| holders.iter().all(|holder| self.dead.contains(holder)));
        let (slot, holders) = dead?;
        let (run, node) = holders.first()?;
        Some(format!(
            "node `{}` waits for limit `{}`, all of whose slots are held by nodes that wait for it in turn: \
             node `{node}` of run `{run}`{}; cancel one of them, or raise the limit",
            who.1,
            slot.limit,
            if holders.len() > 1 { " and others" } else { "" },
        ))
    }

    fn waits_for_children(&self, who: &Who, state: &RunState, id: NodeId) -> Option<String> {
        let node = state.node(id);
        let timed = node.deadline.is_some() || node.total_deadline.is_some();
        if timed || node.waits.is_empty() || !(node.parked || self.knot.resting.contains(who)) {
            return None;
        }
        let mut children = Vec::new();
        for key in node.waits.keys() {
            match key.as_ref().and_then(|key| node.steps.get(key)) {
                Some(StepState::Child(child)) if self.is_dead(&child.run) => children.push(&child.run),
                _ => return None,
            }
        }
        let child = children.first()?;
        let holds = if self.knot.resting.contains(who) { " while it holds slots that are needed there" } else { "" };
        Some(format!("node `{}` waits for run `{child}`, which cannot go on{holds}", who.1))
    }

    /// Whether the run can never end: all that is under way in it is dead, and no time will come.
    fn is_dead(&self, run: &RunId) -> bool {
        let Some(state) = self.runs.get(run) else { return false };
        let mut under_way = state.running().chain(state.queued()).peekable();
        let any = under_way.peek().is_some();
        let all = under_way.all(|id| self.dead.contains(&(run.clone(), state.name(id).clone())));
        any && all && state.next_timer().is_none()
    }
}

/// Looks for such runs when slots are held by nodes that only wait, until the engine shuts down. Each is told of once.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut told = BTreeSet::new();
    // On a store that others write to, one of them may have slots of its own for the run that waits.
    let first = if shared.store.is_shared() { shared.lease.max(LOOK) * 2 } else { LOOK };
    let mut look = first;
    loop {
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = shared.slots.knotted() => {}
        }
        tokio::select! {
            biased;
            () = shared.down() => return,
            () = tokio::time::sleep(look) => {}
        }
        let dead = find(&shared).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "it cannot be told whether runs wait for each other");
            Vec::new()
        });
        // Who is at work still says nothing here when he begins to wait.
        let looks_again = dead.is_empty() && shared.slots.may_be_knotted();
        look = if looks_again { shared.lease.max(first) } else { first };
        if looks_again {
            shared.slots.look_again();
        }
        for (run, why) in &dead {
            if told.insert(run.clone()) {
                tracing::warn!(%run, why, "a run waits for itself through a limit");
            }
        }
        let dead: BTreeMap<RunId, String> = dead.into_iter().collect();
        told.retain(|run| dead.contains_key(run));
        shared.slots.are_deadlocked(dead);
    }
}
