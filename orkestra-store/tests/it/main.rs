//! The backends: the contract they share, and what is each one's own.

mod conformance;
mod sled;
mod support;
