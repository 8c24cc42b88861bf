//! Tests of this crate through its public API.

mod support;

mod docker;
mod escape;
mod local;
mod processes;
mod sandbox_table;
mod tools;
mod workspace;
