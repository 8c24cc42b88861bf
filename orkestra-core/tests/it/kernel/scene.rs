//! The language of the tables: a run whose decisions are checked one by one.
//!
//! Every input of a table is also checked for the general rules: a rejected input changes nothing, `broken_invariant`
//! holds, and the journal, written and read back, gives the same state.

use std::collections::BTreeMap;
use std::sync::Arc;

use orkestra_core::journal::{Commit, Replayer, Written, decode, decode_snapshot, encode, encode_snapshot};
use orkestra_core::kernel::{
    Event, Input, InputKind, NodeState, Rejection, RunState, TaskRequest, broken_invariant, decide,
};
use orkestra_core::model::{
    Epoch, Failure, Growth, Name, NodeSpec, Payload, Plan, Retry, RunId, RunOptions, Seq, Timestamp, WorkflowSpec,
};

use super::show::show;

/// A run and the clock of its driver.
pub(super) struct Scene {
    pub(super) run: RunId,
    pub(super) state: Option<RunState>,
    pub(super) journal: Vec<Written>,
    pub(super) now: u64,
    chance: f64,
    replayer: Replayer,
}

impl Scene {
    /// There is no run yet.
    pub(super) fn nothing() -> Self {
        let run = RunId::new("r").expect("a run id");
        Self { replayer: Replayer::new(run.clone()), run, state: None, journal: Vec::new(), now: 0, chance: 0.0 }
    }

    /// A run of these nodes, created at 0 with the input `"in"`.
    pub(super) fn of<const N: usize>(nodes: [NodeSpec; N]) -> Self {
        let mut scene = Self::nothing();
        scene.feed(create(nodes)).expect("the run can be created");
        scene
    }

    /// A run of these nodes with these options.
    pub(super) fn with<const N: usize>(nodes: [NodeSpec; N], options: RunOptions) -> Self {
        let mut scene = Self::nothing();
        scene.feed(create_with(nodes, options)).expect("the run can be created");
        scene
    }

    /// A fork of this run from `node`.
    pub(super) fn fork(&self, node: &str, input: Option<&str>) -> (Self, Result<Vec<Event>, Rejection>) {
        self.fork_as(node, input, false)
    }

    /// The same; `undone` accepts that shared work may have been compensated.
    pub(super) fn fork_as(
        &self,
        node: &str,
        input: Option<&str>,
        undone: bool,
    ) -> (Self, Result<Vec<Event>, Rejection>) {
        let mut fork = Self { now: self.now, ..Self::nothing() };
        let events = self.events();
        let kind = InputKind::Fork {
            from: self.run.clone(),
            events,
            node: name(node),
            input: input.map(json),
            incarnation: None,
            undone,
        };
        let result = fork.feed(kind);
        (fork, result)
    }

    /// All events so far.
    pub(super) fn events(&self) -> Vec<Event> {
        let commits = self.journal.iter().map(|written| {
            decode(&written.run, written.first, written.last, &written.body).expect("our own journal is readable")
        });
        commits.flat_map(|commit| commit.events).collect()
    }

    /// The run as replayed from a journal, in a process that has just started.
    pub(super) fn replay(journal: &[Written], now: u64) -> Self {
        let mut scene = Self { now, ..Self::nothing() };
        for written in journal {
            scene.replayer.add(written).expect("our own journal is legal");
        }
        scene.state = scene.replayer.state().cloned();
        scene.journal = journal.to_vec();
        scene
    }

    /// Sets the clock.
    pub(super) fn at(&mut self, millis: u64) -> &mut Self {
        self.now = millis;
        self
    }

    /// Sets the random number that decisions get.
    pub(super) fn chance(&mut self, chance: f64) -> &mut Self {
        self.chance = chance;
        self
    }

