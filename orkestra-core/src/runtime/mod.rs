//! The shell around the kernel: the only layer that waits, reads a clock or logs.
//!
//! ```text
//! Run, Context --Message--> Driver (one task per live run; the only writer of its state)
//!                             | decide, apply            ^ acknowledged
//!                             v                          |
//!                           Committer: gathers the commits of all runs, one durable write at a time
//! ```
//!
//! A driver makes nothing of a decision visible before the committer has acknowledged its commit: only then are events
//! published, waiting tasks answered and tasks called.
//!
//! `ARCHITECTURE.md` lists the modules and what each may import.

mod clock;
mod driver;
mod engine;
mod error;
mod limiter;
mod ownership;
mod run;
mod schedule;
mod shared;
mod storage;
mod support;
mod task;
pub(crate) mod telemetry;
mod workflow;

pub use clock::{Clock, SystemClock};
pub use engine::builder::EngineBuilder;
pub use engine::handle::Engine;
pub use engine::health::Health;
pub use engine::retention::Retention;
pub use engine::upgrade::{Finding, UpgradeReport};
pub use error::{Error, ErrorKind};
pub use limiter::Limit;
pub use run::events::{Cursor, Events, Feed, Pulse, RunEvent};
pub use run::handle::Run;
pub use run::request::RunRequest;
pub use schedule::{CatchUp, Fire, FireOutcome, Overlap, Schedule, ScheduleStatus, Schedules, When};
pub use task::code::{ErasedTask, IntoTask, Task, TaskError, TaskResult, TypeTag};
pub use task::context::Context;
pub use task::maps::Winner;
pub use task::step::Step;
pub use task::waits::Wait;
pub use workflow::definition::{BuildError, Workflow};
pub use workflow::wiring::WorkflowBuilder;
