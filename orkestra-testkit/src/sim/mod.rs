//! The simulator: it makes whole worlds from a seed and checks the engine in them.
//!
//! A world has random workflows, one to three engines, each in a process that may die at any time, a store that is slow and
//! loses or delays answers, wrong clocks, and clients that start runs, send signals, cancel and follow events. In the first,
//! faulty phase all of that happens; in the second, quiet phase faults stop and every run must end. These violations are
//! detected at once:
//!
//! - what is acknowledged, delivered, answered or performed is durable;
//! - journals have no gaps, their epochs never decrease, and no process writes a run that a newer lease has claimed;
//! - after every commit the kernel's invariants hold and the record matches the state;
//! - the result of a step is what one of its effects returned; no effect starts once its result is durable; an effect that may
//!   start at most once does so;
//! - every answer belongs to its request: each step, child, signal and answer identifies itself, children echo their input, and
//!   the output of a run consists of its nodes' outputs; each answer is the same each time;
//! - a consumed signal is received, by exactly one wait; the result of a race never changes;
//! - a step fails as interrupted only when its process was lost or its attempt ended, and plain work beside a wait is not
//!   dropped while its process is alive;
//! - nothing starts in a paused run, and it stays paused until each failure is decided; a fork compensates only what it did
//!   itself; a child that was cancelled before it existed does not start;
//! - in the quiet phase every run ends, no run stays blocked, and every engine shuts down;
//! - the disk holds in the end what was durable before.
//!
//! Time is virtual and randomness comes from the seed: the same seed gives the same world, as [`Verdict::trace`] shows.
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

/// A bug to put into the simulated store, to check that the simulator finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Bug {
    /// Writes are acknowledged before they are durable.
    AckBeforeSync,
    /// Writes with an old epoch are accepted.
    NoFenceCheck,
    /// The index of wake-up times forgets one.
    ForgottenTimer,
}

/// How to simulate.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The bug to put into the store.
    pub bug: Option<Bug>,
    /// Whether to record [`Verdict::log`].
    pub log: bool,
    /// Abilities that no world has, to see worlds without them.
    pub without: Vec<Ability>,
}

/// The result of a world.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Verdict {
    /// The seed that it was made from.
    pub seed: u64,
    /// The first violation.
    pub violation: Option<String>,
    /// A fingerprint of everything that happened. It changes with the texts of the log.
    pub trace: u64,
    /// Everything that happened, one line each, if [`Settings::log`] is set.
    pub log: Option<Vec<String>>,
    /// How often each kind of event was written.
    pub events: BTreeMap<String, u64>,
}

impl Verdict {
    /// The command that shows this world again, step by step.
    #[must_use]
    pub fn rerun(&self) -> String {
        format!("ORKESTRA_SIM_SEED={} cargo test -p orkestra-testkit --test it sim::one_seed -- --nocapture", self.seed)
    }
}

/// Simulates the world of a seed.
///
/// # Panics
/// When the operating system lacks the resources for a runtime.
#[must_use]
pub fn simulate(seed: u64, settings: &Settings) -> Verdict {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime with only a timer needs no resources");
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
