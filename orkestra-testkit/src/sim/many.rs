//! Simulates many worlds, on several threads.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use super::{Settings, Verdict, simulate};

/// The results of many worlds.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Summary {
    /// How many worlds were simulated.
    pub seeds: u64,
    /// The worlds with a violation, lowest seed first.
    pub broken: Vec<Verdict>,
    /// How often each kind of event was written.
    pub events: BTreeMap<String, u64>,
}

impl Summary {
    /// Adds the result of a world.
    pub fn add(&mut self, verdict: Verdict) {
        self.seeds += 1;
        for (kind, count) in &verdict.events {
            *self.events.entry(kind.clone()).or_default() += count;
        }
        if verdict.violation.is_some() {
            self.broken.push(verdict);
        }
    }

    fn join(mut self, other: Self) -> Self {
        self.seeds += other.seeds;
        self.broken.extend(other.broken);
        for (kind, count) in other.events {
            *self.events.entry(kind).or_default() += count;
        }
        self
    }

    /// Asserts that no world had a violation.
    ///
    /// # Panics
    /// With the first violation and the command that shows it again.
    pub fn assert_sound(&self) {
        if let Some(verdict) = self.broken.first() {
            let (count, seeds) = (self.broken.len(), self.seeds);
            let (what, rerun) = (verdict.violation.as_deref().unwrap_or_default(), verdict.rerun());
            panic!("{count} of {seeds} worlds are broken, seed {} first: {what}\n{rerun}", verdict.seed);
        }
    }
}

/// Simulates the worlds of all `seeds` on `threads` threads, and calls `seen` for each one that is finished. Once `seen` returns
/// `false`, no further worlds are started.
///
/// # Panics
/// When a simulation itself panics.
pub fn simulate_many(
    seeds: Range<u64>,
    threads: usize,
    settings: &Settings,
    seen: impl Fn(&Verdict) -> bool + Sync,
) -> Summary {
    let (next, stop) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let work = || {
        let mut summary = Summary::default();
        while !stop.load(Ordering::Relaxed) {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                break;
            }
            let verdict = simulate(seed, settings);
            if !seen(&verdict) {
                stop.store(true, Ordering::Relaxed);
            }
            summary.add(verdict);
        }
        summary
    };
    let mut all = thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(work)).collect();
        let summaries = workers.into_iter().map(|worker| worker.join().expect("a simulation does not panic"));
        summaries.fold(Summary::default(), Summary::join)
    });
    all.broken.sort_by_key(|verdict| verdict.seed);
    all
}
