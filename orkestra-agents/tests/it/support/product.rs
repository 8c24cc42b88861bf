//! A started Orkestra in a directory of its own.

use std::{path::Path, sync::Arc, time::Duration};

use orkestra_agents::{Orkestra, OrkestraBuilder, SandboxChoice, feed, model::ModelChoice};
use orkestra_core::prelude::{Cursor, MemoryStore, Run};
use serde_json::Value;

/// The demo model without a delay.
pub(crate) fn demo() -> ModelChoice {
    ModelChoice::demo().with_demo_delay(Duration::ZERO)
}

/// An Orkestra that uses the local sandbox.
pub(crate) fn builder(data: &Path, model: ModelChoice) -> OrkestraBuilder {
    Orkestra::builder(data).model(model).sandbox(SandboxChoice::Local)
}

/// An Orkestra with the local sandbox, started on a store in memory.
pub(crate) async fn start(data: &Path, model: ModelChoice) -> Orkestra {
    builder(data, model).start(Arc::new(MemoryStore::new())).await.expect("it starts")
}

/// Every product event of a run, until it ends.
pub(crate) async fn events(run: &Run) -> Vec<Value> {
    let mut events = run.events(Cursor::START);
    let mut seen = Vec::new();
    while let Some(event) = events.next().await.expect("the store can be read") {
        seen.push(feed::product_event(&event).to_json());
    }
    seen
}

/// The events with this name.
pub(crate) fn named<'a>(events: &'a [Value], name: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == name).collect()
}
