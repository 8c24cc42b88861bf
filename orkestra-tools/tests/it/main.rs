//! Tests of this crate through its public API.

mod support;

mod docker;
mod egress;
mod local;
mod patch;
mod reference;
mod sandbox_table;
mod search;
mod special_files;
mod tools;
mod web;
mod workspace;
