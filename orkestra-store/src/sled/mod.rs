//! The embedded store: one directory on disk, open in one process at a time. The only folder that names sled.
//!
//! ```text
//! append() -> gate (alone) -> blocking thread: plan (heads, leases, indexes) -> one Batch -> flush, fdatasync -> mark -> answers
//! read()   -> gate (shared) -> blocking thread: scan
//! claim()  -> a map in memory
//! ```
//!
//! The gate is what makes "only durable commits are ever read" true: sled shows a batch as soon as it is applied, so
//! nobody may look between that and its sync. Scans that can be long take the gate in slices.
//!
//! After a failed sync, or a panic inside sled while writing, nothing can be told any more: the store refuses all calls
//! until it is opened anew.

mod append;
mod check;
mod database;
mod error;
mod format;
mod index;
mod keys;
mod lately;
mod lease;
mod mark;
mod open;
mod options;
mod owner;
mod read;
mod remove;
mod repair;
mod shared;
mod small;
mod store;
mod sync;
mod value;

pub use check::CheckReport;
pub use options::{Durability, OpenReport, SledOptions};
pub use store::SledStore;
