//! Fuzz targets for the engine, to call from a fuzzer or from ordinary tests.
//!
//! Each function takes any bytes and panics when an invariant is broken. `fuzz/` at the repository's root calls them from
//! libFuzzer; the tests of this crate call them with seeds and mutations of the seeds.
//!
//! - [`journal`]: reads the bytes as the commits of a journal, and replays them.
//! - [`workflow_json`], [`workflow_yaml`]: reads the bytes as a workflow.
//! - [`decisions`]: makes a workflow and a sequence of inputs from the bytes.
//!
//! What they do depends on the bytes alone.

mod bytes;
mod decide;
mod inputs;
mod journal;
mod mutate;
mod plan;
mod workflow;

pub use decide::{decisions, journal_of};
pub use journal::journal;
pub use mutate::mutate;
pub use workflow::workflow_json;
#[cfg(feature = "yaml")]
pub use workflow::workflow_yaml;
