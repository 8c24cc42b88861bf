//! What every embedded backend keeps, over a sorted map of bytes: keys, values, indexes, what a group commit changes, who holds
//! which run. The backend brings the map and makes writes durable ([`map`] is the contract); it never looks into them, and
//! this room never asks where they are.
//!
//! ```text
//! append() -> writer's thread: plan (heads, leases, indexes) -> Log::write: durable, then shown -> answers
//! read()   -> a reader's thread: Map::view
//! claim()  -> a map in memory
//! ```
//!
//! One process at a time has a store open: that is why leases are in memory. Scans that can be long are made in slices, for
//! a view may hold up who writes.
//!
//! After a failed write, or a panic while something is planned, nothing can be told any more: the store refuses all calls
//! until it is opened anew.

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
mod lately;
mod lease;
pub(crate) mod map;
pub(crate) mod mark;
pub(crate) mod options;
pub(crate) mod owner;
#[cfg(test)]
mod poison;
mod read;
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
