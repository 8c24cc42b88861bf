//! Backends of `orkestra-core`, each behind a feature of its name, all passing the suite of `orkestra-testkit`.
//!
//! - `sled` (default): [`SledStore`], one directory, one process.
//!
//! A backend's own types never show here.

#[cfg(feature = "sled")]
mod kv;
#[cfg(feature = "sled")]
mod sled;

#[cfg(feature = "sled")]
pub use crate::kv::check::CheckReport;
#[cfg(feature = "sled")]
pub use crate::kv::report::{Durability, OpenReport};
#[cfg(feature = "sled")]
pub use crate::sled::{SledOptions, SledStore};
