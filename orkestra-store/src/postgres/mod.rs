//! Many processes on one database: Postgres, or what speaks its language. The only folder that names sqlx.
//!
//! ```text
//! append() -> chains, one per run -> one statement: lock, judge, write -> answers     one round trip, one sync
//! read()   -> one statement, tried again on another connection when one was lost
//! claim()  -> one statement, which waits for nobody
//! ```
//!
//! What must never happen here: an `Ok` that the database has not given. Whatever is lost between a statement and its
//! answer is [`Unknown`](orkestra_core::store::AppendError::Unknown). Every statement is one of the files in `sql/` or
//! stands beside its call; none is made of anything that came from outside. See ADR 0007.

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
