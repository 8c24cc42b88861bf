//! Shared by the tests of the runtime: virtual time, and counted effects.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use orkestra_core::prelude::*;
use orkestra_core::{Clock, EngineBuilder};

/// Time as tokio has it: it stands still while anything can run, and jumps to the next timer when nothing can.
pub(crate) struct TokioClock(tokio::time::Instant, Timestamp);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self::at(Timestamp::from_millis(1_000_000))
    }

    /// A clock that shows `start` now.
    pub(crate) fn at(start: Timestamp) -> Self {
        Self(tokio::time::Instant::now(), start)
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        self.1.saturating_add(self.0.elapsed())
    }
}

/// An engine in virtual time.
pub(crate) fn engine(store: impl Store) -> EngineBuilder {
    Engine::builder().store(store).clock(TokioClock::new())
}

/// Counts things done outside the engine, by name.
#[derive(Clone, Default)]
pub(crate) struct Effects(Arc<Mutex<BTreeMap<String, usize>>>);

impl Effects {
    pub(crate) fn did(&self, what: &str) {
        *self.0.lock().expect("no test panics here").entry(what.to_owned()).or_default() += 1;
    }

    pub(crate) fn count(&self, what: &str) -> usize {
        self.0.lock().expect("no test panics here").get(what).copied().unwrap_or(0)
    }
}

/// All events of an ended run.
pub(crate) async fn journal(run: &Run) -> Vec<Event> {
    let mut events = run.events(Cursor::START);
    let mut all = Vec::new();
    while let Some(event) = events.next().await.expect("the journal is readable") {
        all.push(event.event);
    }
    all
}

/// The only child of a run; `None` when there is none yet.
pub(crate) async fn only_child(engine: &Engine, parent: &str) -> Option<Run> {
    let mut children = children(engine, parent).await;
    assert!(children.len() <= 1, "{children:?}");
    engine.get(&children.pop()?).await.expect("a store")
}

/// All children of a run, by id.
pub(crate) async fn children(engine: &Engine, parent: &str) -> Vec<RunId> {
    let query = RunQuery { parent: Some(RunId::new(parent).expect("an id")), ..RunQuery::default() };
    let mut found: Vec<_> = engine.list(&query).await.expect("a list").items.into_iter().map(|run| run.id).collect();
    found.sort_unstable();
    found
}
