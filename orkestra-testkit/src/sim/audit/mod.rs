//! The audit of a world. It observes every commit that becomes durable, every effect that starts and every answer that is
//! given, and records a violation at once.
//!
//! It knows only what is durable, so it detects whatever is shown, answered or performed before it is durable.

mod answers;
mod history;
mod incarnation;
mod tasks;

use std::collections::{BTreeMap, BTreeSet};

use orkestra_core::journal::Written;
use orkestra_core::kernel::{Event, InputKind, RunState};
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::RunRecord;

use self::incarnation::Incarnation;

pub(super) use self::tasks::{At, Effect};

/// What is durable, and what was seen.
#[derive(Default)]
pub(super) struct Audit {
    /// The runs that exist.
    runs: BTreeMap<RunId, Incarnation>,
    /// The deleted runs, by id, oldest first.
    gone: BTreeMap<RunId, Vec<Incarnation>>,
    claims: BTreeMap<RunId, Claim>,
    begun: u64,
    /// Letters that a driver discarded because nothing follows from them.
    discarded: BTreeMap<RunId, Vec<InputKind>>,
    /// Child runs that were cancelled before they existed.
    fenced: BTreeSet<RunId>,
    violation: Option<String>,
}

/// The last claim of a run.
#[derive(Default)]
struct Claim {
    epoch: Epoch,
    process: String,
    /// Whether the process released the run by itself and undisturbed.
    released: bool,
    /// How often the run was claimed from a process that had not released it so.
    losses: u64,
}

impl Audit {
    /// Records a violation. Only the first one is kept.
    pub(super) fn broken(&mut self, what: String) {
        self.violation.get_or_insert(what);
    }

    pub(super) fn violation(&self) -> Option<&str> {
        self.violation.as_deref()
    }

    fn expect(&mut self, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.broken(what());
        }
    }

    /// The durable state of a run.
    pub(super) fn state(&self, run: &RunId) -> Option<&RunState> {
        self.runs.get(run)?.state()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &RunState> {
        self.runs.values().filter_map(Incarnation::state)
    }

    /// The last durable position of a run.
    pub(super) fn last(&self, run: &RunId) -> Seq {
        self.state(run).map_or(Seq::ZERO, RunState::last)
    }

    /// How many earlier runs had this id.
    pub(super) fn incarnation(&self, run: &RunId) -> usize {
        self.gone.get(run).map_or(0, Vec::len)
    }

    fn incarnations(&self, run: &RunId) -> impl Iterator<Item = &Incarnation> {
        self.gone.get(run).into_iter().flatten().chain(self.runs.get(run))
    }

    /// All durable events of all runs, including deleted ones.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.runs.values().chain(self.gone.values().flatten()).flat_map(|incarnation| &incarnation.events)
    }

    pub(super) fn is_fork(&self, run: &RunId) -> bool {
        self.runs.get(run).is_some_and(Incarnation::is_fork)
    }

    /// A process has claimed a run.
    pub(super) fn claimed(&mut self, run: &RunId, epoch: Epoch, process: &str) {
        let before = self.claims.remove(run).unwrap_or_default();
        let higher = before.epoch < epoch;
        let lost = u64::from(!before.process.is_empty() && !before.released);
        let claim = Claim { epoch, process: process.to_owned(), released: false, losses: before.losses + lost };
        self.claims.insert(run.clone(), claim);
        self.expect(higher, || format!("epoch {epoch} of `{run}` is not higher than the one before it"));
    }

    /// A process has released a run; `undisturbed` says whether no recent fault had affected it.
    pub(super) fn released(&mut self, run: &RunId, epoch: Epoch, undisturbed: bool) {
        if let Some(claim) = self.claims.get_mut(run).filter(|claim| claim.epoch == epoch) {
            claim.released = undisturbed;
        }
    }

    fn losses(&self, run: &RunId) -> u64 {
        self.claims.get(run).map_or(0, |claim| claim.losses)
    }

    fn drives(&self, run: &RunId, process: &str) -> bool {
        self.claims.get(run).is_some_and(|claim| claim.process == process)
    }

    /// A commit is durable, since now or already before.
    pub(super) fn durable(&mut self, written: &Written, record: Option<&RunRecord>) {
        let run = &written.run;
        if written.first <= self.last(run) {
            return;
        }
        let claimed = self.claims.get(run).map_or(Epoch(0), |claim| claim.epoch);
        self.expect(written.epoch >= claimed, || {
            format!("epoch {} wrote `{run}` at {} after epoch {claimed} had claimed it", written.epoch, written.first)
        });
        let losses = self.losses(run);
        let incarnation = self.runs.entry(run.clone()).or_insert_with(|| Incarnation::new(run.clone()));
        let from = incarnation.events.len();
        if let Err(wrong) = incarnation.add(written, record, losses) {
            self.broken(format!("`{run}` after {}: {wrong}", written.last));
        }
        self.fence(run, from);
    }

    /// A child that does not exist when its parent records it as cancelled must not start later.
    fn fence(&mut self, run: &RunId, from: usize) {
        let events = self
            .runs
            .get(run)
            .map(|incarnation| &incarnation.events[from.min(incarnation.events.len())..])
            .unwrap_or_default();
        for event in events {
            match event {
                Event::ChildCancelled { child } if !self.runs.contains_key(child) => {
                    self.fenced.insert(child.clone());
                }
                Event::ChildRequested { child, .. } => drop(self.fenced.remove(child)),
                _ => {}
            }
        }
    }

    /// A run was deleted from the disk.
    pub(super) fn deleted(&mut self, run: &RunId) {
        if let Some(incarnation) = self.runs.remove(run) {
            let ended = incarnation.state().is_some_and(|state| state.status().is_final());
            self.expect(ended, || format!("`{run}` was deleted before it had ended"));
            if let Some(wrong) = incarnation.wrong_history() {
                self.broken(format!("`{run}`, which was deleted: {wrong}"));
            }
            self.gone.entry(run.clone()).or_default().push(incarnation);
        }
    }

    /// Makes the checks that need whole histories.
    pub(super) fn check_histories(&mut self) {
        let wrong =
            self.runs.iter().find_map(|(run, incarnation)| Some(format!("`{run}`: {}", incarnation.wrong_history()?)));
        if let Some(wrong) = wrong {
            self.broken(wrong);
        }
    }
}
