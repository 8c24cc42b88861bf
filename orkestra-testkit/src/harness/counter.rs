//! Counts the external effects of a workflow.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use orkestra_core::Context;
use orkestra_core::journal::decode;
use orkestra_core::kernel::Event;
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::{MemoryStore, RunQuery, Store};

/// An effect: run, node, step.
pub(super) type EffectKey = (RunId, String, String);

/// Counts effects. A task calls [`count`](Self::count) where it would charge a card or send an email, with the name of the step
/// that does so. Clones share one count.
#[derive(Clone, Debug, Default)]
pub struct Counter(Arc<Mutex<BTreeMap<EffectKey, usize>>>);

impl Counter {
    /// A counter at zero.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts the effect of `step` once. A step in a scope, or a repeated use of a key, has its own name: `left>pay`, `pay#2`.
    pub fn count(&self, cx: &Context, step: &str) {
        let effect = (cx.run_id().clone(), cx.node().to_owned(), step.to_owned());
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(effect).or_default() += 1;
    }

    /// How often the effect of a node's step happened, in all runs.
    #[must_use]
    pub fn times(&self, node: &str, step: &str) -> usize {
        let all = self.all();
        all.iter().filter(|((_, of, what), _)| of == node && what == step).map(|(_, times)| times).sum()
    }

    pub(super) fn all(&self) -> BTreeMap<EffectKey, usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// The effects that have happened and the steps that are durable at one moment.
#[derive(Clone, Debug, Default)]
pub(super) struct Moment {
    pub(super) done: BTreeMap<EffectKey, usize>,
    pub(super) remembered: BTreeSet<EffectKey>,
}

impl Moment {
    pub(super) async fn now(counter: &Counter, store: &MemoryStore) -> Self {
        Self { done: counter.all(), remembered: remembered(store).await }
    }

    pub(super) fn times(&self, effect: &EffectKey) -> usize {
        self.done.get(effect).copied().unwrap_or(0)
    }
}

const WHOLE: &str = "a memory store holds what was written";

/// The key of a step as its task writes it, without the prefix and the escapes of the journal.
fn key_in_code(key: &str) -> String {
    let mut letters = key.strip_prefix("step:").unwrap_or(key).chars();
    std::iter::from_fn(|| letters.next().and_then(|letter| if letter == '\\' { letters.next() } else { Some(letter) }))
        .collect()
}

/// The steps that are durable.
async fn remembered(store: &MemoryStore) -> BTreeSet<EffectKey> {
    let query = RunQuery { limit: usize::MAX - 1, ..RunQuery::default() };
    let runs = store.list(&query).await.expect(WHOLE).items;
    let mut steps = BTreeSet::new();
    for run in runs.into_iter().map(|record| record.id) {
        for commit in store.read(&run, Seq(1), usize::MAX).await.expect(WHOLE) {
            let commit = decode(&run, commit.first, commit.last, &commit.body).expect(WHOLE);
            for event in commit.events {
                if let Event::StepCompleted { node, step, .. } | Event::StepFailed { node, step, .. } = event {
                    steps.insert((run.clone(), node.to_string(), key_in_code(&step)));
                    steps.insert((run.clone(), node.to_string(), step));
                }
            }
        }
    }
    steps
}
