//! The world of one seed: its disk, clock, fault rates, processes and audit.
//!
//! Nothing here reads a real clock or uses real randomness: everything follows from the seed.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use orkestra_core::Clock;
use orkestra_core::journal::decode_letter;
use orkestra_core::kernel::InputKind;
use orkestra_core::model::{RunId, Timestamp};
use orkestra_core::store::{LetterId, MemoryStore, Store};
use tokio::time::Instant;

use crate::chance::Chance;

use super::ability::{Abilities, Ability};
use super::audit::Audit;
use super::rates::FaultRates;
use super::trace::Trace;
use super::wire::Wire;
use super::{Bug, Settings};

/// When every world begins, in milliseconds: far enough from zero for clocks that are behind.
const BEGINNING_MS: u64 = 1_000_000_000;

/// How long a disturbance may have consequences: more than a lease lasts.
const DISTURBANCE_MAX: Duration = Duration::from_secs(90);

/// How often the time may be read, or the store called, while no time passes.
const ASKED_MAX: u64 = 300_000;

/// The panic message of the store.
pub(super) const PANIC: &str = "the simulated store panics";

/// How processes share the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// One process at a time embeds the store: both die together.
    Embedded,
    /// A separate store that several processes use.
    Shared,
}

/// The world of one seed.
pub(super) struct World {
    pub(super) seed: u64,
    pub(super) bug: Option<Bug>,
    pub(super) kind: Kind,
    /// Whether leases are judged by the store's own clock, not by that of the calling process.
    pub(super) store_has_clock: bool,
    pub(super) disk: MemoryStore,
    pub(super) wire: Mutex<Wire>,
    origin: Instant,
    /// How often the time was read, or the store called, since time passed last.
    asked: AtomicU64,
    asked_at_ms: AtomicU64,
    chance: Mutex<Chance>,
    rates: Mutex<FaultRates>,
    trace: Mutex<Trace>,
    audit: Mutex<Audit>,
    /// What it can do besides the plain verbs.
    pub(super) abilities: Abilities,
    /// Whether the store has panicked, or will not.
    panicked: AtomicBool,
    /// Whether a clock was a year ahead.
    pub(super) jumped: AtomicBool,
    /// The run that a store with [`Bug::ForgottenTimer`] has forgotten, and the wake-up time.
    pub(super) forgotten: Mutex<Option<(RunId, Timestamp)>>,
}

/// One process: an engine with its memory. When it is dead, whatever still runs in it waits forever.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) name: String,
    dead: AtomicBool,
    cut_off: AtomicBool,
    skew_ms: AtomicI64,
    /// When a fault last endangered its leases, in milliseconds.
    disturbed_ms: AtomicU64,
}

/// The clock of a process: the world's time plus the process's skew.
pub(super) struct ProcessClock(pub(super) Arc<World>, pub(super) Arc<Process>);

impl World {
    pub(super) fn new(seed: u64, settings: &Settings) -> Self {
        let mut chance = Chance::new(seed);
        let kind = if chance.one_in(3) { Kind::Embedded } else { Kind::Shared };
        let abilities = Abilities::random(seed, &mut chance, &settings.without);
        Self {
            panicked: AtomicBool::new(!abilities.has(Ability::Panics)),
            jumped: AtomicBool::new(false),
            abilities,
            seed,
            bug: settings.bug,
            kind,
            store_has_clock: chance.one_in(2),
            disk: MemoryStore::new(),
            wire: Mutex::default(),
            origin: Instant::now(),
            asked: AtomicU64::new(0),
            asked_at_ms: AtomicU64::new(0),
            rates: Mutex::new(FaultRates::random(&mut chance)),
            chance: Mutex::new(chance),
            trace: Mutex::new(Trace::new(settings.log)),
            audit: Mutex::default(),
            forgotten: Mutex::default(),
        }
    }

    /// Detects a loop without waits, in which no time would ever pass, and ends it.
    fn expect_progress(&self) {
        let now = u64::try_from(self.origin.elapsed().as_millis()).unwrap_or(u64::MAX);
        if self.asked_at_ms.swap(now, Ordering::Relaxed) != now {
            self.asked.store(0, Ordering::Relaxed);
        } else if self.asked.fetch_add(1, Ordering::Relaxed) == ASKED_MAX {
            self.broken("something loops forever while no time passes".to_owned());
            if tokio::task::try_id().is_some() {
                std::panic::resume_unwind(Box::new("something loops forever"));
            }
        }
    }

