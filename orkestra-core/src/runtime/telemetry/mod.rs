//! Telemetry of the engine: spans for runs, nodes, attempts and steps, and metrics.
//!
//! ```text
//! driver: run ─► node ─► attempt ─► step      spans, through `tracing`; a child never outlives what it is part of
//!            committer, slots, driver         metrics, through `metrics`; handles are made once per workflow
//! ```
//!
//! It must never decide anything, and cost next to nothing when nothing listens: a span that is not enabled formats
//! nothing, and a handle without a recorder does nothing.

mod facts;
mod meters;
mod names;
mod spans;

pub use names::{METRICS, Metric, MetricKind};

pub(super) use metrics::Gauge;

pub(super) use facts::Tally;
pub(super) use meters::{Commits, Telemetry};
pub(super) use spans::{Attempt, Trace, failed as step_failed, placed};

/// The target of all spans, for filters.
const TARGET: &str = "orkestra";
