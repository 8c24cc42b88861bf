//! Backends of `orkestra-core`, each behind a feature of its name, all passing the suite of `orkestra-testkit`.
//!
//! - `sled` (default): [`SledStore`], one directory, one process.
//! - `fjall`: `FjallStore`, the same for much writing.
//!
//! A backend's own types never show here.

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod kv;
#[cfg(feature = "sled")]
mod sled;

#[cfg(feature = "fjall")]
pub use crate::fjall::{FjallOptions, FjallStore};
#[cfg(any(feature = "sled", feature = "fjall"))]
pub use crate::kv::{CheckReport, Durability, OpenReport};
#[cfg(feature = "sled")]
pub use crate::sled::{SledOptions, SledStore};