    /// The true time, which no process in the world knows for sure.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_millis(BEGINNING_MS).saturating_add(self.origin.elapsed())
    }

    /// A random draw.
    pub(super) fn draw<T>(&self, draw: impl FnOnce(&mut Chance) -> T) -> T {
        draw(&mut lock(&self.chance))
    }

    pub(super) fn rates(&self) -> FaultRates {
        *lock(&self.rates)
    }

    /// Stops all faults, or all but hiccups.
    pub(super) fn stop_faults(&self) {
        let hiccups = self.abilities.has(Ability::Hiccups);
        *lock(&self.rates) = if hiccups { FaultRates::HICCUPS } else { FaultRates::NONE };
    }

    /// Panics once, in a world whose store panics.
    pub(super) fn may_panic(&self) {
        self.expect_progress();
        // The director calls the store outside of a task, where a panic would end the simulation.
        let inside = !self.panicked.load(Ordering::Relaxed) && tokio::task::try_id().is_some();
        let now = inside && self.draw(|chance| chance.one_in(60));
        if now && !self.panicked.swap(true, Ordering::Relaxed) {
            self.note(format_args!("the store panics"));
            // Not `panic!`: the panic hook would print it.
            std::panic::resume_unwind(Box::new(PANIC));
        }
    }

    /// The letters in the inbox of a run.
    pub(super) async fn letters(&self, run: &RunId) -> Vec<InputKind> {
        let letters = self.disk.letters(run, LetterId::ZERO, usize::MAX).await.unwrap_or_default();
        letters.iter().filter_map(|letter| decode_letter(&letter.body).ok()).collect()
    }

    pub(super) fn audit(&self) -> MutexGuard<'_, Audit> {
        lock(&self.audit)
    }

    /// Adds what happened to the log and to the fingerprint.
    pub(super) fn note(&self, what: std::fmt::Arguments<'_>) {
        let at = self.now().as_millis() - BEGINNING_MS;
        lock(&self.trace).note(at, what);
    }

    /// Records a violation. Only the first one is kept.
    pub(super) fn broken(&self, what: String) {
        self.note(format_args!("BROKEN {what}"));
        self.audit().broken(what);
    }

    pub(super) fn close(&self) -> (u64, Option<Vec<String>>) {
        lock(&self.trace).close()
    }

    /// Waits for a random delay.
    pub(super) async fn delay(&self) {
        let rates = self.rates();
        let millis = self.draw(|chance| rates.delay_ms(chance));
        if millis > 0 {
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// Locks the mutex. No panic can happen in the middle of a change here, so a poisoned lock is consistent.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Process {
    pub(super) fn new(name: String) -> Self {
        let (dead, cut_off) = (AtomicBool::new(false), AtomicBool::new(false));
        Self { name, dead, cut_off, skew_ms: AtomicI64::new(0), disturbed_ms: AtomicU64::new(0) }
    }

    pub(super) fn die(&self) {
        self.dead.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// Disconnects the process from the store, or reconnects it.
    pub(super) fn cut_off(&self, off: bool) {
        self.cut_off.store(off, Ordering::Relaxed);
    }

    pub(super) fn is_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    /// Records a fault that may make it lose or release its runs.
    pub(super) fn disturb(&self, now: Timestamp) {
        self.disturbed_ms.fetch_max(now.as_millis(), Ordering::Relaxed);
    }

    /// Whether no recent fault has endangered its leases.
    pub(super) fn is_undisturbed(&self, now: Timestamp) -> bool {
        let disturbed = Timestamp::from_millis(self.disturbed_ms.load(Ordering::Relaxed));
        disturbed == Timestamp::ZERO || now.since(disturbed) > DISTURBANCE_MAX
    }

    /// Sets how far its clock is ahead of the true time.
    pub(super) fn set_skew(&self, millis: i64) {
        self.skew_ms.store(millis, Ordering::Relaxed);
    }

    /// Returns if the process is alive; never returns if it is dead.
    pub(super) async fn halt_if_dead(&self) {
        if self.is_dead() {
            std::future::pending::<()>().await;
        }
    }
}

impl Clock for ProcessClock {
    fn now(&self) -> Timestamp {
        self.0.expect_progress();
        let millis = self.0.now().as_millis().saturating_add_signed(self.1.skew_ms.load(Ordering::Relaxed));
        Timestamp::from_millis(millis)
    }
}
