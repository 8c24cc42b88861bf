//! Events about the whole run: pauses, budgets, growth, and the end.

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Arc;

use crate::model::{Amount, Failure, Growth, Name, NodeId, Payload, PlanSize, Timestamp};

use super::super::event::Event;
use super::super::node::{NodeState, StepState};
use super::super::reason::{PauseReason, StopReason};
use super::super::state::{Pause, RunState, Stopping, Timer};
use super::super::status::{NodeStatus, Outcome, RunStatus};
use super::Applied;

impl RunState {
    pub(super) fn grown(&mut self, node: &Name, step: &str, growth: &Growth) -> Applied {
        if self.stopping.is_some() {
            return Err("a run that is stopping cannot grow".into());
        }
        if self.node(self.find(node)?).steps.contains_key(step) {
            return Err(format!("key `{step}` of `{node}` is already in use"));
        }
        self.set_step(node, step, StepState::Done(Payload::null()))?;
        self.add_to_plan(growth, PlanSize::WORK)
    }

    pub(super) fn add_to_plan(&mut self, growth: &Growth, size: PlanSize) -> Applied {
        let started = |id: NodeId| self.node(id).status != NodeStatus::Pending;
        self.plan.check_growth(growth, size, started).map_err(|error| error.to_string())?;
        let in_degree = |name: &Name| self.plan.id(name).map_or(0, |id| self.plan.node(id).after.len());
        let edges = growth.edges.iter().map(|(_, after)| after);
        let touched = growth.nodes.iter().map(|node| &node.name).chain(edges);
        let touched: BTreeMap<_, _> = touched.map(|name| (name, in_degree(name))).collect();
        // Copy on write: readers of the old plan keep it.
        Arc::make_mut(&mut self.plan).grow(growth, size).map_err(|error| error.to_string())?;
        let plan = Arc::clone(&self.plan);
        let added = growth.nodes.len();
        self.nodes.extend((0..added).map(|_| NodeState::new(self.last)));
        self.open += added;
        for (name, known) in touched {
            // A join may have thousands of nodes before it, so only the added ones are counted.
            let Some(id) = plan.id(name) else { continue };
            let (done, lost) = self.count(&plan.node(id).after[known..]);
            let node = &mut self.nodes[id.index()];
            node.before_done += done;
            node.before_lost += lost;
        }
        Ok(())
    }

    pub(super) fn recovered(&mut self) -> Applied {
        let (seq, in_order) = (self.last, mem::take(&mut self.released));
        for id in &self.tasks {
            let node = &mut self.nodes[id.index()];
            node.interruptions += u32::from(!in_order && !node.only_waits());
            node.changed = seq;
        }
        Ok(())
    }

    pub(super) fn released(&mut self) -> Applied {
        self.released = true;
        Ok(())
    }

    pub(super) fn set_timer(&mut self, at: Timestamp, timer: Timer) {
        match &mut self.pause {
            Some(pause) if timer.rests() => {
                pause.resting.insert((at, timer));
            }
            _ => drop(self.timers.insert((at, timer))),
        }
    }

    pub(super) fn drop_timer(&mut self, at: Timestamp, timer: Timer) {
        let timer = (at, timer);
        if !self.timers.remove(&timer)
            && let Some(pause) = &mut self.pause
        {
            pause.resting.remove(&timer);
        }
    }

    pub(super) fn run_paused(&mut self, reason: &PauseReason) -> Applied {
        if self.status != RunStatus::Running {
            return Err("only a running run can be paused".into());
        }
        self.status = RunStatus::Paused;
        self.pause = Some(Pause { reason: reason.clone(), since: self.updated_at, resting: BTreeSet::new() });
        let (resting, timers) = mem::take(&mut self.timers).into_iter().partition(|(_, timer)| timer.rests());
        self.timers = timers;
        if let Some(pause) = &mut self.pause {
            pause.resting = resting;
        }
        self.touch_running();
        Ok(())
    }

    /// Failures that await a decision pause the run at once. Older versions did not know this and gave up all of them
    /// when the run went on: where a journal continues otherwise, the pending decisions are dropped.
    pub(super) fn drop_stale_decisions(&mut self, event: &Event) {
        let any = self.status == RunStatus::Running && !self.undecided.is_empty();
        if any && !event.consequence().keeps_undecided {
            self.undecided.clear();
        }
    }

    pub(super) fn run_resumed(&mut self) -> Applied {
        let Some(Pause { reason, since, resting }) = self.pause.take() else {
            return Err("the run is not paused".into());
        };
        if let PauseReason::NodeFailed { node } = &reason {
            let given_up = self.plan.id(node);
            self.undecided.retain(|undecided| Some(*undecided) != given_up);
        }
        if let PauseReason::ProcessesLost { .. } = &reason {
            for id in &self.tasks {
                self.nodes[id.index()].interruptions = 0;
            }
        }
        self.status = RunStatus::Running;
        let rested = self.updated_at.since(since);
        for (at, timer) in resting {
            let later = at.saturating_add(rested);
            let at = match &timer {
                Timer::Attempt(id) => *self.nodes[id.index()].deadline.insert(later),
                Timer::Total(id) => *self.nodes[id.index()].total_deadline.insert(later),
                _ => at,
            };
            self.timers.insert((at, timer));
        }
        self.touch_running();
        Ok(())
    }

    /// Marks the running nodes as changed: what they owe has changed.
    fn touch_running(&mut self) {
        let seq = self.last;
        for id in &self.running {
            self.nodes[id.index()].changed = seq;
        }
    }

    pub(super) fn budget_set(&mut self, meter: &Name, limit: Option<Amount>) -> Applied {
        let budget = &mut self.options.budget;
        match limit {
            Some(limit) => drop(budget.insert(meter.clone(), limit)),
            None => drop(budget.remove(meter)),
        }
        Ok(())
    }

