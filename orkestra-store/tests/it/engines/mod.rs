//! Engines on every store: two in one process, one after the other.

mod again;
mod clocks;
mod ground;
mod pairs;
mod queue;
