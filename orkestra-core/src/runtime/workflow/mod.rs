//! Workflows as they are written in Rust.

pub(super) mod definition;
pub(super) mod wiring;
