//! Tests the real binary with the demo model in the local sandbox, each test in its own directory.
//!
//! No test waits for a fixed time: tests read what the program prints, and continue when they have read it.

mod budget;
mod crash;
mod pipeline;
mod readers;
mod refusals;
mod stores;
mod support;
mod terminal;
mod waits;