    /// The first meter that has reached its budget.
    pub(crate) fn reached_budget(&self) -> Option<(&Name, Amount, Amount)> {
        let spent = |meter: &Name| self.spent.get(meter).copied().unwrap_or_default();
        let limits = self.options.budget.iter();
        limits.map(|(meter, limit)| (meter, spent(meter), *limit)).find(|(_, spent, limit)| spent >= limit)
    }

    pub(super) fn stop_requested(&mut self, reason: &StopReason, grace_until: Timestamp) -> Applied {
        if self.stopping.is_some() {
            return Err("the run is already stopping".into());
        }
        if let Some(pause) = self.pause.take() {
            // Suspended timers no longer matter, but every deadline keeps its timer until its node ends.
            self.timers.extend(pause.resting);
        }
        self.stopping = Some(Stopping { reason: reason.clone(), grace_until });
        self.status = RunStatus::Stopping;
        self.timers.insert((grace_until, Timer::Grace));
        if let Some(deadline) = self.options.deadline {
            self.timers.remove(&(deadline, Timer::Deadline));
        }
        self.touch_running();
        Ok(())
    }

    /// Cancels all nodes that have not ended.
    pub(super) fn cancel_open(&mut self) {
        let (seq, now) = (self.last, self.updated_at);
        let ids: Vec<_> = self.plan.ids().filter(|id| !self.node(*id).status.is_final()).collect();
        let any = !ids.is_empty();
        for id in ids {
            self.forget_waits(id, true);
            let node = &mut self.nodes[id.index()];
            node.status = NodeStatus::Cancelled;
            node.ended_at = Some(now);
            node.changed = seq;
            node.parked = false;
            let timers = [
                node.retry_at.take().map(|at| (at, Timer::Retry(id))),
                node.deadline.take().map(|at| (at, Timer::Attempt(id))),
                node.total_deadline.take().map(|at| (at, Timer::Total(id))),
            ];
            for (at, timer) in timers.into_iter().flatten() {
                self.drop_timer(at, timer);
            }
        }
        self.open = 0;
        self.running.clear();
        self.tasks.clear();
        self.queued.clear();
        if any {
            self.recount();
        }
    }

    /// Recounts for every node how the nodes before it ended.
    fn recount(&mut self) {
        let plan = Arc::clone(&self.plan);
        for id in plan.ids() {
            let (done, lost) = self.count(&plan.node(id).after);
            let node = &mut self.nodes[id.index()];
            node.before_done = done;
            node.before_lost = lost;
        }
    }

    /// How many of the nodes are done, and how many ended otherwise.
    fn count(&self, nodes: &[NodeId]) -> (usize, usize) {
        let ended = nodes.iter().filter(|id| self.node(**id).status.is_final()).count();
        let done = nodes.iter().filter(|id| self.is_done(**id)).count();
        (done, ended - done)
    }

    /// Whether the run may end with this status: all nodes are done, or it is stopping for the matching reason and no
    /// attempt is running.
    fn may_end(&self, status: RunStatus) -> bool {
        let quiet = self.running.is_empty() && (self.undo_from.is_none() || self.open == 0);
        match self.stopping.as_ref().map(|stopping| &stopping.reason) {
            _ if status == RunStatus::Terminated => true,
            // Older versions failed a run whose nodes were all done when their outputs together were too large.
            None => {
                self.open == 0 && self.pause.is_none() && matches!(status, RunStatus::Completed | RunStatus::Failed)
            }
            Some(StopReason::Cancelled { .. }) => quiet && status == RunStatus::Cancelled,
            Some(StopReason::NodeFailed { .. }) => quiet && status == RunStatus::Failed,
            Some(StopReason::DeadlinePassed { .. }) => quiet && status == RunStatus::TimedOut,
            Some(StopReason::Terminated { .. }) => false,
        }
    }

    pub(super) fn end(&mut self, status: RunStatus, outcome: Outcome) -> Applied {
        if !self.may_end(status) {
            return Err(format!("the run cannot end with this status: {} nodes are not done", self.open));
        }
        self.cancel_open();
        self.status = status;
        self.outcome = Some(outcome);
        self.timers.clear();
        self.waiters.clear();
        self.questions.clear();
        self.pause = None;
        self.stopping = None;
        self.owes_parent = self.options.parent.as_ref().map(|_| self.last);
        Ok(())
    }

    pub(super) fn run_failed(&mut self, node: &Name, failure: &Failure) -> Applied {
        self.find(node)?;
        self.end(RunStatus::Failed, Outcome::Failed { node: node.clone(), failure: failure.clone() })
    }

    /// Reopens an ended run: the nodes that its end cancelled become pending again.
    pub(super) fn run_reopened(&mut self) -> Applied {
        if !self.status.is_final() || self.undo_from.is_some() {
            return Err("the run cannot be reopened".into());
        }
        self.status = RunStatus::Running;
        self.outcome = None;
        self.owes_parent = None;
        // A deadline that has passed would end the run at once.
        self.options.deadline = self.options.deadline.filter(|deadline| *deadline > self.updated_at);
        self.timers.extend(self.options.deadline.map(|deadline| (deadline, Timer::Deadline)));
        let seq = self.last;
        for node in self.nodes.iter_mut().filter(|node| node.status == NodeStatus::Cancelled) {
            node.status = NodeStatus::Pending;
            node.attempts_before = node.attempt;
            node.ended_at = None;
            node.changed = seq;
            self.open += 1;
        }
        self.recount();
        Ok(())
    }

    pub(super) fn parent_told(&mut self) -> Applied {
        self.owes_parent.take().map(drop).ok_or_else(|| "there is no parent to inform".to_owned())
    }
}
