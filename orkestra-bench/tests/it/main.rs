//! Tests of the benchmark from outside.

mod cheats;
mod command;
mod durable;
mod place;
mod report;
mod report_sample;
mod suite;
