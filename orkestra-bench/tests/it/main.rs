//! Tests of the benchmark from outside.

mod cheats;
mod place;
mod report;
mod report_sample;
mod suite;
