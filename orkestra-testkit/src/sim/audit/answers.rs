//! Checks of what readers, waiters and senders were answered: it must have been durable at that time.

use std::fmt::Debug;

use orkestra_core::RunEvent;
use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::{Event, InputKind, NodeStatus, Outcome};
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::RunRecord;
use serde_json::{Map, Value};

use super::Audit;
use super::incarnation::{Incarnation, stands_for_another, wrong_record};

impl Audit {
    /// A reader received an event.
    pub(in crate::sim) fn delivered(&mut self, event: &RunEvent, expected: Seq) {
        let index = usize::try_from(event.seq.0).unwrap_or(usize::MAX).wrapping_sub(1);
        let same = self.incarnations(&event.run).any(|incarnation| incarnation.events.get(index) == Some(&event.event));
        let RunEvent { run, seq, .. } = event;
        self.expect(*seq == expected, || format!("a reader of `{run}` got event {seq} where {expected} follows"));
        self.expect(same, || format!("a reader of `{run}` got event {seq}, which is not durable"));
    }

    /// A call was acknowledged, so such an event must be durable.
    pub(in crate::sim) fn acknowledged(&mut self, run: &RunId, what: &dyn Debug, is_it: impl Fn(&Event) -> bool) {
        let there = self.incarnations(run).any(|incarnation| incarnation.events.iter().any(&is_it));
        self.expect(there, || format!("{what:?} of `{run}` was acknowledged and is not durable"));
    }

    /// A call was acknowledged, so it must be in the run's journal or its inbox, or was discarded as obsolete.
    pub(in crate::sim) fn acknowledged_or_sent(
        &mut self,
        run: &RunId,
        what: &dyn Debug,
        is_it: impl Fn(&Event) -> bool,
        sent: &[InputKind],
        is_sent: impl Fn(&InputKind) -> bool,
    ) {
        let discarded = self.discarded.get(run).is_some_and(|letters| letters.iter().any(&is_sent));
        if !discarded && !sent.iter().any(is_sent) {
            self.acknowledged(run, what, is_it);
        }
    }

    /// A letter was discarded. A signal must not be before the run has ended.
    pub(in crate::sim) fn discarded(&mut self, run: &RunId, letter: InputKind) {
        let over = self.runs.get(run).is_none_or(|incarnation| incarnation.events.iter().any(Event::ends_run));
        let useful = matches!(letter, InputKind::Signal { .. }) && !over;
        self.expect(!useful, || format!("a signal for `{run}` was discarded although the run has not ended"));
        self.discarded.entry(run.clone()).or_default().push(letter);
    }

    /// Whether an event before this position ended the run, so that a reader may be told that nothing follows.
    pub(in crate::sim) fn ends_before(&self, run: &RunId, position: Seq) -> bool {
        let before = usize::try_from(position.0.saturating_sub(1)).unwrap_or(usize::MAX);
        self.incarnations(run).any(|incarnation| incarnation.events.iter().take(before).any(Event::ends_run))
    }

    /// A call returned the outcome of a run. The run may have been reopened since.
    pub(in crate::sim) fn ended(&mut self, run: &RunId, outcome: &Outcome) {
        let again = |event: &Event| matches!(event, Event::RunReopened | Event::UndoRetried { .. });
        let reopened = self.runs.get(run).is_some_and(|incarnation| incarnation.events.iter().any(again));
        let ended =
            |incarnation: &Incarnation| incarnation.state().is_some_and(|state| state.outcome() == Some(outcome));
        let same = reopened || self.incarnations(run).any(ended);
        self.expect(same, || format!("a call returned that `{run}` ended in {outcome:?}, which is not durable"));
    }

    /// The disk must hold in the end what was observed to be durable.
    pub(in crate::sim) fn compare(&mut self, run: &RunId, journal: &[Written], record: Option<&RunRecord>) {
        let mut replayer = Replayer::new(run.clone());
        let mut events = Vec::new();
        for written in journal {
            match replayer.add(written) {
                Ok(commit) => events.extend(commit.events),
                Err(error) => return self.broken(format!("in the end: {error}")),
            }
        }
        let Some(incarnation) = self.runs.get(run) else {
            return self.expect(events.is_empty(), || format!("`{run}` is on the disk and was never written"));
        };
        let same = incarnation.events == events;
        let wrong = replayer.state().and_then(|state| wrong_record(record, state));
        self.expect(same, || format!("the disk does not hold what was durable of `{run}`"));
        self.expect(wrong.is_none(), || format!("in the end `{run}`: {}", wrong.unwrap_or_default()));
    }

    /// The output that a completed run must have; `None` if an output is not known here.
    pub(in crate::sim) fn output(&self, run: &RunId) -> Option<Value> {
        let state = self.state(run).filter(|state| matches!(state.outcome(), Some(Outcome::Completed(_))))?;
        let mut outputs = Map::new();
        for id in state.plan().sinks() {
            let output = match (&state.node(id).output, state.node(id).status) {
                (Some(output), _) if stands_for_another(output.as_json()) => return None,
                (Some(output), _) => output.to().ok()?,
                (None, NodeStatus::Completed) => return None,
                (None, _) => Value::Null,
            };
            outputs.insert(state.name(id).to_string(), output);
        }
        if outputs.len() > 1 { Some(Value::Object(outputs)) } else { outputs.into_iter().next().map(|(_, only)| only) }
    }
}
