//! A cache of values for recently used runs, in bounded memory.

use std::collections::HashMap;

use orkestra_core::model::RunId;

/// Runs in one generation, about 2 MiB: more than an engine drives at once. When the younger generation is full, the
/// older one is dropped.
const GENERATION_RUNS_MAX: usize = 16 * 1024;

/// A value for each recently used run.
pub(crate) struct RecentRuns<T> {
    young: HashMap<RunId, T>,
    old: HashMap<RunId, T>,
}

impl<T> Default for RecentRuns<T> {
    fn default() -> Self {
        Self { young: HashMap::new(), old: HashMap::new() }
    }
}

impl<T: Copy> RecentRuns<T> {
    pub(crate) fn get(&self, run: &RunId) -> Option<T> {
        self.young.get(run).or_else(|| self.old.get(run)).copied()
    }

    /// Sets the value of `run`. Returns the values that were evicted for it.
    pub(crate) fn set(&mut self, run: &RunId, value: T) -> Option<impl Iterator<Item = T> + use<T>> {
        if let Some(there) = self.young.get_mut(run) {
            *there = value;
            return None;
        }
        let full = self.young.len() >= GENERATION_RUNS_MAX;
        let forgotten = full.then(|| std::mem::replace(&mut self.old, std::mem::take(&mut self.young)).into_values());
        self.young.insert(run.clone(), value);
        forgotten
    }

    pub(crate) fn forget(&mut self, run: &RunId) {
        self.young.remove(run);
        self.old.remove(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_bounded_and_keeps_recent_runs() {
        let mut recent = RecentRuns::default();
        let run = |number: usize| RunId::new(format!("r{number}")).expect("a run id");
        let mut forgotten = 0;
        for number in 0..3 * GENERATION_RUNS_MAX {
            forgotten += recent.set(&run(number), number).map_or(0, Iterator::count);
        }
        assert_eq!(forgotten, GENERATION_RUNS_MAX);
        assert!(recent.young.len() + recent.old.len() <= 2 * GENERATION_RUNS_MAX);
        let newest = 3 * GENERATION_RUNS_MAX - 1;
        assert_eq!(recent.get(&run(newest)), Some(newest));
        assert_eq!(recent.get(&run(0)), None);
        drop(recent.set(&run(newest - GENERATION_RUNS_MAX), 9));
        assert_eq!(recent.get(&run(newest - GENERATION_RUNS_MAX)), Some(9), "the newer value is returned");
    }
}
