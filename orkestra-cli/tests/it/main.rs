//! Drives the real binary with the demo model in the local sandbox, each test in a directory of its own.
//!
//! Nothing here waits for a time: tests read what the program prints, and go on when they have read it.

mod crash;
mod pipeline;
mod readers;
mod refusals;
mod stores;
mod support;
mod terminal;
mod waits;
