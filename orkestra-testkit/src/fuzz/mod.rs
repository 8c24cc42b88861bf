//! Hostile bytes: what a fuzzer, or a test without one, throws at the engine.
//!
//! Each of these functions takes any bytes and panics when a promise is broken; `fuzz/` at the repository's root calls
//! them from libFuzzer, the tests of this crate call them with seeds and mutations of them.
//!
//! - [`journal`]: bytes as the commits of a journal, decoded and replayed.
//! - [`workflow_json`], [`workflow_yaml`]: bytes as a workflow.
//! - [`decisions`]: bytes as chance, from which a workflow and a sequence of inputs are made.
//!
//! Whatever they do is made of the bytes alone: the same bytes do the same.

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
