//! The rules of a run, as pure functions.
//!
//! ```text
//! Input --decide()--> events (applied to the state as they are chosen) ...append... --agenda()--> Work
//!                       apply() is the only writer of state, when deciding and when replaying alike
//! ```
//!
//! No clock, no randomness, no waiting, no logging: the time and a random number are fields of [`Input`]. Decisions
//! must not become visible before the store has acknowledged them; `runtime` ensures that.

mod about;
mod agenda;
mod apply;
mod change;
mod children;
mod consequence;
mod decide;
mod event;
mod input;
mod invariant;
mod kinds;
mod looks;
mod node;
mod payloads;
mod reason;
mod state;
mod status;
mod undo;

pub use agenda::{QUEUED_AT, Wait, Work, agenda, is_busy, owes_others, waits, wake_at, work_for_others, work_of};
pub use apply::{IllegalEvent, apply};
pub(crate) use change::{Awaited, Change, NodeChange, RunChange, StepChange, WaitChange};
pub use children::Abandoned;
pub(crate) use consequence::{Consequence, Consequences, Perform};
pub use decide::{Rejection, decide};
pub(crate) use decide::{begin, decide_next};
pub use event::Event;
pub use input::{Input, InputKind, TaskRequest};
pub use invariant::broken_invariant;
pub use looks::{KeptValue, NodeInput, Unread, unread};
pub(crate) use looks::{at_signal, looks_of};
pub use node::{ChildState, NodeState, OpenWait, StepState};
pub use reason::{Next, PauseReason, SkipReason, StopReason};
pub use state::{Pause, RunState, Stopping, Timer};
pub use status::{NodeStatus, Outcome, RunStatus, UnknownStatus};
pub use undo::Undo;
