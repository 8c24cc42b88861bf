//! The embedded store, independent of its backend: keys, values, indexes, group commits and leases over a sorted map of
//! bytes. [`map`] is the contract with the backend, which stores the map and makes writes durable. The backend never
//! interprets the content; this module never does I/O on the map's files.
//!
//! ```text
//! append() -> writer thread: plan (heads, leases, indexes) -> Log::write: durable, then visible -> answers
//! read()   -> reader thread: Map::view
//! claim()  -> a map in memory
//! ```
//!
//! Only one process at a time has a store open, so leases are kept in memory. Long scans are split into slices, because
//! a view may block writers.
//!
//! After a failed write, or a panic while a write is planned, the state of the store is unknown: it refuses all calls
//! until it is reopened.

mod append;
pub(crate) mod backend;
pub(crate) mod boot;
pub(crate) mod changes;
pub(crate) mod check;
pub(crate) mod directory;
pub(crate) mod error;
pub(crate) mod format;
mod heads;
pub(crate) mod health;
mod inbox;
mod index;
pub(crate) mod keys;
mod lease;
pub(crate) mod map;
pub(crate) mod mark;
pub(crate) mod options;
pub(crate) mod owner;
#[cfg(test)]
mod poison;
mod read;
mod recent;
mod remove;
pub(crate) mod report;
pub(crate) mod shared;
pub(crate) mod small;
mod snapshot;
pub(crate) mod store;
pub(crate) mod threads;
mod value;

pub use backend::EmbeddedBackend;
pub use check::CheckReport;
pub use options::EmbeddedOptions;
pub use report::{Durability, OpenReport};
pub use store::EmbeddedStore;
