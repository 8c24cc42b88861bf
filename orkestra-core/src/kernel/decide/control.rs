//! Control from outside: pause, resume, retry, change the budget.

use crate::model::limits::METERS_MAX;
use crate::model::{Amount, Name};

use super::super::event::Event;
use super::super::reason::PauseReason;
use super::super::status::NodeStatus;
use super::{Decision, Rejection};

impl Decision<'_> {
    fn not_ending(&self) -> Result<(), Rejection> {
        if self.state().status.is_ending() { Err(Rejection::Stopping) } else { Ok(()) }
    }

    pub(super) fn pause(&mut self, reason: String) -> Result<(), Rejection> {
        self.not_ending()?;
        if self.state().pause.is_some() {
            return Err(Rejection::Paused);
        }
        self.emit(Event::RunPaused { reason: PauseReason::Asked { reason } });
        Ok(())
    }

    /// Decides on the failure that caused the pause and continues the run when no other decision is pending. The failed
    /// node is given up: nodes that depend on it are skipped.
    pub(super) fn resume(&mut self) -> Result<(), Rejection> {
        self.not_ending()?;
        if self.state().pause.is_none() {
            return Err(Rejection::NotPaused);
        }
        if let Some((meter, _, limit)) = self.state().reached_budget() {
            return Err(Rejection::BudgetReached { meter: meter.clone(), limit });
        }
        self.continue_run();
        Ok(())
    }

    fn continue_run(&mut self) {
        self.emit(Event::RunResumed);
        if self.pause_for_undecided() {
            return;
        }
        self.check_budget();
        self.enter_ready();
        // Delays may have passed during the pause.
        self.tick();
    }

    pub(super) fn retry(&mut self, node: &Name) -> Result<(), Rejection> {
        let state = self.state();
        let id = state.plan.id(node).ok_or_else(|| Rejection::NoNode(node.clone()))?;
        self.not_ending()?;
        if state.undo_from.is_some() {
            return self.retry_undo(id);
        }
        if state.node(id).status != NodeStatus::Failed {
            return Err(Rejection::NotFailed(node.clone()));
        }
        let held =
            matches!(&state.pause, Some(pause) if pause.reason == PauseReason::NodeFailed { node: node.clone() });
        let ended = state.status.is_final();
        if state.status.is_final() {
            if let Some((meter, _, limit)) = state.reached_budget() {
                return Err(Rejection::BudgetReached { meter: meter.clone(), limit });
            }
            self.emit(Event::RunReopened);
        }
        self.emit(Event::NodeReset { node: node.clone() });
        if held {
            self.continue_run();
        } else if !ended || !self.pause_for_undecided() {
            // A run that ended while paused still awaits its decisions after it is reopened.
            self.enter_ready();
        }
        Ok(())
    }

    /// Pauses the run for the first failure that awaits a decision. Returns false when there is none. Nothing may start
    /// before this.
    fn pause_for_undecided(&mut self) -> bool {
        let state = self.state();
        let Some(node) = state.undecided.first().map(|id| state.name(*id).clone()) else { return false };
        self.emit(Event::RunPaused { reason: PauseReason::NodeFailed { node } });
        true
    }

    pub(super) fn set_budget(&mut self, meter: Name, limit: Option<Amount>) -> Result<(), Rejection> {
        let budget = &self.state().options.budget;
        if limit.is_some() && !budget.contains_key(&meter) && budget.len() >= METERS_MAX {
            return Err(Rejection::TooManyMeters);
        }
        self.emit(Event::BudgetSet { meter, limit });
        self.check_budget();
        Ok(())
    }

    /// Pauses the run when a budget is reached.
    pub(super) fn check_budget(&mut self) {
        let state = self.state();
        if state.status.is_ending() || state.status.is_final() || state.pause.is_some() {
            return;
        }
        let Some((meter, spent, limit)) = state.reached_budget() else { return };
        let meter = meter.clone();
        self.emit(Event::BudgetReached { meter: meter.clone(), spent, limit });
        self.emit(Event::RunPaused { reason: PauseReason::Budget { meter } });
    }
}
