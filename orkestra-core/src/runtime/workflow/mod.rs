//! Workflows that are defined in Rust.

pub(super) mod definition;
pub(super) mod wiring;
