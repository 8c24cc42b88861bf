//! Who sees all: every commit as it becomes durable, every effect as it begins, every word that was given. What must
//! never be is noted the moment it is.
//!
//! It knows the durable truth only. Whoever shows, answers or does something that is not durable is found out here.

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

/// All that is durable, and all that was seen.
#[derive(Default)]
pub(super) struct Audit {
    /// The runs that are there.
    runs: BTreeMap<RunId, Incarnation>,
    /// Those that were deleted, the first one of each id first.
    gone: BTreeMap<RunId, Vec<Incarnation>>,
    claims: BTreeMap<RunId, Claim>,
    begun: u64,
    /// Letters that were discarded: whoever drove the run found that nothing follows from them.
    discarded: BTreeMap<RunId, Vec<InputKind>>,
    /// Runs that were cancelled before they were there.
    fenced: BTreeSet<RunId>,
    violation: Option<String>,
}

/// Who drives a run, or did last.
#[derive(Default)]
struct Claim {
    epoch: Epoch,
    process: String,
    /// Whether it has let go of the run by itself, with nothing under way.
    released: bool,
    /// How often the run was taken from a process that had not let go of it.
    losses: u64,
}

impl Audit {
    /// Something must not be. The first of it counts.
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

    /// How many runs had this id before.
    pub(super) fn incarnation(&self, run: &RunId) -> usize {
        self.gone.get(run).map_or(0, Vec::len)
    }

    fn incarnations(&self, run: &RunId) -> impl Iterator<Item = &Incarnation> {
        self.gone.get(run).into_iter().flatten().chain(self.runs.get(run))
    }

    /// All durable events of all runs.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.runs.values().chain(self.gone.values().flatten()).flat_map(|incarnation| &incarnation.events)
    }

    pub(super) fn is_fork(&self, run: &RunId) -> bool {
        self.runs.get(run).is_some_and(Incarnation::is_fork)
    }

    /// A process has been given the right to drive a run.
    pub(super) fn claimed(&mut self, run: &RunId, epoch: Epoch, process: &str) {
        let before = self.claims.remove(run).unwrap_or_default();
        let higher = before.epoch < epoch;
        let lost = u64::from(!before.process.is_empty() && !before.released);
        let claim = Claim { epoch, process: process.to_owned(), released: false, losses: before.losses + lost };
        self.claims.insert(run.clone(), claim);
        self.expect(higher, || format!("epoch {epoch} of `{run}` is not higher than the one before it"));
    }

    /// A process has let go of a run; in `peace`, when nothing had disturbed it.
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

    /// A commit has become durable, or was so already.
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

    /// A run that is not there when its parent takes it for cancelled must not begin any more.
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

    /// A run is gone from the disk.
    pub(super) fn deleted(&mut self, run: &RunId) {
        if let Some(incarnation) = self.runs.remove(run) {
            let ended = incarnation.state().is_some_and(|state| state.status().is_final());
            self.expect(ended, || format!("`{run}` was deleted, and it had not ended"));
            if let Some(wrong) = incarnation.wrong_history() {
                self.broken(format!("`{run}`, which was deleted: {wrong}"));
            }
            self.gone.entry(run.clone()).or_default().push(incarnation);
        }
    }

    /// What can only be told of whole histories.
    pub(super) fn check_histories(&mut self) {
        let wrong =
            self.runs.iter().find_map(|(run, incarnation)| Some(format!("`{run}`: {}", incarnation.wrong_history()?)));
        if let Some(wrong) = wrong {
            self.broken(wrong);
        }
    }
}
