//! A durable workflow engine to embed.
//!
//! A *workflow* is a graph of named nodes. A *run* of it is a journal of events in a [`store::Store`]. The process may die at
//! any instruction: after a restart every run continues from its last durable event. Nothing that was acknowledged is lost or
//! done again.
//!
//! ```
//! use orkestra_core::prelude::*;
//!
//! async fn fetch(cx: Context, url: String) -> TaskResult<String> {
//!     // Done once, even if this process dies afterwards.
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
//! **Code between steps may run again.** This is the one rule. The result of [`Context::step`] is stored. All other code runs
//! again whenever the task is called again, after a crash, a failed attempt, or a long wait.
//!
//! A run that only waits is dropped from memory and costs its journal on disk. `docs/verbs.md` in the repository describes
//! every operation, with its guarantees and an example.
//!
//! # Where to find what
//!
//! | to | see |
//! |---|---|
//! | use steps, waits, questions, child runs, maps, growth, reports, charges | [`Context`], [`Step`] |
//! | set joins, conditions, retries, timeouts, failure policies, compensation, limits | [`WorkflowBuilder`] |
//! | set the id, labels, deadline, priority, budget of a run | [`RunRequest`] |
//! | read a run, or cancel, pause, retry, fork it | [`Run`] |
//! | find runs, upgrade, list what is blocked | [`Engine`] |
//! | define limits of concurrency and rate | [`Limit`] |
//! | write workflows as JSON and YAML | [`model::WorkflowSpec`] |
//! | draw a run, or its timeline | [`projection::Graph`], [`projection::Timeline`] |
//!
//! # Layers
//!
//! Each layer imports only from the layers above it.
//!
//! | module | holds |
//! |---|---|
//! | [`model`] | ids, payloads, policies, the workflow definition, the plan |
//! | [`kernel`] | the rules: pure functions from inputs to events, state and work |
//! | [`journal`] | commits, their format on disk, replay |
//! | [`store`] | the contract of stores, and the in-memory store |
//! | [`projection`] | read models: view, graph, timeline |
//! | `runtime` | engine, drivers, committer: everything that waits or does I/O; re-exported here |
//!
//! [`telemetry`] has the names of the metrics.
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
