//! Moving runs between stores, whatever keeps them: a store as lines of JSON, and such lines into a store.
//!
//! ```text
//! export: list -> claim a page of runs -> read, replay -> lines -> release          small values -> lines -> sums
//! import: all lines -> sums, replay, what is there already -> all lines again -> blobs, commits, letters -> store
//! survey: list -> read, replay: which runs are whole
//! ```
//!
//! Everything goes through the `Store` trait: nothing here knows a backend, and nothing is held in memory but the run that
//! is read and one batch. The format: `docs/store.md`.

mod error;
mod existing;
mod export;
mod fill;
mod import;
mod line;
mod reader;
mod report;
mod runs;
mod survey;
mod verify;
mod writer;

pub use error::TransferError;
pub use export::{ExportOptions, export};
pub use import::{ImportOptions, import};
pub use line::{CONTENT_BYTES_MAX, FORMAT_VERSION, LINE_BYTES_MAX, VALUE_VERSION_MAX};
pub use report::{Counts, Damage, Exported, Imported, Survey};
pub use survey::survey;
