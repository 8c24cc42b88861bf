//! What readers, waiters and senders were told: it is durable, or was when they were told.

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
    /// A reader was given an event.
    pub(in crate::sim) fn delivered(&mut self, event: &RunEvent, expected: Seq) {
        let index = usize::try_from(event.seq.0).unwrap_or(usize::MAX).wrapping_sub(1);
        let same = self.incarnations(&event.run).any(|incarnation| incarnation.events.get(index) == Some(&event.event));
        let RunEvent { run, seq, .. } = event;
        self.expect(*seq == expected, || format!("a reader of `{run}` got event {seq} where {expected} follows"));
        self.expect(same, || format!("a reader of `{run}` got event {seq}, which is not durable"));
    }

    /// Somebody was told that there is such an event.
    pub(in crate::sim) fn acknowledged(&mut self, run: &RunId, what: &dyn Debug, is_it: impl Fn(&Event) -> bool) {
        let there = self.incarnations(run).any(|incarnation| incarnation.events.iter().any(&is_it));
        self.expect(there, || format!("{what:?} of `{run}` was acknowledged, and that is not durable"));
    }

    /// Somebody was told that something was sent to a run: it is in its journal or its inbox, or was of no use any more.
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

    /// A letter is discarded. A signal is of use until the run has ended.
    pub(in crate::sim) fn discarded(&mut self, run: &RunId, letter: InputKind) {
        let over = self.runs.get(run).is_none_or(|incarnation| incarnation.events.iter().any(Event::ends_run));
        let useful = matches!(letter, InputKind::Signal { .. }) && !over;
        self.expect(!useful, || format!("a signal for `{run}` was discarded, and the run goes on"));
        self.discarded.entry(run.clone()).or_default().push(letter);
    }

    /// Whether an event before this position ended the run: a reader may be told that nothing follows.
    pub(in crate::sim) fn ends_before(&self, run: &RunId, position: Seq) -> bool {
        let before = usize::try_from(position.0.saturating_sub(1)).unwrap_or(usize::MAX);
        self.incarnations(run).any(|incarnation| incarnation.events.iter().take(before).any(Event::ends_run))
    }

    /// Somebody was told how a run ended. It may have been opened again since.
    pub(in crate::sim) fn ended(&mut self, run: &RunId, outcome: &Outcome) {
        let again = |event: &Event| matches!(event, Event::RunReopened | Event::UndoRetried { .. });
        let reopened = self.runs.get(run).is_some_and(|incarnation| incarnation.events.iter().any(again));
        let ended =
            |incarnation: &Incarnation| incarnation.state().is_some_and(|state| state.outcome() == Some(outcome));
        let same = reopened || self.incarnations(run).any(ended);
        self.expect(same, || format!("somebody was told that `{run}` ended in {outcome:?}, and that is not durable"));
    }

    /// What the disk holds in the end is what was durable all along.
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
            return self.expect(events.is_empty(), || format!("`{run}` is on the disk, and nobody wrote it"));
        };
        let same = incarnation.events == events;
        let wrong = replayer.state().and_then(|state| wrong_record(record, state));
        self.expect(same, || format!("the disk does not hold what was durable of `{run}`"));
        self.expect(wrong.is_none(), || format!("in the end `{run}`: {}", wrong.unwrap_or_default()));
    }

    /// What a completed run gives to whoever asks, as far as its nodes' outputs are known here.
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
