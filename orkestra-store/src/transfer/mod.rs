//! Moves runs between any two stores: exports a store as lines of JSON, and imports them.
//!
//! ```text
//! export: list -> claim a page of runs -> read, replay -> lines -> release          small values -> lines -> sums
//! import: all lines -> sums, replay, compare with the store -> all lines again -> blobs, commits, letters -> store
//! survey: list -> read, replay: which runs are intact
//! ```
//!
//! Everything goes through the `Store` trait: nothing here knows a backend. Only the run being read and one batch are
//! held in memory. `docs/store.md` describes the format.

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
