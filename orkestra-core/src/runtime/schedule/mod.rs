//! Schedules: runs that start at given times. They are kept in the store as small values; no engine owns one.
//!
//! ```text
//! Schedules (put, pause, ...) ──► stored (compare-and-set) ◄── fire: start the runs, then advance
//!                                        ▲                       ▲
//!                                        └── ticker: sleeps until the earliest fire time of all
//! ```
//!
//! A run must never be started under another id than that of its fire time: because of that, two engines, or one that
//! crashed between starting and advancing, start it only once.

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
