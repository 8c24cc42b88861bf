//! What follows from the passage of time.

use crate::model::limits::TIMERS_PER_DECISION_MAX;
use crate::model::{Failure, FailureKind, NodeId};

use super::super::event::Event;
use super::super::node::StepState;
use super::super::reason::StopReason;
use super::super::state::Timer;
use super::super::status::{NodeStatus, RunStatus};
use super::Decision;

impl Decision<'_> {
    /// Fires due timers, up to a limit. The driver ticks again while any are due.
    pub(super) fn tick(&mut self) {
        for _ in 0..TIMERS_PER_DECISION_MAX {
            let Some((due, timer)) = self.state().timers.first().cloned() else {
                break;
            };
            // By the clock: after it jumped back, existing events may lie in the future.
            if due > self.at {
                break;
            }
            self.fire(timer);
        }
    }

    fn fire(&mut self, timer: Timer) {
        let stopping = self.state().status == RunStatus::Stopping;
        match timer {
            Timer::Retry(id) | Timer::Attempt(id) | Timer::Total(id) if stopping => {
                self.cancel_node(id);
                self.end_if_done();
            }
            // A gate may find a signal that arrived in the meantime.
            Timer::Retry(id) => self.enter_all(vec![id]),
            Timer::Attempt(id) => {
                let spec = &self.state().plan.node(id).spec;
                let millis = spec.timeout_ms.unwrap_or_default();
                let failure =
                    Failure::retryable(FailureKind::TimedOut, format!("`{}` took longer than {millis} ms", spec.name));
                self.fail_attempt(id, failure);
            }
            Timer::Total(id) => self.node_timed_out(id),
            Timer::Sleep(id, step) => {
                let state = self.state();
                let sleeps = matches!(state.node(id).steps.get(&step), Some(StepState::Sleeping(_)));
                let node = state.name(id).clone();
                self.emit(if sleeps { Event::TimerFired { node, step } } else { Event::WaitTimedOut { node, step } });
            }
            Timer::Grace => self.give_up_running(),
            Timer::Deadline => {
                let deadline = self.state().options.deadline.unwrap_or(self.now);
                self.stop(StopReason::DeadlinePassed { deadline });
            }
        }
    }

    /// The time limit of all attempts of a node together has passed.
    fn node_timed_out(&mut self, id: NodeId) {
        let state = self.state();
        let spec = &state.plan.node(id).spec;
        let millis = spec.total_timeout_ms.unwrap_or_default();
        let message = format!("`{}` took longer than {millis} ms in all attempts together", spec.name);
        let failure = Failure::permanent(FailureKind::TimedOut, message);
        if state.node(id).status == NodeStatus::Running {
            self.fail_attempt(id, failure);
        } else {
            let node = spec.name.clone();
            self.emit(Event::NodeFailed { node, failure: failure.clone() });
            self.node_failed(id, failure);
        }
    }
}
