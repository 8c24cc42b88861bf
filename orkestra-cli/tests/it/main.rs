//! Tests the real binary with the demo model in the local sandbox, each test in its own directory.
//!
//! No test waits for a fixed time: tests read what the program prints, and continue when they have read it.

mod benchmark;
mod benchmark_endpoint;
mod benchmark_process;
mod benchmark_resume;
mod benchmark_tasks;
mod benchmark_trouble;
mod budget;
mod crash;
mod pipeline;
mod readers;
mod refusals;
mod stores;
mod support;
mod terminal;
mod tools;
mod waits;
