//! Tests of the benchmark from outside.

mod report;
mod report_sample;
