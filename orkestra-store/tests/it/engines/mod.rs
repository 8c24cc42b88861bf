//! Engines on every store: two at once, and one after another.

mod clocks;
mod pairs;
mod queue;
mod restart;
mod stores;