    /// Feeds an input to the run and checks everything that always holds.
    pub(super) fn feed(&mut self, kind: InputKind) -> Result<Vec<Event>, Rejection> {
        let before = self.state.clone();
        let at = Timestamp::from_millis(self.now);
        let asked = format!("{kind:?}");
        match decide(&self.run, &mut self.state, Input { at, chance: self.chance, kind }) {
            Err(Rejection::Broken(illegal)) => panic!("{asked}: {illegal}"),
            Err(rejection) => {
                assert!(before == self.state, "{asked} was rejected ({rejection}) and changed the state");
                Err(rejection)
            }
            Ok(events) if events.is_empty() => {
                assert!(before == self.state, "{asked} gave no event and changed the state");
                Ok(events)
            }
            Ok(events) => {
                assert_eq!(self.state().last().0, before.map_or(0, |state| state.last().0) + events.len() as u64);
                self.write(at, events.clone());
                assert_eq!(broken_invariant(self.state()), None, "after {asked}");
                assert!(self.replayer.state() == self.state.as_ref(), "replay differs after {asked}");
                self.resume();
                Ok(events)
            }
        }
    }

    /// Continues from a snapshot of the current state, as if the journal before it were gone.
    fn resume(&mut self) {
        let last = self.journal.last().expect("something was decided");
        let bytes = encode_snapshot(self.state(), last).expect("a small state");
        let state = decode_snapshot(&bytes, last).expect("it is read as it was written");
        assert!(Some(&state) == self.state.as_ref(), "a snapshot differs");
        self.replayer = Replayer::resume(state);
    }

    fn write(&mut self, at: Timestamp, events: Vec<Event>) {
        let first = self.journal.last().map_or(Seq::ZERO, |written| written.last).plus(1);
        let commit = Commit { run: self.run.clone(), first, epoch: Epoch(1), at, events };
        let written = encode(&commit).expect("events serialise");
        assert_eq!(self.replayer.add(&written).expect("what was decided can be replayed"), commit);
        self.journal.push(written);
    }

    /// Writes events that the state has already seen.
    pub(super) fn adopt(&mut self, events: Vec<Event>) {
        self.write(Timestamp::from_millis(self.now), events);
        assert!(self.replayer.state() == self.state.as_ref(), "replay differs");
    }

    /// Continues with events that an older version decided differently.
    pub(super) fn adopt_old(&mut self, events: Vec<Event>) {
        self.write(Timestamp::from_millis(self.now), events);
        self.state = self.replayer.state().cloned();
        assert_eq!(broken_invariant(self.state()), None);
        self.resume();
    }

    /// Exactly these events must follow this input.
    #[track_caller]
    pub(super) fn then<const N: usize>(&mut self, kind: InputKind, expected: [&str; N]) -> &mut Self {
        let asked = format!("{kind:?}");
        let events = self.feed(kind).unwrap_or_else(|rejection| panic!("{asked} was rejected: {rejection}"));
        let shown: Vec<_> = events.iter().map(show).collect();
        assert_eq!(shown, expected, "after {asked}");
        self
    }

    /// This input must be rejected with these words.
    #[track_caller]
    pub(super) fn rejects(&mut self, kind: InputKind, words: &str) -> &mut Self {
        let asked = format!("{kind:?}");
        let rejection = self.feed(kind).map_err(|rejection| rejection.to_string());
        assert_eq!(rejection.err().as_deref(), Some(words), "after {asked}");
        self
    }

    pub(super) fn state(&self) -> &RunState {
        self.state.as_ref().expect("the run was created")
    }

    /// The node with this name.
    pub(super) fn node(&self, name: &str) -> &NodeState {
        let state = self.state();
        state.node(state.plan().id(name).expect("a node of the plan"))
    }
}

/// How tables write a node.
pub(super) trait Node: Sized {
    fn after(self, before: &[&str]) -> Self;
    fn tries(self, attempts_max: u32) -> Self;
    fn backs_off(self, attempts_max: u32, initial_ms: u64) -> Self;
    fn within(self, millis: u64) -> Self;
}

impl Node for NodeSpec {
    fn after(self, before: &[&str]) -> Self {
        before.iter().fold(self, |node, before| node.with_after(name(before)))
    }

    fn tries(self, attempts_max: u32) -> Self {
        self.with_retry(Retry::immediate(attempts_max))
    }

    fn backs_off(self, attempts_max: u32, initial_ms: u64) -> Self {
        self.with_retry(Retry { initial_ms, factor: 2.0, ..Retry::immediate(attempts_max) })
    }

