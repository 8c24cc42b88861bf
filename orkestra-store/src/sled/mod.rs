//! The embedded store: one directory on disk, open in one process at a time. The only folder that names sled.
//!
//! ```text
//! append() -> writer's thread: plan (heads, leases, indexes) -> write-ahead file, fdatasync -> overlay -> mark -> answers
//! read()   -> a reader's thread: overlay over sled
//! claim()  -> a map in memory
//!             background thread: full layer -> sled, flush, fdatasync -> its write-ahead file is free again
//! ```
//!
//! What makes "only durable commits are ever read" true: nothing gets into the overlay before its sync. See ADR 0004.
//! Scans that can be long are made in slices: writers wait for readers at the moment of showing what they wrote.
//!
//! After a failed sync, or a panic inside sled, nothing can be told any more: the store refuses all calls until it is
//! opened anew.

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
