//! The embedded store for much writing: one directory on disk, open in one process at a time. The only folder that names
//! fjall, a tree of sorted tables behind a journal.
//!
//! ```text
//! append() -> Log::write: one batch -> fjall's journal, fdatasync -> its memtable, published -> mark -> answers
//! read()   -> a snapshot of fjall: what was published
//! ```
//!
//! What makes "only durable commits are ever read" true: a batch that carries its durability is synced before it gets into
//! the memtable, and is published after that (fjall 3.1.13, `src/batch/mod.rs`); readers use snapshots, which see what is
//! published. Nothing here ever writes past a batch, and no batch goes without its durability: one that names none stays in
//! a buffer of this process.

mod background;
mod database;
mod error;
mod journal;
mod log;
mod open;
mod options;
mod promised;

pub use options::{Fjall, FjallOptions, FjallStore};