    fn within(self, millis: u64) -> Self {
        Self { timeout_ms: Some(millis), ..self }
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

pub(super) fn json(text: &str) -> Payload {
    serde_json::from_str(text).expect("JSON")
}

pub(super) fn task(node: &str) -> NodeSpec {
    NodeSpec::task(name(node), name("work"))
}

pub(super) fn gate(node: &str, signal: &str) -> NodeSpec {
    NodeSpec::gate(name(node), name(signal))
}

pub(super) fn plan(nodes: impl Into<Vec<NodeSpec>>) -> Arc<Plan> {
    let spec = WorkflowSpec { name: name("w"), version: None, nodes: nodes.into() };
    Arc::new(Plan::new(&spec).expect("a plan"))
}

pub(super) fn create(nodes: impl Into<Vec<NodeSpec>>) -> InputKind {
    create_with(nodes, RunOptions::default())
}

pub(super) fn create_with(nodes: impl Into<Vec<NodeSpec>>, options: RunOptions) -> InputKind {
    let options = Box::new(options);
    InputKind::Create { plan: plan(nodes), input: json("\"in\""), labels: BTreeMap::new(), options }
}

/// `a#2` is the second attempt of `a`.
pub(super) fn attempt_of(text: &str) -> (Name, u32) {
    let (node, attempt) = text.split_once('#').expect("node#attempt");
    (name(node), attempt.parse().expect("a number"))
}

pub(super) fn done(attempt: &str, output: &str) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::AttemptEnded { node, attempt, result: Ok(json(output)) }
}

pub(super) fn fails(attempt: &str) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::AttemptEnded { node, attempt, result: Err(Failure::retryable("error", "no luck")) }
}

pub(super) fn fails_for_good(attempt: &str) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::AttemptEnded { node, attempt, result: Err(Failure::permanent("error", "no use")) }
}

pub(super) fn asks(attempt: &str, request: TaskRequest) -> InputKind {
    let (node, attempt) = attempt_of(attempt);
    InputKind::Task { node, attempt, request }
}

pub(super) fn start_step(step: &str) -> TaskRequest {
    TaskRequest::StartStep { step: step.into() }
}

pub(super) fn end_step(step: &str, result: &str) -> TaskRequest {
    TaskRequest::EndStep { step: step.into(), result: Ok(json(result)), charges: BTreeMap::new() }
}

pub(super) fn fail_step(step: &str) -> TaskRequest {
    TaskRequest::EndStep {
        step: step.into(),
        result: Err(Failure::permanent("refused", "never")),
        charges: BTreeMap::new(),
    }
}

pub(super) fn sleep(step: &str, due: u64) -> TaskRequest {
    TaskRequest::Sleep { step: step.into(), due: Timestamp::from_millis(due) }
}

pub(super) fn await_signal(step: &str, signal: &str) -> TaskRequest {
    TaskRequest::AwaitSignal { step: step.into(), signal: name(signal), until: None }
}

pub(super) fn let_go(step: &str, begun: bool) -> TaskRequest {
    TaskRequest::LetGo { step: step.into(), begun }
}

/// The same wait with a time limit.
pub(super) fn until(mut request: TaskRequest, millis: u64) -> TaskRequest {
    match &mut request {
        TaskRequest::AwaitSignal { until, .. } | TaskRequest::Ask { until, .. } | TaskRequest::Child { until, .. } => {
            *until = Some(Timestamp::from_millis(millis));
        }
        other => panic!("{other:?} has no limit"),
    }
    request
}

pub(super) fn grow(step: &str, growth: Growth) -> TaskRequest {
    TaskRequest::Grow { step: step.into(), growth }
}

pub(super) fn emit(kind: &str, payload: &str) -> TaskRequest {
    TaskRequest::Emit { kind: kind.into(), payload: json(payload) }
}

pub(super) fn signal(signal: &str, payload: &str) -> InputKind {
    InputKind::Signal { signal: name(signal), payload: json(payload) }
}

pub(super) fn cancel(reason: &str) -> InputKind {
    InputKind::Cancel { reason: reason.into() }
}

pub(super) const TICK: InputKind = InputKind::Tick;
pub(super) const RECOVER: InputKind = InputKind::Recover;
pub(super) const RELEASE: InputKind = InputKind::Release;
