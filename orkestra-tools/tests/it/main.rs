//! The promises of this crate, tested from outside.

mod support;

mod docker;
mod local;
mod sandbox_table;
mod tools;
mod workspace;
