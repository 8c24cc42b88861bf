//! Who sees all: every commit as it becomes durable, every effect as it begins, every word that was given. What must
//! never be is noted the moment it is.
//!
//! It knows the durable truth only. Whoever shows, answers or does something that is not durable is found out here.

use std::collections::BTreeMap;
use std::fmt::Debug;

use orkestra_core::RunEvent;
use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::{Event, InputKind, NodeStatus, Outcome, RunState, broken_invariant};
use orkestra_core::model::{Epoch, Name, Payload, RunId, Seq};
use orkestra_core::store::RunRecord;

/// All that is durable, and all that was seen.
#[derive(Default)]
pub(super) struct Audit {
    runs: BTreeMap<RunId, Audited>,
    claims: BTreeMap<RunId, (Epoch, String)>,
    effects: BTreeMap<(RunId, Name, String), Vec<u64>>,
    begun: u64,
    /// Letters that were discarded: whoever drove the run found that nothing follows from them.
    discarded: BTreeMap<RunId, Vec<InputKind>>,
    violation: Option<String>,
}

struct Audited {
    replayer: Replayer,
    events: Vec<Event>,
    epoch: Epoch,
    record: Option<RunRecord>,
}

/// What a step is about to do.
#[derive(Clone, Debug)]
pub(super) struct Effect<'a> {
    pub(super) process: &'a str,
    pub(super) run: &'a RunId,
    pub(super) node: &'a Name,
    pub(super) attempt: u32,
    pub(super) step: &'a str,
    pub(super) at_most_once: bool,
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
        self.runs.get(run)?.replayer.state()
    }

    pub(super) fn states(&self) -> impl Iterator<Item = &RunState> {
        self.runs.values().filter_map(|audited| audited.replayer.state())
    }

    /// The last durable position of a run.
    pub(super) fn last(&self, run: &RunId) -> Seq {
        self.state(run).map_or(Seq::ZERO, RunState::last)
    }

    /// All durable events of all runs.
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.runs.values().flat_map(|audited| &audited.events)
    }

    /// A process has been given the right to drive a run.
    pub(super) fn claimed(&mut self, run: &RunId, epoch: Epoch, process: &str) {
        let before = self.claims.insert(run.clone(), (epoch, process.to_owned()));
        let higher = before.is_none_or(|(before, _)| before < epoch);
        self.expect(higher, || format!("epoch {epoch} of `{run}` is not higher than the one before it"));
    }

    /// A commit has become durable, or was so already.
    pub(super) fn durable(&mut self, written: &Written, record: Option<&RunRecord>) {
        let run = &written.run;
        if written.first <= self.last(run) {
            return;
        }
        let claimed = self.claims.get(run).map_or(Epoch(0), |(epoch, _)| *epoch);
        self.expect(written.epoch >= claimed, || {
            format!("epoch {} wrote `{run}` at {} after epoch {claimed} had claimed it", written.epoch, written.first)
        });
        let new =
            || Audited { replayer: Replayer::new(run.clone()), events: Vec::new(), epoch: Epoch(0), record: None };
        let audited = self.runs.entry(run.clone()).or_insert_with(new);
        let before = std::mem::replace(&mut audited.epoch, written.epoch);
        let result = audited.replayer.add(written);
        audited.record = record.cloned().or(audited.record.take());
        let wrong = match (result, audited.replayer.state()) {
            (Err(error), _) => Some(error.to_string()),
            (_, None) => Some("a commit that makes no run".to_owned()),
            (Ok(_), Some(_)) if before > written.epoch => Some("its epochs go back".to_owned()),
            (Ok(commit), Some(state)) => {
                audited.events.extend(commit.events);
                broken_invariant(state).or_else(|| wrong_record(audited.record.as_ref(), state))
            }
        };
        if let Some(wrong) = wrong {
            self.broken(format!("`{run}` after {}: {wrong}", written.last));
        }
        self.check_results(run, written);
    }

    /// A step's result is what one of its effects gave.
    fn check_results(&mut self, run: &RunId, written: &Written) {
        let Some(audited) = self.runs.get(run) else { return };
        let from = usize::try_from(written.first.0 - 1).unwrap_or(usize::MAX);
        let copied = is_fork(audited) && written.first == Seq(1);
        let made_up = audited.events.iter().skip(from).find_map(|event| {
            let Event::StepCompleted { node, step, result, .. } = event else { return None };
            let number: u64 = result.to().ok()?;
            let effects = self.effects.get(&(run.clone(), node.clone(), step.clone()));
            // A fork begins with what the other run did.
            let real = copied || effects.is_some_and(|numbers| numbers.contains(&number));
            (!real).then(|| format!("step `{step}` of `{run}`/`{node}` has the result {number}, which no effect gave"))
        });
        if let Some(made_up) = made_up {
            self.broken(made_up);
        }
    }

    fn drives(&self, run: &RunId, process: &str) -> bool {
        self.claims.get(run).is_some_and(|(_, claimer)| claimer == process)
    }

    /// A task is called. `input` is what it was given.
    pub(super) fn called(&mut self, process: &str, run: &RunId, node: &Name, attempt: u32, input: &Payload) {
        let drives = self.drives(run, process);
        let Some(state) = self.state(run) else {
            return self.broken(format!("`{run}`/`{node}` is called and the run is not durable"));
        };
        let Some(id) = state.plan().id(node) else {
            return self.broken(format!("`{run}`/`{node}` is called and the node is not durable"));
        };
        let (now, given) = (state.node(id), state.node_input(id));
        let early = attempt > now.attempt;
        let again = drives && now.status == NodeStatus::Completed;
        let same = given.is_ok_and(|given| given.as_json() == input.as_json());
        self.expect(!early, || format!("attempt {attempt} of `{run}`/`{node}` is called before it is durable"));
        self.expect(!again, || format!("`{run}`/`{node}` is called and is completed already"));
        self.expect(same, || format!("`{run}`/`{node}` is called with another input than it has"));
    }

    /// An effect begins: the number that names it.
    pub(super) fn begin(&mut self, effect: &Effect<'_>) -> u64 {
        let Effect { process, run, node, attempt, step, at_most_once } = effect;
        let drives = self.drives(run, process);
        let node_state = self.state(run).and_then(|state| Some(state.node(state.plan().id(node)?)));
        let durable = node_state.is_some_and(|state| state.attempt >= *attempt);
        let done =
            drives && node_state.is_some_and(|state| state.steps.get(*step).is_some_and(|it| it.result().is_some()));
        self.expect(durable, || format!("{effect:?} before its attempt is durable"));
        self.expect(!done, || format!("{effect:?} although its result is durable"));
        self.begun += 1;
        let number = self.begun;
        let key = ((*run).clone(), (*node).clone(), (*step).to_owned());
        let numbers = self.effects.entry(key).or_default();
        numbers.push(number);
        let twice = *at_most_once && numbers.len() > 1;
        self.expect(!twice, || format!("{effect:?} for the second time"));
        number
    }

    /// How often an effect has begun.
    pub(super) fn times(&self, run: &RunId, node: &Name, step: &str) -> usize {
        self.effects.get(&(run.clone(), node.clone(), step.to_owned())).map_or(0, Vec::len)
    }

    /// A task was told the result of a step.
    pub(super) fn answered(&mut self, run: &RunId, node: &Name, step: &str, result: &Payload) {
        let known = self.state(run).and_then(|state| {
            let id = state.plan().id(node)?;
            state.node(id).steps.get(step)?.result()?.ok()
        });
        let same = known.is_some_and(|known| known.as_json() == result.as_json());
        self.expect(same, || format!("step `{step}` of `{run}`/`{node}` was answered, and that is not durable"));
    }

    /// A reader was given an event.
    pub(super) fn delivered(&mut self, event: &RunEvent, expected: Seq) {
        let index = usize::try_from(event.seq.0).unwrap_or(usize::MAX).wrapping_sub(1);
        let durable = self.runs.get(&event.run).and_then(|audited| audited.events.get(index));
        let same = durable.is_some_and(|durable| *durable == event.event);
        let RunEvent { run, seq, .. } = event;
        self.expect(*seq == expected, || format!("a reader of `{run}` got event {seq} where {expected} follows"));
        self.expect(same, || format!("a reader of `{run}` got event {seq}, which is not durable"));
    }

    /// Somebody was told that there is such an event.
    pub(super) fn promised(&mut self, run: &RunId, what: &dyn Debug, is_it: impl Fn(&Event) -> bool) {
        let there = self.runs.get(run).is_some_and(|audited| audited.events.iter().any(is_it));
        self.expect(there, || format!("{what:?} of `{run}` was acknowledged, and that is not durable"));
    }

    /// Somebody was told that something was sent to a run: it is in its journal or its inbox, or was of no use any more.
    pub(super) fn promised_by_letter(
        &mut self,
        run: &RunId,
        what: &dyn Debug,
        is_it: impl Fn(&Event) -> bool,
        sent: &[InputKind],
        is_sent: impl Fn(&InputKind) -> bool,
    ) {
        let discarded = self.discarded.get(run).is_some_and(|letters| letters.iter().any(&is_sent));
        if !discarded && !sent.iter().any(is_sent) {
            self.promised(run, what, is_it);
        }
    }

    /// A letter is discarded. A signal is of use until the run has ended.
    pub(super) fn discarded(&mut self, run: &RunId, letter: InputKind) {
        let over = self.runs.get(run).is_some_and(|audited| audited.events.iter().any(Event::ends_run));
        let useful = matches!(letter, InputKind::Signal { .. }) && !over;
        self.expect(!useful, || format!("a signal for `{run}` was discarded, and the run goes on"));
        self.discarded.entry(run.clone()).or_default().push(letter);
    }

    /// Whether an event before this position ended the run: a reader may be told that nothing follows.
    pub(super) fn ends_before(&self, run: &RunId, position: Seq) -> bool {
        let before = usize::try_from(position.0.saturating_sub(1)).unwrap_or(usize::MAX);
        self.runs.get(run).is_some_and(|audited| audited.events.iter().take(before).any(Event::ends_run))
    }

    /// Somebody was told how a run ended. It may have been opened again since.
    pub(super) fn ended(&mut self, run: &RunId, outcome: &Outcome) {
        let again = |event: &Event| matches!(event, Event::RunReopened | Event::UndoRetried { .. });
        let reopened = self.runs.get(run).is_some_and(|audited| audited.events.iter().any(again));
        let same = reopened || self.state(run).is_some_and(|state| state.outcome() == Some(outcome));
        self.expect(same, || format!("somebody was told that `{run}` ended in {outcome:?}, and that is not durable"));
    }

    /// What the disk holds in the end is what was durable all along.
    pub(super) fn compare(&mut self, run: &RunId, journal: &[Written], record: Option<&RunRecord>) {
        let mut replayer = Replayer::new(run.clone());
        let mut events = Vec::new();
        for written in journal {
            match replayer.add(written) {
                Ok(commit) => events.extend(commit.events),
                Err(error) => return self.broken(format!("in the end: {error}")),
            }
        }
        let Some(audited) = self.runs.get(run) else {
            return self.expect(events.is_empty(), || format!("`{run}` is on the disk, and nobody wrote it"));
        };
        let same = audited.events == events;
        let wrong = replayer.state().and_then(|state| wrong_record(record, state));
        self.expect(same, || format!("the disk does not hold what was durable of `{run}`"));
        self.expect(wrong.is_none(), || format!("in the end `{run}`: {}", wrong.unwrap_or_default()));
    }

    /// Attempts of a node are counted from 1, and none is left out or used twice.
    pub(super) fn check_attempts(&mut self) {
        let wrong = self.runs.iter().filter(|(_, audited)| !is_fork(audited)).find_map(|(run, audited)| {
            let mut attempts: BTreeMap<&Name, u32> = BTreeMap::new();
            audited.events.iter().find_map(|event| {
                let Event::AttemptStarted { node, attempt, .. } = event else { return None };
                let before = attempts.insert(node, *attempt).unwrap_or(0);
                (*attempt != before + 1)
                    .then(|| format!("attempt {attempt} of `{run}`/`{node}` follows attempt {before}"))
            })
        });
        if let Some(wrong) = wrong {
            self.broken(wrong);
        }
    }
}

fn is_fork(audited: &Audited) -> bool {
    audited.replayer.state().is_some_and(|state| state.options().forked_from.is_some())
}

fn wrong_record(record: Option<&RunRecord>, state: &RunState) -> Option<String> {
    let Some(record) = record else { return Some("there is no record".to_owned()) };
    let same = record.tells(state) && record.outcome.as_ref() == state.outcome();
    (!same).then(|| format!("its record does not tell it: {record:?}"))
}
