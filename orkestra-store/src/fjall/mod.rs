//! The fjall backend, for write-heavy data: one directory, open in one process at a time. The only module that uses
//! fjall, an LSM tree with a journal.
//!
//! ```text
//! append() -> Log::write: one batch -> fjall's journal, fdatasync -> its memtable, published -> mark -> answers
//! read()   -> a snapshot of fjall: what is published
//! ```
//!
//! Readers see only durable commits: a batch with a persist mode is synced before it enters the memtable, and is
//! published after that (fjall 3.1.13, `src/batch/mod.rs`); readers use snapshots, which see what is published. All
//! writes here are batches with a persist mode: one without a mode stays in a buffer of this process.

mod background;
mod database;
mod error;
mod journal;
mod log;
mod open;
mod options;
mod promised;

pub use options::{Fjall, FjallOptions, FjallStore};
