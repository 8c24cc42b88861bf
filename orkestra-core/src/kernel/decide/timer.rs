//! What happens because time has passed.

use crate::model::Failure;
use crate::model::limits::TIMERS_PER_DECISION_MAX;

use super::super::event::Event;
use super::super::state::{RunStatus, Timer};
use super::{Decision, Rejection};

impl Decision<'_> {
    /// Fires what is due, up to a limit; whoever ticks asks again while something is.
    pub(super) fn tick(&mut self) -> Result<(), Rejection> {
        for _ in 0..TIMERS_PER_DECISION_MAX {
            let Some((due, timer)) = self.state().timers.first().cloned() else {
                break;
            };
            if due > self.now {
                break;
            }
            self.fire(timer);
        }
        Ok(())
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Retry(id) if self.state().status == RunStatus::Stopping => self.cancel_node(id),
            // A gate may find its signal there: it came while nobody waited for it.
            Timer::Retry(id) => self.start_all(vec![id]),
            Timer::Attempt(id) if self.state().status == RunStatus::Stopping => {
                self.cancel_node(id);
                self.end_if_done();
            }
            Timer::Attempt(id) => {
                let spec = &self.state().plan.node(id).spec;
                let millis = spec.timeout_ms.unwrap_or_default();
                let failure = Failure::retryable("timed_out", format!("`{}` took longer than {millis} ms", spec.name));
                self.fail_attempt(id, failure);
            }
            Timer::Sleep(id, step) => {
                let node = self.state().name(id).clone();
                self.emit(Event::TimerFired { node, step });
            }
            Timer::Grace => self.give_up_running(),
        }
    }
}
