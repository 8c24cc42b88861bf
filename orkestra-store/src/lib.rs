//! Storage backends for `orkestra-core`. Each is behind a feature of the same name and passes the store suite of
//! `orkestra-testkit`.
//!
//! - `sled` (default): [`SledStore`], one directory, one process.
//! - `fjall`: `FjallStore`, one directory, one process, for large or write-heavy data.
//! - `postgres`: `PostgresStore`, one database, any number of processes.
//!
//! The embedded stores are one type, [`EmbeddedStore`], generic over its backend. Types of the underlying databases are
//! not part of this API. [`transfer`] moves runs between any two stores.

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
