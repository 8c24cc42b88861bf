//! Tests of this crate through its public API.

mod support;

mod docker;
mod egress;
mod escape;
mod git;
mod local;
#[cfg(feature = "mcp")]
mod mcp;
mod patch;
mod pipes;
mod policy;
mod processes;
mod sandbox_table;
mod search;
mod secrets;
mod special_files;
mod tools;
mod web;
mod workspace;
