//! Runs that start by the clock. Schedules live in the store as small values; no engine owns one.
//!
//! ```text
//! Schedules (put, pause, ...) ──► stored (compare-and-set) ◄── fire: start the runs, then advance
//!                                        ▲                       ▲
//!                                        └── ticker: sleeps until the earliest fire time of all
//! ```
//!
//! Nothing here may start a run under another id than its fire time's: that is what makes two engines, and one that
//! crashed between starting and advancing, start it once.

#[cfg(feature = "schedules")]
mod cron;
mod fire;
mod handle;
mod spec;
mod stored;
#[cfg(test)]
mod tests;
mod ticker;
mod times;
#[cfg(feature = "schedules")]
mod zone;

pub(super) use fire::remember;
pub use handle::{ScheduleStatus, Schedules};
pub use spec::{CatchUp, Overlap, Schedule, When};
pub use stored::{Fire, FireOutcome};
pub(super) use ticker::tick;
