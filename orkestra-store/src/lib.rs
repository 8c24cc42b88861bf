//! Backends of `orkestra-core`, each behind a feature of its name, all passing the suite of `orkestra-testkit`.
//!
//! - `sled` (default): [`SledStore`], one directory, one process.
//! - `fjall`: `FjallStore`, the same for much writing.
//! - `postgres`: `PostgresStore`, one database, any number of processes.
//!
//! The embedded ones are one type, [`EmbeddedStore`], with a backend each. A backend's own types never show here. [`transfer`] moves runs from one store to another, whatever they are.

#[cfg(feature = "fjall")]
mod fjall;
#[cfg(any(feature = "sled", feature = "fjall"))]
mod kv;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sled")]
mod sled;
pub mod transfer;

#[cfg(feature = "fjall")]
pub use crate::fjall::{Fjall, FjallOptions, FjallStore};
#[cfg(any(feature = "sled", feature = "fjall"))]
pub use crate::kv::{CheckReport, Durability, EmbeddedBackend, EmbeddedOptions, EmbeddedStore, OpenReport};
#[cfg(feature = "postgres")]
pub use crate::postgres::{LeaseClock, PostgresDurability, PostgresOptions, PostgresStore, PostgresTls};
#[cfg(feature = "sled")]
pub use crate::sled::{Sled, SledOptions, SledStore};
