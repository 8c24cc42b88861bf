//! Tests of this crate through its public API.

mod support;

mod docker;
mod egress;
mod local;
mod sandbox_table;
mod tools;
mod web;
mod workspace;
