//! Tests of this crate through its public API.

mod support;

mod docker;
mod local;
mod policy;
mod sandbox_table;
mod secrets;
mod tools;
mod workspace;
