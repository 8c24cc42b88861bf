//! A durable workflow engine to embed.
//!
//! A *workflow* is a graph of named nodes. A *run* of it is a journal of events in a [`store::Store`]. The process may
//! die at any instruction; when it is back, every run goes on from its last durable event, and nothing that was
//! acknowledged is done again or lost.
//!
//! ```
//! use orkestra_core::prelude::*;
//!
//! async fn fetch(cx: Context, url: String) -> TaskResult<String> {
//!     // Done once, whatever happens to this process afterwards.
//!     cx.step("download", || async { Ok::<_, TaskError>(format!("the page at {url}")) }).await
//! }
//!
//! async fn publish(_cx: Context, (page, approved): (String, bool)) -> TaskResult<String> {
//!     Ok(format!("{page}, approved: {approved}"))
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let workflow = Workflow::new("digest")
//!     .node("fetch", fetch)
//!     .gate::<bool>("approve")
//!     .node("publish", publish).after_all(["fetch", "approve"])
//!     .build()?;
//! let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await?;
//! let run = engine.run("digest").id("monday").input("https://example.org")?.start().await?;
//! run.signal("approve", &true).await?;
//! assert_eq!(run.output::<String>().await?, "the page at https://example.org, approved: true");
//! # Ok(()) }
//! ```
//!
//! **Code between steps may run again.** That is the one rule: what a task did inside [`Context::step`] is remembered,
//! everything else is done anew when the task is called again after a crash or a failed attempt.
//!
//! # What there is
//!
//! | for | see |
//! |---|---|
//! | steps, waits, questions, child runs, maps, growth, reports, charges | [`Context`], [`Step`] |
//! | joins, conditions, retries, time limits, failure policies, undoing, limits | [`WorkflowBuilder`] |
//! | id, labels, deadline, priority, budget of a run | [`RunRequest`] |
//! | looking at a run and steering it: cancel, pause, retry, fork | [`Run`] |
//! | finding runs, upgrades, what is blocked | [`Engine`] |
//! | limits of concurrency and rate | [`Limit`] |
//! | workflows as JSON and YAML | [`model::WorkflowSpec`] |
//! | drawing a run, its timeline | [`projection::Graph`], [`projection::Timeline`] |
//!
//! A run that only waits is dropped from memory and costs its journal on disk. Every verb has an example and its promises in
//! `docs/verbs.md` of the repository.
//!
//! # Rooms
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | ids, payloads, policies, the workflow definition, the plan |
//! | [`kernel`] | the rules: pure functions from inputs to events to state to work |
//! | [`journal`] | commits, their form on disk, replay |
//! | [`store`] | the contract of backends, and the in-memory one |
//! | [`projection`] | read models: view, graph, timeline |
//! | [`telemetry`] | the names of the metrics |
//! | `runtime` | the thin shell: engine, drivers, committer; re-exported here |
//!
//! # Features
//!
//! | feature | brings | default |
//! |---|---|---|
//! | `runtime` | the engine, stores, everything that waits or reads a clock | yes |
//! | `yaml` | workflows from YAML | no |
//! | `schedules` | schedules by cron expression, in time zones | no |
//!
//! The version number makes no promise about [`kernel`] and [`journal`]: they change as the engine needs it. What users meet of the
//! kernel is in [`event`], and a store of your own keeps [`store::Written`].
//!
//! Without `runtime` the crate is `model`, `kernel`, `journal` and `projection`: pure and synchronous, without tokio. That is enough
//! to replay a journal ([`journal::Replayer`]) and to look at it.
//!
//! [`Context::step`]: crate::Context::step

#![cfg_attr(
    not(feature = "runtime"),
    expect(dead_code, unused_imports, reason = "some of what the pure layers offer only the runtime uses")
)]

/// What a run's events, views and records say: the events themselves, where runs and nodes stand, why, and how they ended.
pub mod event {
    pub use crate::kernel::{
        Abandoned, Event, Next, NodeStatus, Outcome, PauseReason, RunStatus, SkipReason, StopReason, Undo,
        UnknownStatus,
    };
}

pub mod journal;
pub mod kernel;
pub mod model;
pub mod projection;
#[cfg(feature = "runtime")]
mod runtime;
#[cfg(feature = "runtime")]
pub mod store;

/// What an engine tells those who watch it: its metrics by name. Its spans have the target `orkestra`.
#[cfg(feature = "runtime")]
pub mod telemetry {
    pub use crate::runtime::telemetry::{METRICS, Metric, MetricKind};
}

#[cfg(feature = "runtime")]
pub use runtime::{
    BuildError, CatchUp, Clock, Context, Cursor, Engine, EngineBuilder, ErasedTask, Error, ErrorKind, Events, Feed,
    Finding, Fire, FireOutcome, Health, IntoTask, Limit, Overlap, Pulse, Retention, Run, RunEvent, RunRequest,
    Schedule, ScheduleStatus, Schedules, Step, SystemClock, Task, TaskError, TaskResult, TypeTag, UpgradeReport, Wait,
    When, Winner, Workflow, WorkflowBuilder,
};

/// All that a workflow needs.
pub mod prelude {
    use std::time::Duration;

    pub use crate::event::{Event, NodeStatus, Outcome, PauseReason, RunStatus, Undo};
    pub use crate::model::{
        Amount, Condition, Failure, FailureKind, Growth, Join, Name, NodeSpec, OnFailure, Payload, Retry, RunId, Seq,
        SlotBy, Test, Timestamp, WorkflowSpec,
    };
    pub use crate::projection::{NodeView, RunView};
    #[cfg(feature = "runtime")]
    pub use crate::store::{MemoryStore, Page, Pager, RunQuery, RunRecord, Store};
    #[cfg(feature = "runtime")]
    pub use crate::{
        BuildError, Context, Cursor, Engine, EngineBuilder, Error, ErrorKind, Events, Feed, Limit, Pulse, Run,
        RunEvent, Task, TaskError, TaskResult, Workflow,
    };

    /// A duration of whole seconds.
    #[must_use]
    pub const fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A duration of whole minutes.
    #[must_use]
    pub const fn mins(count: u64) -> Duration {
        Duration::from_secs(60 * count)
    }

    /// A duration of whole days, of 24 hours each.
    #[must_use]
    pub const fn days(count: u64) -> Duration {
        Duration::from_secs(86_400 * count)
    }
}
