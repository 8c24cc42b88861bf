//! A simulator: whole worlds made from a number.
//!
//! One seed is one world: random workflows, one to three engines, each a process that may die at any instant, a store
//! that is slow, loses answers and tells late, clocks that are wrong, people who start runs, send signals, cancel and read
//! along. First comes a storm in which all of that happens, then calm weather in which every run must come to its end.
//! Whatever must not be is noted the moment it is:
//!
//! - what is acknowledged, delivered, answered or performed is durable;
//! - journals have no gap, their epochs do not go back, and nobody writes a run that a newer lease has claimed;
//! - after every commit the kernel's invariants hold and the record tells the state;
//! - the result of a step is what one of its effects gave; no effect begins when its result is durable; an effect that is
//!   to begin at most once does;
//! - what tasks are answered is what they asked for: each step, child, signal and answer says what it is, children send back
//!   what they were given, and the output of a run is what its nodes gave; each answer is the same each time;
//! - a signal that was consumed is received, by one wait; what a race came to stays;
//! - a step is said to be interrupted only when its process was lost or its attempt ended, and plain work beside a wait is not
//!   dropped while its process lives;
//! - nothing begins in a paused run, and it stays paused until each failure was decided; a fork undoes only what it did
//!   itself; a child that was cancelled before it was there does not begin;
//! - in calm weather every run ends, no run is given up, every engine shuts down;
//! - what the disk holds in the end is what was durable all along.
//!
//! Time is virtual, chance comes from the seed: the same seed does the same, and [`Verdict::trace`] shows it.
//!
//! ```
//! use orkestra_testkit::sim::{Settings, simulate};
//!
//! let verdict = simulate(7, &Settings::default());
//! assert_eq!(verdict.violation, None);
//! assert_eq!(simulate(7, &Settings::default()).trace, verdict.trace);
//! ```

mod ability;
mod audit;
mod call;
mod client;
mod director;
mod many;
mod program;
mod rates;
mod store;
mod trace;
mod value;
mod wire;
mod workflows;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::director::Director;
use self::world::World;

pub use self::ability::Ability;
pub use self::many::{Summary, simulate_many};

/// A bug that can be put into the simulated store, to see that the simulator finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// Writes are acknowledged before they are durable.
    AckBeforeSync,
    /// Writes under an old epoch are taken.
    NoFenceCheck,
    /// The index of wake-up times forgets one.
    ForgottenTimer,
}

/// How to simulate.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The bug to put in.
    pub bug: Option<Bug>,
    /// Whether to keep the text of what happens: [`Verdict::log`].
    pub log: bool,
    /// What no world does, to see a world without it.
    pub without: Vec<Ability>,
}

/// What became of a world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The seed that it was made from.
    pub seed: u64,
    /// What happened that must not. The first of it.
    pub violation: Option<String>,
    /// A fingerprint of all that happened.
    pub trace: u64,
    /// All that happened, a line each, when it was asked for.
    pub log: Option<Vec<String>>,
    /// How often each kind of event was written: what the world was about.
    pub events: BTreeMap<String, u64>,
}

impl Verdict {
    /// The command that shows this world again, step by step.
    #[must_use]
    pub fn rerun(&self) -> String {
        format!("ORKESTRA_SIM_SEED={} cargo test -p orkestra-testkit --test it sim::one_seed -- --nocapture", self.seed)
    }
}

/// Makes the world of a seed and sees what becomes of it.
///
/// # Panics
/// When the operating system has no room for a runtime.
#[must_use]
pub fn simulate(seed: u64, settings: &Settings) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime that only tells the time needs nothing");
    let world = runtime.block_on(async {
        let world = Arc::new(World::new(seed, settings));
        Director::new(Arc::clone(&world)).play().await;
        world
    });
    drop(runtime);
    let (trace, log) = world.close();
    let audit = world.audit();
    let mut events = BTreeMap::new();
    for event in audit.events() {
        *events.entry(trace::first_word(event)).or_default() += 1;
    }
    Verdict { seed, violation: audit.violation().map(str::to_owned), trace, log, events }
}
