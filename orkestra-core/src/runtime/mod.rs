//! The thin shell around the kernel: the only room that waits, reads a clock or logs.
//!
//! ```text
//! Run, Context --Message--> Driver (one task per live run; the only writer of its state)
//!                             | decide, apply            ^ acknowledged
//!                             v                          |
//!                           Committer: gathers the commits of all runs, one durable write at a time
//! ```
//!
//! A driver shows nothing of a decision to anybody before the committer has acknowledged its commit: only then are
//! events published, waiting tasks answered and tasks invoked.

mod activity;
mod blobs;
mod builder;
mod call;
mod child;
mod claims;
mod clock;
mod closing;
mod committer;
mod context;
mod damaged;
mod deadlock;
mod drain;
mod driver;
mod engine;
mod error;
mod events;
mod follow;
mod given;
mod health;
mod invocation;
mod jobs;
mod keys;
mod leases;
mod limiter;
mod live;
mod load;
mod mail;
mod maps;
mod message;
mod neighbours;
mod outbox;
mod panics;
mod patience;
mod request;
mod retention;
mod room;
mod root;
mod run;
mod schedule;
mod shared;
mod sides;
mod slots;
mod step;
mod task;
pub(crate) mod telemetry;
mod tenure;
mod timeout;
mod upgrade;
mod waits;
mod waker;
mod watch;
mod wiring;
mod workflow;

pub use builder::EngineBuilder;
pub use clock::{Clock, SystemClock};
pub use context::Context;
pub use engine::Engine;
pub use error::{Error, ErrorKind};
pub use events::{Cursor, Events, Feed, Pulse, RunEvent};
pub use health::Health;
pub use limiter::Limit;
pub use maps::Winner;
pub use request::RunRequest;
pub use retention::Retention;
pub use run::Run;
pub use schedule::{CatchUp, Fire, FireOutcome, Overlap, Schedule, ScheduleStatus, Schedules, When};
pub use step::Step;
pub use task::{ErasedTask, IntoTask, Task, TaskError, TaskResult, TypeTag};
pub use upgrade::{Finding, UpgradeReport};
pub use waits::Wait;
pub use wiring::WorkflowBuilder;
pub use workflow::{BuildError, Workflow};
