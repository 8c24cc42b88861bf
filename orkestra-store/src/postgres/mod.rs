//! The Postgres backend: any number of processes share one database. The only module that uses sqlx.
//!
//! ```text
//! append() -> chains, one per run -> one statement: lock, judge, write -> answers     one round trip, one sync
//! read()   -> one statement, repeated on another connection if one was lost
//! claim()  -> one statement that waits for no other session
//! ```
//!
//! An `Ok` must never be returned without the database's answer. If the connection fails between a statement and its
//! answer, the outcome is [`Unknown`](orkestra_core::store::AppendError::Unknown). Statements are constants, in `sql/`
//! or beside their call; none contains external input. See ADR 0007.

mod append;
mod chains;
mod due;
mod error;
mod inbox;
mod labels;
mod lease;
mod list;
mod listen;
mod migrate;
mod options;
mod pool;
mod read;
mod remove;
mod row;
mod session;
mod small;
mod store;

pub use options::{LeaseClock, PostgresDurability, PostgresOptions, PostgresTls};
pub use store::PostgresStore;
