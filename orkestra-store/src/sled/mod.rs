//! The sled backend: one directory, open in one process at a time. The only module that uses sled.
//!
//! ```text
//! append() -> writer thread: plan (heads, leases, indexes) -> write-ahead file, fdatasync -> overlay -> mark -> answers
//! read()   -> reader thread: overlay over sled
//! claim()  -> a map in memory
//!             background thread: full layer -> sled, flush, fdatasync -> its write-ahead file is free
//! ```
//!
//! Readers see only durable commits, because nothing enters the overlay before it is synced. See ADR 0004. Long scans
//! are split into slices: a writer waits for readers before it makes changes visible.
//!
//! After a failed sync, or a panic inside sled, the state of the store is unknown: it refuses all calls until it is
//! reopened.

mod census;
mod checkpoint;
mod core;
mod database;
mod encoding;
mod error;
mod fallback;
mod first_mark;
mod log;
mod open;
mod options;
mod overlay;
mod prepare;
mod recover;
mod repair;
mod segments;
mod sync;
mod view;
mod wal;

pub use options::{Sled, SledOptions, SledStore};
