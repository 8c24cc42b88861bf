//! A run whose work kills its host process would kill the next one too. The journal tells: the process of a run was lost several
//! times in a row, and no tool call ended in between. Such a run is paused, and a person decides.
//!
//! ```text
//! first agent of a run in a process -> LostHosts::check -> (channel) -> the facade: reads the journal, pauses the run -> go on
//! ```
//! An agent of a paused run stops at its next step, before it makes a call.

use orkestra_core::prelude::{Cursor, Error, Event, Run, RunId};
use tokio::sync::{mpsc, oneshot};

/// How many processes in a row a run may lose before it is paused. One is an accident, two may be a coincidence.
pub(crate) const LOST_HOSTS_MAX: u32 = 3;
/// How many times as many processes a run may lose in all, with progress in between, until a person resumes it.
const TOTAL_FACTOR: u32 = 3;
/// The beginning of the reason of the pause.
const REASON: &str = "its process was lost";
/// How many runs may wait to be checked: as many as agents that start at once.
const CHECKS_QUEUED_MAX: usize = 256;

/// A run to check, and where to say that it was checked.
pub(crate) type Check = (RunId, oneshot::Sender<()>);

/// Asks for a check. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct LostHosts {
    checks: Option<mpsc::Sender<Check>>,
}

impl LostHosts {
    /// With the receiving end for who performs the checks.
    pub(super) fn new() -> (Self, mpsc::Receiver<Check>) {
        let (sender, receiver) = mpsc::channel(CHECKS_QUEUED_MAX);
        (Self { checks: Some(sender) }, receiver)
    }

    /// Returns when the run was checked, or nobody checks.
    pub(super) async fn check(&self, run: &RunId) {
        let Some(checks) = &self.checks else { return };
        let (done, is_done) = oneshot::channel();
        if checks.send((run.clone(), done)).await.is_ok() {
            let _ = is_done.await;
        }
    }
}

/// Pauses `run` when it has lost `max` processes in a row.
pub(crate) async fn pause_if_lost(run: &Run, max: u32) -> Result<(), Error> {
    let last = run.view().await?.last;
    let mut events = run.events(Cursor::START);
    let mut lost = Lost::default();
    while let Some(event) = events.next().await? {
        lost.observe(&event.event);
        if event.seq >= last {
            break;
        }
    }
    // NOTE: the second rule is for work that makes some progress each time before it ends its process.
    if lost.processes < max && lost.in_all < max.saturating_mul(TOTAL_FACTOR) {
        return Ok(());
    }
    let reason = format!(
        "{REASON} {} while it was under way: what its agents run may end it; look at its last calls, and resume it if they are harmless",
        if lost.processes < max {
            format!("{} times", lost.in_all)
        } else {
            format!("{} times in a row, and nothing of its work got done in between,", lost.processes)
        }
    );
    tracing::warn!(run = %run.id(), processes = lost.processes, "a run is paused because its process was lost repeatedly");
    run.pause(&reason).await
}

/// Whether a run was paused for this reason. [`Run::resume`] continues it, and the count begins again.
#[must_use]
pub fn is_lost_hosts_pause(reason: &str) -> bool {
    reason.starts_with(REASON)
}

/// The processes that a run has lost in a row.
#[derive(Default)]
struct Lost {
    /// Since the last progress.
    processes: u32,
    /// Since a person resumed it, whatever was done in between.
    in_all: u32,
    was_released: bool,
}

impl Lost {
    fn observe(&mut self, event: &Event) {
        match event {
            Event::Released => self.was_released = true,
            Event::Recovered if std::mem::take(&mut self.was_released) => {}
            Event::Recovered => {
                self.processes += 1;
                self.in_all += 1;
            }
            Event::RunResumed => (self.processes, self.in_all) = (0, 0),
            Event::NodeCompleted { .. } | Event::QuestionAnswered { .. } => self.processes = 0,
            Event::StepCompleted { step, .. } if is_progress(step) => self.processes = 0,
            _ => {}
        }
    }
}

/// Whether a tool call has ended. Answers of models do not count, and neither do records of interrupted calls: a model that makes
/// the same call again gets as far each time.
fn is_progress(step: &str) -> bool {
    step.contains("/tool-") && !step.ends_with("/interrupted")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use orkestra_core::prelude::{Name, Payload};

    use super::*;

    fn step(key: &str) -> Event {
        let node = Name::new("backend").expect("a name");
        Event::StepCompleted { node, step: key.to_owned(), result: Payload::null(), charges: BTreeMap::new() }
    }

    #[test]
    fn losses_in_a_row_count_until_a_call_ends_or_a_person_resumes() {
        let lost = |events: &[Event]| {
            let mut lost = Lost::default();
            events.iter().for_each(|event| lost.observe(event));
            lost.processes
        };
        let again = || [step("a1/turn-1/tool-0-run_command/interrupted"), step("a1/turn-2/model"), Event::Recovered];
        let twice = [[Event::Recovered].as_slice(), &again()].concat();
        assert_eq!(lost(&twice), 2);
        assert_eq!(lost(&[twice.as_slice(), &again()].concat()), 3);
        for progress in [step("a1/turn-2/tool-0-read_file"), Event::RunResumed] {
            assert_eq!(lost(&[twice.as_slice(), &[progress, Event::Recovered]].concat()), 1);
        }
        let mut in_all = Lost::default();
        for event in [step("a1/turn-2/tool-0-read_file"), Event::Recovered].iter().cycle().take(18) {
            in_all.observe(event);
        }
        assert_eq!((in_all.processes, in_all.in_all), (1, 9), "progress does not hide that it dies each time");
        in_all.observe(&Event::RunResumed);
        assert_eq!(in_all.in_all, 0);
        assert_eq!(lost(&[Event::Released, Event::Recovered, Event::Released, Event::Recovered]), 0);
        assert_eq!(lost(&[Event::Recovered, Event::Released, Event::Recovered, Event::Recovered]), 2);
    }
}
