//! Feeds sequences of inputs to `decide` and checks the invariants that hold for any inputs.

use std::collections::BTreeMap;

use orkestra_core::journal::{Commit, Replayer, Written, encode};
use orkestra_core::kernel::{Event, Input, InputKind, Rejection, RunState, broken_invariant, decide};
use orkestra_core::model::{Epoch, RunId, Seq, Timestamp};
use orkestra_core::projection::{Graph, RunView};

use super::bytes::Bytes;
use super::inputs::{input, next_input};
use super::plan::{options, payload, plan};

/// How many inputs a run gets from the bytes; more find nothing new.
const INPUTS_MAX: usize = 200;

/// More inputs than any of these runs needs to end: a run that takes more never ends.
const INPUTS_TO_THE_END_MAX: usize = 5000;

/// Creates a run from the bytes, feeds it the inputs that they encode, and drives it to its end.
///
/// # Panics
/// When a rejected input changes the run, an invariant is broken, a replay differs, the kernel contradicts itself, or the
/// run cannot be driven to its end.
pub fn decisions(data: &[u8]) {
    let mut bytes = Bytes::new(data);
    let Some(mut run) = Run::create(&mut bytes) else { return };
    run.play(&mut bytes);
    run.fork(&mut bytes);
    run.drive();
}

/// The journal of the run that [`decisions`] makes from the bytes, in the form that [`journal`](super::journal) reads: a seed
/// for that function.
///
/// # Panics
/// As [`decisions`].
#[must_use]
pub fn journal_of(data: &[u8]) -> Vec<u8> {
    let mut bytes = Bytes::new(data);
    let Some(mut run) = Run::create(&mut bytes) else { return Vec::new() };
    run.play(&mut bytes);
    run.drive();
    let bodies: Vec<_> = run.journal.iter().map(|written| &*written.body).collect();
    bodies.join(&b'\n')
}

/// A run under test: its state, and the state replayed from its journal.
struct Run {
    id: RunId,
    state: Option<RunState>,
    replayer: Replayer,
    journal: Vec<Written>,
    events: Vec<Event>,
    now: u64,
    chance: f64,
}

impl Run {
    fn nothing(id: &str) -> Self {
        let id = RunId::new(id).expect("an id");
        let replayer = Replayer::new(id.clone());
        Self { id, state: None, replayer, journal: Vec::new(), events: Vec::new(), now: 0, chance: 0.0 }
    }

    fn create(bytes: &mut Bytes<'_>) -> Option<Self> {
        let mut run = Self::nothing("r");
        let plan = plan(bytes)?;
        let labels = BTreeMap::from([("tenant".to_owned(), "acme".to_owned())]);
        let kind = InputKind::Create { plan, input: payload(bytes), labels, options: options(bytes) };
        run.feed(kind).is_ok().then_some(run)
    }

    fn state(&self) -> &RunState {
        self.state.as_ref().expect("the run was created")
    }

    fn play(&mut self, bytes: &mut Bytes<'_>) {
        for _ in 0..INPUTS_MAX {
            if bytes.is_empty() {
                break;
            }
            let mut now = self.now;
            let kind = input(bytes, self.state(), &mut now);
            (self.now, self.chance) = (now, f64::from(bytes.byte()) / 255.0);
            // The input may be accepted or rejected; `feed` checks what must hold in either case.
            drop(self.feed(kind));
        }
        drop((RunView::of(self.state()), Graph::of(self.state()).to_text()));
    }

    /// Decides on `kind`, and checks the invariants.
    fn feed(&mut self, kind: InputKind) -> Result<(), Rejection> {
        let (before, asked) = (self.state.clone(), format!("{kind:?}"));
        let at = Timestamp::from_millis(self.now);
        match decide(&self.id, &mut self.state, Input { at, chance: self.chance, kind }) {
            Err(Rejection::Broken(illegal)) => panic!("{asked}: {illegal}"),
            Err(rejection) => {
                assert!(before == self.state, "{asked} was rejected ({rejection}) and changed the state");
                Err(rejection)
            }
            Ok(events) if events.is_empty() => {
                assert!(before == self.state, "{asked} gave no event and changed the state");
                Ok(())
            }
            Ok(events) => {
                self.write(at, events);
                assert_eq!(broken_invariant(self.state()), None, "after {asked}");
                assert!(self.replayer.state() == self.state.as_ref(), "replay differs after {asked}");
                Ok(())
            }
        }
    }

    fn write(&mut self, at: Timestamp, events: Vec<Event>) {
        let first = self.journal.last().map_or(Seq::ZERO, |written| written.last).plus(1);
        self.events.extend(events.iter().cloned());
        let commit = Commit { run: self.id.clone(), first, epoch: Epoch(1), at, events };
        let written = encode(&commit).expect("events serialise");
        let read = self.replayer.add(&written).expect("what was decided can be replayed");
        assert_eq!(read, commit, "a commit changed on its way through the journal");
        self.journal.push(written);
    }

    /// Forks this run at one of its nodes, and drives the fork to its end.
    fn fork(&self, bytes: &mut Bytes<'_>) {
        let ids: Vec<_> = self.state().plan().ids().collect();
        let Some(id) = bytes.pick(&ids) else { return };
        let mut other = Self { now: self.now, ..Self::nothing("fork") };
        let (from, node) = (self.id.clone(), self.state().name(*id).clone());
        let input = bytes.maybe(2, payload);
        let kind = InputKind::Fork { from, events: self.events.clone(), node, input, incarnation: None, undone: false };
        if other.feed(kind).is_ok() {
            other.drive();
        }
    }

    /// Performs the run's work and delivers what it waits for, until it has ended and no work is left.
    fn drive(&mut self) {
        self.chance = 0.5;
        for _ in 0..INPUTS_TO_THE_END_MAX {
            let mut now = self.now;
            let next = next_input(self.state(), &mut now);
            let ended = self.state().status().is_final();
            let Some(kind) = next else {
                assert!(ended, "a live run has no work and waits for nothing: {:?}", self.state());
                return;
            };
            self.now = now;
            let asked = format!("{kind:?}");
            self.feed(kind).unwrap_or_else(|rejection| panic!("{asked} was rejected: {rejection}, {:?}", self.state()));
        }
        panic!("the run does not end: {:?}", self.state());
    }
}
