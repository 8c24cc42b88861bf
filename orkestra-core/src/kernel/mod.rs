//! The rules of a run, as pure functions.
//!
//! ```text
//! Input --decide()--> events (applied to the state as they are chosen) ...append... --agenda()--> Work
//!                       apply() is the only writer of state, when deciding and when replaying alike
//! ```
//!
//! No clock, no randomness, no waiting, no log line: time and chance are fields of [`Input`]. What one sees here
//! before the store has acknowledged it must be shown to nobody; `runtime` keeps that promise.

mod agenda;
mod apply;
mod decide;
mod event;
mod input;
mod invariant;
mod state;

pub use agenda::{Wait, Work, agenda, waits, wake_at, work_of};
pub use apply::{IllegalEvent, apply};
pub use decide::{Rejection, decide};
pub use event::{Event, Next, StopReason};
pub use input::{Input, InputKind, TaskRequest};
pub use invariant::broken_invariant;
pub use state::{NodeState, NodeStatus, OpenWait, Outcome, RunState, RunStatus, StepState, Stopping, Timer};
